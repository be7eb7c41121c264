package evaluator

import (
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/lockdown/locktest"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// withoutVariable, if set, names system calls by number. The test binary then runs as on a kernel
// that lacks them.
const withoutVariable = "EVALUATOR_TEST_WITHOUT"

// parentVariable, if set, makes the test binary a parent to be killed by TestOrphan.
const parentVariable = "EVALUATOR_TEST_PARENT"

func TestMain(m *testing.M) {
	Init(bodyLanguage, testTools)
	if os.Getenv(parentVariable) != "" {
		beParent()
	}
	if os.Getenv(withoutVariable) != "" {
		if err := locktest.WithoutCalls(os.Getenv(withoutVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// bodyLanguage is a language for tests of the process. A body is a global function of the entry
// module.
func bodyLanguage(interp.Limits) interp.Language {
	lang := testLanguage()
	const hostLocal = "test.host"
	var entry *interp.Module
	add := func(name string, f func(host plan.BodyHost, args starlark.Tuple) (starlark.Value, error)) {
		lang.Predeclared[name] = starlark.NewBuiltin(name, func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			host, _ := th.Local(hostLocal).(plan.BodyHost)
			return f(host, args)
		})
	}
	add("call", func(host plan.BodyHost, args starlark.Tuple) (starlark.Value, error) {
		return call(host, args[0].(starlark.String), args[1].(starlark.Int))
	})
	add("attempt", func(host plan.BodyHost, args starlark.Tuple) (starlark.Value, error) {
		v, err := call(host, args[0].(starlark.String), args[1].(starlark.Int))
		var failure *plan.Failure
		if errors.As(err, &failure) {
			return starlark.String(failure.Kind + ": " + plan.FailureKind(failure.Message)), nil
		}
		return v, err
	})
	add("fan", func(host plan.BodyHost, args starlark.Tuple) (starlark.Value, error) {
		return fan(host, args[0].(starlark.Int))
	})
	add("start", func(host plan.BodyHost, args starlark.Tuple) (starlark.Value, error) {
		go call1(host, args[0].(starlark.String))
		return starlark.None, nil
	})
	add("read", func(host plan.BodyHost, args starlark.Tuple) (starlark.Value, error) {
		data, err := host.Read(context.Background(), plan.File{Name: string(args[0].(starlark.String))}, 1<<20)
		return starlark.String(data), err
	})
	add("text", func(host plan.BodyHost, args starlark.Tuple) (starlark.Value, error) {
		f, err := host.Text(context.Background(), string(args[0].(starlark.String)), string(args[1].(starlark.String)))
		return starlark.String(f.Digest), err
	})
	add("probe", func(_ plan.BodyHost, args starlark.Tuple) (starlark.Value, error) {
		parent, _ := args[0].(starlark.Int).Int64()
		return starlark.String(locktest.Able(int(parent))), nil
	})
	add("environ", func(plan.BodyHost, starlark.Tuple) (starlark.Value, error) {
		return starlark.String(strings.Join(os.Environ(), " ")), nil
	})
	add("say", func(_ plan.BodyHost, args starlark.Tuple) (starlark.Value, error) {
		return starlark.None, say(string(args[0].(starlark.String)))
	})
	add("panic", func(plan.BodyHost, starlark.Tuple) (starlark.Value, error) { panic("a bug") })
	lang.Graph = func(m *interp.Module, all []*interp.Module) (*plan.Graph, error) {
		entry = m
		if m.Globals.Has("bad_graph") {
			return nil, diag.List{{Msg: "first"}, {Msg: "second"}}
		}
		g := &plan.Graph{Version: plan.Version, Entry: m.Path}
		for _, m := range all {
			g.Modules = append(g.Modules, plan.Module{Path: m.Path, Digest: "a lie", Loads: m.Loads})
		}
		return g, nil
	}
	lang.Body = func(b *interp.Body, task string, inputs map[string]plan.Value, host plan.BodyHost) (plan.Value, error) {
		th := b.Main()
		th.SetLocal(hostLocal, host)
		var args starlark.Tuple
		if n, ok := inputs["n"].(int64); ok {
			args = starlark.Tuple{starlark.MakeInt64(n)}
		}
		v, err := starlark.Call(th, entry.Globals[task], args, nil)
		if err != nil {
			return nil, err
		}
		return toValue(v), nil
	}
	return lang
}

func toValue(v starlark.Value) plan.Value {
	switch v := v.(type) {
	case starlark.Int:
		n, _ := v.Int64()
		return n
	case starlark.String:
		return string(v)
	}
	return nil
}

func call(host plan.BodyHost, task starlark.String, n starlark.Int) (starlark.Value, error) {
	i, _ := n.Int64()
	var v plan.Value
	var err error
	await(host, func() {
		v, err = host.Call(context.Background(), plan.Invocation{Task: string(task), Inputs: map[string]plan.Value{"n": i}})
	})
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case int64:
		return starlark.MakeInt64(v), nil
	case string:
		return starlark.String(v), nil
	}
	return starlark.None, nil
}

// call1 calls a task whose result nobody wants.
func call1(host plan.BodyHost, task starlark.String) {
	_, _ = host.Call(context.Background(), plan.Invocation{Task: string(task), Inputs: map[string]plan.Value{"n": int64(1)}})
}

// await runs f, which waits for the parent, as a future does.
func await(host plan.BodyHost, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	host.Await(done)
}

// fan calls the task "double" n times at once and returns the sum.
func fan(host plan.BodyHost, n starlark.Int) (starlark.Value, error) {
	count, _ := n.Int64()
	var sum atomic.Int64
	var wg sync.WaitGroup
	for i := range count {
		wg.Add(1)
		go func() {
			defer wg.Done()
			v, err := host.Call(context.Background(), plan.Invocation{Ordinal: int(i), Task: "double", Inputs: map[string]plan.Value{"n": i}})
			if err == nil {
				sum.Add(v.(int64))
			}
		}()
	}
	await(host, wg.Wait)
	return starlark.MakeInt64(sum.Load()), nil
}

// testHost answers by task's name.
type testHost struct {
	calls   map[string]func(ctx context.Context, n int64) (plan.Value, error)
	content string
}

func (h testHost) Call(ctx context.Context, c plan.Invocation) (plan.Value, error) {
	f, ok := h.calls[c.Task]
	if !ok {
		return nil, fmt.Errorf("no task %s", c.Task)
	}
	n, _ := c.Inputs["n"].(int64) // an evaluator may say anything
	return f(ctx, n)
}

// hangingHost has a task "hangs" that only ends when it is cancelled. The first call of it closes
// hung.
func hangingHost() (host testHost, hung <-chan struct{}) {
	called := make(chan struct{})
	first := sync.OnceFunc(func() { close(called) })
	return testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"hangs": func(ctx context.Context, _ int64) (plan.Value, error) {
			first()
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}}, called
}

func (h testHost) Read(context.Context, plan.File, int64) ([]byte, error) {
	return []byte(h.content), nil
}

func (h testHost) Files(_ context.Context, d plan.Dir, pattern string) ([]plan.File, error) {
	return []plan.File{{Name: pattern, Digest: d.Digest, Size: 1}}, nil
}

func (h testHost) Text(_ context.Context, name, text string) (plan.File, error) {
	return plan.File{Name: name, Digest: plan.DigestOf([]byte(text)), Size: int64(len(text))}, nil
}

// startFile starts an evaluator of one module.
func startFile(t testing.TB, source string, limits interp.Limits) *Evaluator {
	t.Helper()
	e, _, err := Start(t.Context(), Options{Source: sources{"main.star": source}, Entry: "main.star", Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// TestGraphOnly: without bodies to come, the evaluator ends by itself.
func TestGraphOnly(t *testing.T) {
	e, g, err := Start(t.Context(), Options{Source: sources{"main.star": "def f(): return 1"}, Entry: "main.star", GraphOnly: true})
	if err != nil || len(g.Modules) != 1 {
		t.Fatal(g, err)
	}
	select {
	case <-e.process.exited:
	case <-time.After(time.Minute):
		t.Error("the evaluator lives on")
	}
	if _, err := e.Body(t.Context(), "f", nil, testHost{}); !errors.Is(err, errClosed) {
		t.Errorf("a body gives %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestStart(t *testing.T) {
	type printed struct {
		pos        string
		task, text string
	}
	var prints []printed
	source := sources{
		"main.star":  "load('lib/a.star', 'a')\nprint('hello\\x1b[31m', a)\n",
		"lib/a.star": "a = [1]",
	}
	e, g, err := Start(t.Context(), Options{Source: source, Entry: "main.star", Print: func(pos diag.Position, task, text string) {
		prints = append(prints, printed{pos.String(), task, text})
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if len(prints) != 1 || prints[0] != (printed{"main.star:2:6", "", "hello\uFFFD[31m [1]"}) {
		t.Errorf("printed %q", prints)
	}
	if len(g.Modules) != 2 || g.Modules[0].Path != "lib/a.star" || g.Modules[0].Digest != plan.DigestOf([]byte("a = [1]")) {
		t.Errorf("modules are %+v", g.Modules)
	}
	t.Logf("lockdown: %v", e.Lockdown())
	if l := e.Lockdown(); len(l.Layers) != 4 || runtime.GOOS == "linux" && l.Layers[0].Missing != "" {
		t.Errorf("lockdown is %v", l)
	}
}

// TestStartFindings shows that findings are the same as in one process.
func TestStartFindings(t *testing.T) {
	tests := []sources{
		{"main.star": "load('a.star', 'a')\nimage = 1\nx = undefined_one", "a.star": "a = undefined_two"},
		{"main.star": "load('a.star', 'a')", "a.star": "load('b.star', 'b')\na = 1", "b.star": "load('main.star', 'c')\nb = 1"},
		{"main.star": "load('none.star', 'a')"},
		{"main.star": "def f():\n  host('finding')\nf()"},
		{"main.star": "finished_badly = 1"},
		{},
		{"main.star": "x = '" + strings.Repeat("y", 1<<20) + "'"},
	}
	for _, source := range tests {
		_, want := interp.Loader{Language: testLanguage()}.Load(source, "main.star")
		_, _, got := Start(t.Context(), Options{Source: source, Entry: "main.star"})
		if want == nil || got == nil || fmt.Sprintf("%+v", deref(got)) != fmt.Sprintf("%+v", deref(want)) {
			t.Errorf("got\n%+v, want\n%+v", deref(got), deref(want))
		}
	}
	_, _, err := Start(t.Context(), Options{Source: sources{"main.star": "bad_graph = 1"}, Entry: "main.star"})
	if list := findings(err); len(list) != 2 || list[1].Msg != "second" {
		t.Errorf("got %v", err)
	}
}

// TestStartLimits: a limit out of its bounds is refused before anything starts.
func TestStartLimits(t *testing.T) {
	e, _, err := Start(t.Context(), Options{Source: sources{"main.star": ""}, Entry: "main.star", Limits: interp.Limits{Calls: -1}})
	var d *diag.Error
	if !errors.As(err, &d) || d.Class != diag.Usage || e != nil {
		t.Errorf("got %v", err)
	}
}

// deref makes findings comparable: without causes, which don't pass between processes.
func deref(err error) []diag.Error {
	var out []diag.Error
	for _, e := range findings(err) {
		d := *e
		d.Err = nil
		out = append(out, d)
	}
	return out
}

// TestDeaths has code that no count of steps stops.
func TestDeaths(t *testing.T) {
	limits := interp.Limits{Memory: 256 << 20, Wall: 300 * time.Millisecond, Steps: 1 << 40}
	tests := []struct {
		name, source string
		msg          string // several are possible where more than one limit is near
	}{
		{"native loop", spins + "spin()", "^loading took longer than 300ms$"},
		{"dag hash", "def f():\n  x = ()\n  for i in range(60):\n    x = (x, x)\n  return {x: 1}\nf()", "^loading took longer than"},
		{"dag freeze", "def f():\n  x = ()\n  for i in range(60):\n    x = (x, x)\n  return x\nx = f()", "^loading took longer than"},
		{"deep freeze", "def f():\n  x = []\n  for i in range(1500000):\n    x = [x]\n  return x\nx = f()", "^evaluation needs more than 64 MiB of stack|^evaluation needs more than 256 MiB of memory|^loading took longer"},
		{"deep value", "def f():\n  x = ()\n  for i in range(1000000):\n    x = (x,)\n  return {x: 1}\nf()", "^evaluation needs more than 64 MiB of stack|^evaluation needs more than 256 MiB of memory|^loading took longer"},
		{"one allocation", "x = (None,) * ((1 << 30) - 1)", "^evaluation needs more than 256 MiB of memory"},
		{"doubling", "def f():\n  x = 'a'\n  for i in range(40):\n    x = x + x\nf()", "^evaluation needs more than 256 MiB of memory|^loading took longer"},
		{"list", "def f():\n  x = []\n  for i in range(100000000):\n    x.append([i])\nf()", "^evaluation needs more than 256 MiB of memory|^loading took longer"},
		{"panic", "panic()", `^the evaluator died \(exit status 2\): panic: a bug`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Start(t.Context(), Options{Source: sources{"main.star": test.source}, Entry: "main.star", Limits: limits})
			var e *diag.Error
			if !errors.As(err, &e) || !regexp.MustCompile(test.msg).MatchString(e.Msg) {
				t.Fatalf("got %v, want %s", err, test.msg)
			}
			if want := map[bool]diag.Class{true: diag.System, false: diag.Limit}[test.name == "panic"]; e.Class != want {
				t.Errorf("got class %s, want %s", e.Class, want)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	e := startFile(t, `
def add(n): return call("double", n) + 1
def nothing(): return None
def tried(n): return attempt("fails", n)
def lets(n): return call("fails", n)
def broken(n): return call("breaks", n)
def wrong(n):
    return n + ""
def artifacts(): return read("x") + text("y", "z")
def calls_unknown(n): return call("unknown", n)
def prints(n): print("n is", n)
`, interp.Limits{})
	failure := &plan.Failure{Kind: plan.FailOOM, Message: "too big", Task: "fails", Log: "secret"}
	broken := errors.New("engine is broken")
	host := testHost{content: "content ", calls: map[string]func(context.Context, int64) (plan.Value, error){
		"double": func(_ context.Context, n int64) (plan.Value, error) { return 2 * n, nil },
		"fails":  func(context.Context, int64) (plan.Value, error) { return nil, failure },
		"breaks": func(context.Context, int64) (plan.Value, error) { return nil, broken },
	}}
	one := map[string]plan.Value{"n": int64(20)}
	tests := []struct {
		task   string
		inputs map[string]plan.Value
		want   plan.Value
		err    error
	}{
		{"add", one, int64(41), nil},
		{"nothing", nil, nil, nil},
		{"tried", one, "oom: too big", nil},
		{"lets", one, nil, failure},
		{"broken", one, nil, broken},
		{"artifacts", nil, "content " + string(plan.DigestOf([]byte("z"))), nil},
		{"prints", one, nil, nil},
	}
	for _, test := range tests {
		got, err := e.Body(t.Context(), test.task, test.inputs, host)
		if got != test.want || err != test.err {
			t.Errorf("%s: got %v, %v, want %v, %v", test.task, got, err, test.want, test.err)
		}
	}
	_, err := e.Body(t.Context(), "wrong", one, host)
	var d *diag.Error
	if !errors.As(err, &d) || d.Pos != (diag.Position{File: "main.star", Line: 8, Col: 14}) || d.Class != diag.Task {
		t.Errorf("wrong: got %+v", err)
	}
}

func TestConcurrentBodies(t *testing.T) {
	e := startFile(t, `
def work(n):
    s = 0
    for i in range(20000):
        s += i % 7
    return call("double", n) + fan(100)
`, interp.Limits{})
	host := testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"double": func(_ context.Context, n int64) (plan.Value, error) { return 2 * n, nil },
	}}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			got, err := e.Body(t.Context(), "work", map[string]plan.Value{"n": int64(i)}, host)
			if want := int64(2*i + 9900); err != nil || got != want {
				t.Errorf("%d: got %v, %v, want %d", i, got, err, want)
			}
		}()
	}
	wg.Wait()
	if e.mu.Lock(); len(e.bodies) != 0 || len(e.turns) != 0 {
		t.Errorf("%d bodies, %d turns are left", len(e.bodies), len(e.turns))
	}
	e.mu.Unlock()
}

// longerThan waits for longer than the parent lets any turn last.
func longerThan(wall time.Duration) { time.Sleep(wall + 2*grace) }

// TestWaiting: a turn ends while a body waits for an answer.
func TestWaiting(t *testing.T) {
	t.Parallel()
	const wall = 400 * time.Millisecond
	e := startFile(t, "def waits(n): return call('slow', n) + 1\n", interp.Limits{Wall: wall})
	host := testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"slow": func(_ context.Context, n int64) (plan.Value, error) { longerThan(wall); return n, nil },
	}}
	if got, err := e.Body(t.Context(), "waits", map[string]plan.Value{"n": int64(1)}, host); err != nil || got != int64(2) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestTurns: a body waits for its turn as long as it takes, at its beginning and after an answer.
func TestTurns(t *testing.T) {
	t.Parallel()
	const wall = 400 * time.Millisecond
	e := startFile(t, "def computes(n): return n + 1\ndef asks(n): return call('double', n) + 1\n", interp.Limits{Wall: wall})
	take := func() {
		for range cap(e.turns) {
			e.turns <- struct{}{}
		}
	}
	free := func() {
		for range cap(e.turns) {
			<-e.turns
		}
	}
	body := func(task string, host plan.Host) <-chan error {
		done := make(chan error, 1)
		go func() {
			got, err := e.Body(t.Context(), task, map[string]plan.Value{"n": int64(1)}, host)
			if err == nil && got != int64(2) && got != int64(3) {
				err = fmt.Errorf("got %v", got)
			}
			done <- err
		}()
		return done
	}
	take()
	done := body("computes", testHost{})
	longerThan(wall)
	select {
	case err := <-done:
		t.Errorf("it computed without a turn: %v", err)
	default:
	}
	free()
	if err := <-done; err != nil {
		t.Errorf("at its beginning: %v", err)
	}
	taken := make(chan struct{})
	done = body("asks", testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"double": func(_ context.Context, n int64) (plan.Value, error) { take(); close(taken); return 2 * n, nil },
	}})
	<-taken // its own turn has ended
	longerThan(wall)
	free()
	if err := <-done; err != nil {
		t.Errorf("after an answer: %v", err)
	}
}

// TestEndlessTurn: a body's clock starts again with each turn. The evaluator or, if the machine is
// too busy for it to say so itself, the parent ends a body whose turn is too long.
func TestEndlessTurn(t *testing.T) {
	t.Parallel()
	e := startFile(t, `
def spins(n):
    call("double", n)
    for i in range(100000000):
        pass
def fine(n): return call("double", n)
`, interp.Limits{Wall: 400 * time.Millisecond, Steps: 1 << 50})
	host := testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"double": func(_ context.Context, n int64) (plan.Value, error) { return 2 * n, nil },
	}}
	one := map[string]plan.Value{"n": int64(1)}
	_, err := e.Body(t.Context(), "spins", one, host)
	var d *diag.Error
	if !errors.As(err, &d) || d.Msg != "task spins took longer than 400ms" || d.Class != diag.Limit {
		t.Fatalf("got %+v", err)
	}
	if d.Pos.Line == 0 {
		t.Skip("this machine is so busy that the parent was faster")
	}
	if d.Pos.Line != 4 && d.Pos.Line != 5 {
		t.Errorf("it was at %s", d.Pos)
	}
	if got, err := e.Body(t.Context(), "fine", one, host); err != nil || got != int64(2) {
		t.Errorf("after that: got %v, %v", got, err)
	}
}

// spins defines spin, which spends hours in one native call.
const spins = `
def same():
  x = [1]
  for i in range(8):
    x = [x] * 1000
  return x
def spin(): same() == same()
`

// TestBodyDeath: a body that can't be stopped takes the evaluator with it, and the error names it.
func TestBodyDeath(t *testing.T) {
	e := startFile(t, spins+"def stuck(): spin()\ndef waits(): call('hangs', 1)\n", interp.Limits{Wall: 200 * time.Millisecond})
	host, hung := hangingHost()
	other := make(chan error, 1)
	go func() {
		_, err := e.Body(t.Context(), "waits", nil, host)
		other <- err
	}()
	<-hung
	_, err := e.Body(t.Context(), "stuck", nil, host)
	if err == nil || err.Error() != "task stuck took longer than 200ms [max-wall]" || !errors.Is(err, interp.ErrWall) {
		t.Errorf("stuck: got %v", err)
	}
	if err := <-other; err == nil || err.Error() != "task waits: task stuck took longer than 200ms [max-wall]" {
		t.Errorf("waits: got %v", err)
	}
	if _, err := e.Body(t.Context(), "waits", nil, host); !errors.Is(err, interp.ErrWall) {
		t.Errorf("later: got %v", err)
	}
}

// TestOpenFuture has a body that computes while a call of its is under way: that doesn't stop its
// clock.
func TestOpenFuture(t *testing.T) {
	t.Parallel()
	e := startFile(t, spins+"def both():\n  start('hangs')\n  call('when under way', 1)\n  spin()\n", interp.Limits{Wall: 200 * time.Millisecond})
	host, hung := hangingHost()
	host.calls["when under way"] = func(context.Context, int64) (plan.Value, error) { <-hung; return nil, nil }
	_, err := e.Body(t.Context(), "both", nil, host)
	if !errors.Is(err, interp.ErrWall) || err.Error() != "task both took longer than 200ms [max-wall]" {
		t.Errorf("got %v", err)
	}
}

// TestHeld has a body with so many calls under way that they take more memory in the parent than
// the evaluator itself may have.
func TestHeld(t *testing.T) {
	e := startFile(t, "def many():\n  for i in range(1000): start('hangs')\n  call('hangs', 1)\n", interp.Limits{})
	e.limits.Memory = 4 << 20 // the parent's side alone
	host, _ := hangingHost()
	if _, err := e.Body(t.Context(), "many", nil, host); !errors.Is(err, interp.ErrMemory) || !strings.Contains(err.Error(), "calls under way hold more than 4 MiB") {
		t.Errorf("got %v", err)
	}
	if held := e.held.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

// TestAsked has bodies that make more requests than a run may.
func TestAsked(t *testing.T) {
	host := testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"double": func(_ context.Context, n int64) (plan.Value, error) { return 2 * n, nil },
	}}
	e := startFile(t, "def calls():\n  for i in range(11): attempt('double', 1)\ndef writes():\n  for i in range(11): text('x', 'y' * 100)\n", interp.Limits{Actions: 10, Text: 1000})
	for task, want := range map[string]diag.LimitName{"calls": interp.ErrActions, "writes": interp.ErrText} {
		_, err := e.Body(t.Context(), task, nil, host)
		if list := findings(err); !errors.Is(err, want) || len(list) != 1 || list[0].Class != diag.Limit || list[0].Code != string(want) {
			t.Errorf("%s: got %v", task, err)
		}
	}
}

func TestCancelBody(t *testing.T) {
	e := startFile(t, "def waits(): return call('hangs', 1)\ndef spins():\n  for i in range(100000000): pass\n", interp.Limits{Steps: 1 << 50, Wall: time.Minute})
	var ended atomic.Int32
	hanging, hung := hangingHost()
	host := testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"hangs": func(ctx context.Context, n int64) (plan.Value, error) {
			defer ended.Add(1)
			return hanging.calls["hangs"](ctx, n)
		},
	}}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hung; cancel() }()
	if _, err := e.Body(ctx, "waits", nil, host); err != context.Canceled {
		t.Errorf("waits: got %v", err)
	}
	if ended.Load() != 1 {
		t.Error("the host's call went on after Body had returned")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := e.Body(ctx, "spins", nil, host); err != context.DeadlineExceeded {
		t.Errorf("spins: got %v", err)
	}
	waitFor(t, "the evaluator to end what was cancelled", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.bodies) == 0 && len(e.turns) == 0
	})
	cancelled, cancelNow := context.WithCancel(t.Context())
	cancelNow()
	if _, _, err := Start(cancelled, Options{Source: sources{"m.star": ""}, Entry: "m.star"}); err != context.Canceled {
		t.Errorf("start: got %v", err)
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestClose(t *testing.T) {
	e := startFile(t, "def waits(): call('hangs', 1)\n", interp.Limits{})
	host, hung := hangingHost()
	result := make(chan error, 1)
	go func() {
		_, err := e.Body(t.Context(), "waits", nil, host)
		result <- err
	}()
	<-hung
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
	if err := syscall.Kill(e.process.cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("the process is still there: %v", err)
	}
}

// TestMemoryBody: a body that grows slowly ends with an error that says where, and others go on.
func TestMemoryBody(t *testing.T) {
	if withCgo() {
		t.Skip("with cgo the threads of the C library take addresses from the budget, and the kernel may say no first")
	}
	e := startFile(t, "def grows():\n  a = []\n  for i in range(100000000):\n    a.append('x' * 1000)\ndef fine(): return 1\n", interp.Limits{Steps: 1 << 50, Wall: time.Minute})
	_, err := e.Body(t.Context(), "grows", nil, testHost{})
	var d *diag.Error
	if !errors.As(err, &d) || d.Msg != "evaluation needs more than 512 MiB of memory" || d.Pos.Line == 0 {
		t.Errorf("got %+v", err)
	}
	if v, err := e.Body(t.Context(), "fine", nil, testHost{}); err != nil || v != int64(1) {
		t.Errorf("then got %v, %v", v, err)
	}
}

// withCgo reports whether the test was built with cgo, which flytestar isn't.
func withCgo() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "1"})
}

func TestPrintLimit(t *testing.T) {
	var bytes atomic.Int64
	e, _, err := Start(t.Context(), Options{
		Source: sources{"main.star": "def floods():\n  for i in range(2000): print('x' * 100000)\n"}, Entry: "main.star",
		Print: func(_ diag.Position, task, text string) {
			if task != "floods" {
				t.Errorf("printed by %q", task)
			}
			bytes.Add(int64(len(text)))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Body(t.Context(), "floods", nil, testHost{}); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Load(); n > maxPrinted+200 || n < maxPrinted/2 {
		t.Errorf("%d bytes were passed on", n)
	}
}

// beParent starts an evaluator that never ends, and prints its process id.
func beParent() {
	e, _, err := Start(context.Background(), Options{Source: sources{"main.star": spins + "def stuck(): spin()"}, Entry: "main.star", Limits: interp.Limits{Wall: time.Hour}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go e.Body(context.Background(), "stuck", nil, testHost{})
	fmt.Println(e.process.cmd.Process.Pid)
	select {}
}

// TestOrphan: when a parent is killed, its evaluator dies too, even while it isn't reading its
// pipe.
func TestOrphan(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system has no parent-death signal")
	}
	parent := osexec.Command("/proc/self/exe")
	parent.Env = append(os.Environ(), parentVariable+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	alive := func() bool { return syscall.Kill(pid, 0) == nil && !zombie(pid) }
	if !alive() {
		t.Fatal("the evaluator doesn't run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := parent.Wait(); err == nil {
		t.Error("the parent wasn't killed")
	}
	waitFor(t, "the evaluator to die", func() bool { return !alive() })
}

// zombie reports whether a process has ended but nobody has waited for it.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// TestGroup shows that Ctrl-C, which a terminal sends to a whole group, doesn't reach the
// evaluator.
func TestGroup(t *testing.T) {
	e := startFile(t, "", interp.Limits{})
	pgid, err := syscall.Getpgid(e.process.cmd.Process.Pid)
	if err != nil || pgid != e.process.cmd.Process.Pid {
		t.Errorf("group %d, %v", pgid, err)
	}
}

// BenchmarkCheck measures Start for 20 functions in two modules, and Close.
func BenchmarkCheck(b *testing.B) {
	var lib, main strings.Builder
	for i := range 10 {
		fmt.Fprintf(&lib, "def f%d(n):\n    \"\"\"Does it.\"\"\"\n    return [x for x in range(n) if x %% %d]\n", i, i+1)
		fmt.Fprintf(&main, "load('lib.star', 'f%d')\ndef g%d(n):\n    return f%d(n) + [n]\n", i, i, i)
	}
	source := sources{"lib.star": lib.String(), "main.star": main.String()}
	for b.Loop() {
		e, _, err := Start(b.Context(), Options{Source: source, Entry: "main.star"})
		if err != nil {
			b.Fatal(err)
		}
		e.Close()
	}
}

// BenchmarkBody evaluates a body that makes one request.
func BenchmarkBody(b *testing.B) {
	e := startFile(b, "def f(n): return call('double', n)\n", interp.Limits{})
	host := testHost{calls: map[string]func(context.Context, int64) (plan.Value, error){
		"double": func(_ context.Context, n int64) (plan.Value, error) { return 2 * n, nil },
	}}
	for b.Loop() {
		if _, err := e.Body(b.Context(), "f", map[string]plan.Value{"n": int64(1)}, host); err != nil {
			b.Fatal(err)
		}
	}
}
