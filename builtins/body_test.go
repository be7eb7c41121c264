package builtins_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// module declares the tasks that the bodies of these tests call. Tests add to it.
const module = `
env = task_environment(name = "e")
one = task(command = ["x"], env = env, inputs = {"x": int}, output = int)
two = task(command = ["x"], env = env, inputs = {"x": int, "y": input(str, default = "d")}, output = int)
opts = task(command = ["x"], env = env, inputs = {"o": dict[str, float]}, output = any)
none = task(command = ["x"], env = env)
pair = task(command = ["x"], env = env, inputs = {"x": int, "z": dict[str, int], "y": input(int, default = 0)}, output = int)
bad = task(command = ["x"], env = env, inputs = {"x": input(int, default = 0)}, output = int)
reads = task(command = ["x"], env = env, inputs = {"f": File | None}, output = File)
`

// load executes source as a module, freezes it and names its tasks.
func load(t testing.TB, source string) *builtins.Registry {
	t.Helper()
	r := builtins.NewRegistry(builtins.Limits{Tasks: 1000, Futures: 100_000, Value: plan.MaxValue})
	lang := interp.Language{
		Predeclared: r.Predeclared(),
		ModuleLocal: builtins.ModuleLocal,
		Finished: func(_ *starlark.Thread, m *interp.Module) error {
			return r.Finished(m.Path, m.Summary, m.Globals)
		},
	}
	if _, err := (interp.Loader{Language: lang}).Load(oneModule(source), "dir/test.star"); err != nil {
		t.Fatal(err)
	}
	r.Index()
	return r
}

// oneModule is the source of every module.
type oneModule string

func (m oneModule) ReadModule(string) ([]byte, error) { return []byte(m), nil }

// host is a plan.Host that calls a function.
type host struct {
	call  func(plan.Invocation) (plan.Value, error)
	mu    sync.Mutex
	calls []plan.Invocation // as they come
	files map[string]string // content by digest
}

func (h *host) Call(_ context.Context, c plan.Invocation) (plan.Value, error) {
	h.mu.Lock()
	h.calls = append(h.calls, c)
	h.mu.Unlock()
	return h.call(c)
}

func (h *host) Await(done <-chan struct{}) { <-done }

func (h *host) Read(_ context.Context, f plan.File, limit int64) ([]byte, error) {
	s, ok := h.files[string(f.Digest)]
	if !ok || int64(len(s)) > limit {
		return nil, fmt.Errorf("no file %s of at most %d bytes", f.Digest, limit)
	}
	return []byte(s), nil
}

func (h *host) Files(_ context.Context, d plan.Dir, pattern string) ([]plan.File, error) {
	if pattern != "*.csv" {
		return nil, fmt.Errorf("no files %s", pattern)
	}
	return []plan.File{{Name: "a.csv", Digest: d.Digest}, {Name: "b.csv", Digest: d.Digest}}, nil
}

func (h *host) Text(_ context.Context, name, text string) (plan.File, error) {
	f := plan.File{Name: name, Digest: plan.DigestOf([]byte(text)), Size: int64(len(text))}
	h.files[string(f.Digest)] = text
	return f, nil
}

// answer is how most hosts answer a call: with 10 times x. The task bad fails with x as the
// message.
func answer(c plan.Invocation) (plan.Value, error) {
	switch c.Task {
	case "e.bad":
		return nil, &plan.Failure{Kind: plan.FailUser, Task: c.Task, Action: fmt.Sprint("a", c.Ordinal), Message: fmt.Sprint("bad ", c.Inputs["x"])}
	case "e.none":
		return nil, nil
	case "e.opts":
		return c.Inputs["o"], nil
	case "e.reads":
		return plan.File{Name: "f", Digest: "d", Size: 4}, nil
	}
	x, _ := c.Inputs["x"].(int64)
	return x * 10, nil
}

// run evaluates "def _f(): BODY" after the module.
func run(t testing.TB, body string, h *host) (plan.Value, error) {
	t.Helper()
	r := load(t, module+"def helper(x): return one(x)\ndef _f():\n    "+strings.ReplaceAll(body, "\n", "\n    ")+"\nf = task(_f, env = env, output = any)\n")
	h.files = map[string]string{"d": "text"}
	if h.call == nil {
		h.call = answer
	}
	return builtins.RunBody(&threads{}, r.Task("e.f"), nil, h)
}

// threads makes threads without limits.
type threads struct{ main starlark.Thread }

func (t *threads) Main() *starlark.Thread            { return &t.main }
func (*threads) Thread(name string) *starlark.Thread { return &starlark.Thread{Name: name} }
func (*threads) Count(*starlark.Thread)              {}
func (*threads) End(*starlark.Thread)                {}

func (*threads) Located(err error) *diag.Error {
	e := &diag.Error{Class: diag.Task, Msg: err.Error()}
	errors.As(err, &e)
	return e
}

func TestBodies(t *testing.T) {
	type list = []plan.Value
	type dict = map[string]plan.Value
	tests := []struct {
		body string
		want plan.Value
		err  string // of the error's text, or "" for none
	}{
		{"return one(1)", int64(10), ""},
		{"return one(x = 1) + two(1) + two(1, 'z') + two(y = 'z', x = 1)", int64(40), ""},
		{"return none()", nil, ""},
		{"return helper(3)", int64(30), ""},
		{"a = one.start(1)\nb = one.start(2)\nreturn [b.result(), a.result(), a.result()]", list{int64(20), int64(10), int64(10)}, ""},
		{"return gather(*[one.start(i) for i in range(5)])", list{int64(0), int64(10), int64(20), int64(30), int64(40)}, ""},
		{"return gather()", list{}, ""},
		{"return one.map(range(3))", list{int64(0), int64(10), int64(20)}, ""},
		{"return one.map([])", list{}, ""},
		{"return one.map([{'x': 1}], concurrency = 1)", list{int64(10)}, ""},
		{"return two.map([{'x': 1}, {'x': 2, 'y': 'q'}])", list{int64(10), int64(20)}, ""},
		{"return opts.map([{'o': 1}])", list{dict{"o": 1.0}}, ""},
		{"o = opts({'b': 2, 'a': 1})\no['c'] = 3\nreturn [o, list(o)]", list{dict{"a": 1.0, "b": 2.0, "c": int64(3)}, list{"a", "b", "c"}}, ""},
		{"f = opts.start({})\nf.result()['x'] = 1\nreturn f.result()", dict{}, ""},
		{"return (1, 'x', None, 1.5, True, struct(a = (1,)))", list{int64(1), "x", nil, 1.5, true, plan.Struct{"a": list{int64(1)}}}, ""},
		{"return reads(None).read()", "text", ""},
		{"return reads(File.from_text('n', 'abc')).name", "f", ""},
		{"f = File.from_text('n', 'abc')\nreturn [f.read(), f.size, f == File.from_text('n', 'abc'), f != f, f.name]", list{"abc", int64(3), true, false, "n"}, ""},

		{"return attempt(one, 1).value", int64(10), ""},
		{"a = attempt(bad, x = 7)\nreturn [a.ok, a.value, a.error.kind, a.error.message, a.error.task, a.error.action]", list{false, nil, "user", "bad 7", "e.bad", "a0"}, ""},
		{"a = attempt(one.start(1))\nreturn [a.ok, a.error]", list{true, nil}, ""},
		{"return attempt(bad.start()).ok", false, ""},
		{"return [a.ok for a in bad.map([1, 2], return_errors = True)]", list{false, false}, ""},
		{"return [bad.map([3, 4])]", nil, "e.bad: bad 3"},
		{"return gather(one.start(1), bad.start(5), bad.start(6))", nil, "e.bad: bad 5"},
		{"return bad(9)", nil, "e.bad: bad 9"},
		{"bad.start(1)\nbad.start(2)\nreturn 1", nil, "e.bad: bad 1"},
		{"one.start(1)\nreturn 1", int64(1), ""},
		{"bad.start(1)\nfail('first')", nil, "first"},
		{"return attempt(bad.start(1), 2)", nil, "takes no further arguments"},
		{"return attempt(helper, 2)", nil, "got a function"},
		{"return attempt(one(1))", nil, "got int"},
		{"return attempt()", nil, "wants a task or a future"},
		{"return attempt(one, 'x')", nil, "want int, got str [FS107]"}, // no failure of an action
		{"return gather([one.start(1)])", nil, "gather wants futures, got list"},

		{"return one()", nil, "e.one: no value for x [FS107]"},
		{"return one(1, 2)", nil, "e.one: want at most 1 arguments, got 2 [FS107]"},
		{"return one('x')", nil, `e.one: input "x": want int, got str [FS107]`},
		{"return one(1.5)", nil, `want int, got float [FS107]`},
		{"return one(1 << 63)", nil, `input "x": the int doesn't fit 64 bits [FS107]`},
		{"return one(1, x = 1)", nil, `input "x" is given twice [FS107]`},
		{"return two(x = 1, z = 1)", nil, `there is no input "z" [FS107]`},
		{"return opts({'a': [1, {}]})", nil, `["a"]: want float, got list [FS107]`},
		{"return opts({1: 1})", nil, "keys of a dict are str, got int"},
		{"return opts({'a': one})", nil, `["a"]: a task can't pass between tasks`},
		{"return opts(one.start(1))", nil, "a future can't pass between tasks"},
		{"return one.map([1, 'x'])", nil, `item 1: e.one: input "x": want int, got str`},
		{"return one.map(range(100000000))", nil, "e.f has more than 100000 calls under way [max-futures]"},
		{"return pair.map([1])", nil, "want a dict of its inputs by name, got int"},
		{"return two.map([1, 2])", list{int64(10), int64(20)}, ""},
		{"return two.map([1, 2], y = 'c')", list{int64(10), int64(20)}, ""},
		{"return two.map([{'x': 1}, {'x': 2}], y = 'c', concurrency = 1)", list{int64(10), int64(20)}, ""},
		{"return pair.map([1, 2], z = {'a': 1})", list{int64(10), int64(20)}, ""},
		{"return pair.map([{'x': 1}, {'x': 2, 'y': 3}], z = {'a': 1})", list{int64(10), int64(20)}, ""},
		{"return [x for x in pair.map([{'a': 1}], x = 3, y = 4)]", list{int64(30)}, ""},
		{"return pair.map([{'z': {}}], x = 3)", list{int64(30)}, ""},
		{"return two.map([{'x': 1, 'y': 'd'}], y = 'c')", nil, `input "y" is given twice`},
		{"return two.map([1], z = 1)", nil, `there is no input "z"`},
		{"return one.map([1], x = 1)", nil, `item 0: e.one: want a dict of its inputs by name, got int`},
		{"return one.override(label = 'a')(1) + one.override(label = 'a').override().start(2).result()", int64(30), ""},
		{"return one.override(label = 'a').map([1]) + [attempt(one.override(label = 'a'), 1).value, start(one.override(label = 'b'), 2).result()]", list{int64(10), int64(10), int64(20)}, ""},
		{"return [type(one.override()), str(one.override(label = 'x')), one.override().name]", list{"task", "<task e.one>", "one"}, ""},
		{"one.override('x')", nil, "override takes named arguments"},
		{"one.override(label = 'a\\nb')", nil, "can't be shown as a label"},
		{"one.override(label = '')", nil, "argument label: the string is empty"},
		{"one.override(labl = 'a')", nil, "labl"},
		{"return group('qc', one, 1) + group('qc', lambda x, y: one(x) + y, 2, y = 3)", int64(33), ""},
		{"group('qc')", nil, "group wants a name and a function"},
		{"group('qc', one(1))", nil, "group wants a function, got int"},
		{"group(1, one)", nil, "group: name: want a string, got int"},
		{"return two.map([{1: 2}])", nil, "got the key 1"},
		{"return set([1])", nil, "a set can't pass between tasks"},
		{"return [b'x']", nil, "[0]: a bytes can't pass"},
		{"return float('nan')", nil, "isn't finite"},
		{"return [len]", nil, "a builtin_function_or_method can't pass"},
		{"x = []\nx.append(x)\nreturn x", nil, "nests deeper than 64, or holds itself"},
		{"x = [1]\nfor i in range(40): x = [x, x]\nreturn x", nil, "more than the 10485760 bytes"},
		{"return 'x' * (11 << 20)", nil, "10485760 bytes that may pass between tasks [max-value]"},
		{"return opts({'x' * (11 << 20): 1})", nil, "10485760 bytes that may pass between tasks [max-value]"},

		{"task_environment(name = 'x')", nil, "task_environment declares, and a body can't"},
		{"image.from_debian_base()", nil, "image.from_debian_base declares"},
		{"env.clone_with('x')", nil, "clone_with declares"},
		{"input(int)", nil, "input declares"},
		{"return reads(None).read(max_bytes = 3)", nil, "f has 4 bytes, more than 3"},
		{"File.from_text('a/b', '')", nil, `"a/b" can't name a file`},
		{"reads(None) < reads(None)", nil, "can't be ordered"},
	}
	for _, tt := range tests {
		t.Run(tt.body, func(t *testing.T) {
			got, err := run(t, tt.body, &host{})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %.200v, %.200v; want the error %q", got, err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, %.200v; want %#v", got, err, tt.want)
			}
		})
	}
}

// TestFailureItself: RunBody returns the very failure of the host, not a copy.
func TestFailureItself(t *testing.T) {
	failure := &plan.Failure{Kind: plan.FailOOM, Task: "e.one"}
	for _, body := range []string{"one(1)", "one.start(1)", "one.map([1])", "return gather(one.start(1))", "helper(1)"} {
		_, err := run(t, body, &host{call: func(plan.Invocation) (plan.Value, error) { return nil, failure }})
		if err != error(failure) {
			t.Errorf("%s: got %v, want the failure itself", body, err)
		}
	}
}

// TestNoFailure: an error other than the failure of an action ends the body, even in attempt.
func TestNoFailure(t *testing.T) {
	limit := errors.New("calls nest deeper than 200")
	for _, body := range []string{"attempt(one, 1)", "one.map([1], return_errors = True)", "one.start(1)"} {
		_, err := run(t, body, &host{call: func(plan.Invocation) (plan.Value, error) { return nil, limit }})
		if !errors.Is(err, limit) {
			t.Errorf("%s: got %v, want %v", body, err, limit)
		}
	}
}

// TestOrdinals: calls are numbered in the order in which the body makes them. All items of map are
// numbered before any starts.
func TestOrdinals(t *testing.T) {
	h := &host{}
	if _, err := run(t, "a = two.start(1)\nb = one.map([2, 3])\nc = one(4)\nreturn a.result()", h); err != nil {
		t.Fatal(err)
	}
	x := map[int]any{}
	for _, c := range h.calls {
		x[c.Ordinal] = c.Inputs["x"]
		if c.Ordinal == 0 && c.Inputs["y"] != "d" {
			t.Errorf("the default isn't filled in: %v", c.Inputs)
		}
		if c.Pos.File != "dir/test.star" || c.Pos.Line == 0 {
			t.Errorf("call %d is at %s", c.Ordinal, c.Pos)
		}
	}
	if want := map[int]any{0: int64(1), 1: int64(2), 2: int64(3), 3: int64(4)}; !reflect.DeepEqual(x, want) {
		t.Errorf("got %v, want %v", x, want)
	}
}

// TestParallel: calls that were started, or made by map, are under way at once. Results keep their
// order.
func TestParallel(t *testing.T) {
	for body, want := range map[string]int{
		"return one.map(range(100))":                                      100,
		"return one.map(range(100), concurrency = 7)":                     7,
		"return gather(*[one.start(i) for i in range(100)])":              100,
		"return one.map(range(100), 1)":                                   1,
		"return [one(i) for i in range(100)]":                             1,
		"return [f.result() for f in [one.start(i) for i in range(100)]]": 100,
	} {
		var now, most atomic.Int64
		all := make(chan struct{})
		call := func(c plan.Invocation) (plan.Value, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if want == 100 { // all must be under way before any ends
				if n == 100 {
					close(all)
				}
				select {
				case <-all:
				case <-time.After(20 * time.Second):
					return nil, errors.New("the calls aren't under way at once")
				}
			} else {
				time.Sleep(time.Millisecond)
			}
			return c.Inputs["x"], nil
		}
		got, err := run(t, body, &host{call: call})
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		for i, v := range got.([]plan.Value) {
			if v != int64(i) {
				t.Errorf("%s: [%d] = %v", body, i, v)
			}
		}
		if most.Load() != int64(want) {
			t.Errorf("%s: %d under way at once, want %d", body, most.Load(), want)
		}
	}
}

// TestBodyWaits: RunBody returns only after every call has, even if the body has failed.
func TestBodyWaits(t *testing.T) {
	var ended atomic.Int64
	call := func(plan.Invocation) (plan.Value, error) {
		time.Sleep(20 * time.Millisecond)
		ended.Add(1)
		return int64(0), nil
	}
	_, err := run(t, "[one.start(i) for i in range(10)]\nfail('early')", &host{call: call})
	if err == nil || ended.Load() != 10 {
		t.Errorf("err %v, %d calls have ended, want 10", err, ended.Load())
	}
}

// TestManyStarted starts more calls than may be under way at once.
func TestManyStarted(t *testing.T) {
	h := &host{}
	got, err := run(t, "return len(gather(*[one.start(i) for i in range(5000)])) + len(one.map(range(5000)))", h)
	if err != nil || got != int64(10000) || len(h.calls) != 10000 {
		t.Errorf("got %v, %v, %d calls", got, err, len(h.calls))
	}
}

// TestRecursion: a task calls itself through the host, each body on a thread of its own.
func TestRecursion(t *testing.T) {
	r := load(t, `
env = task_environment(name = "e")
def _down(n): return 0 if n == 0 else down(n - 1) + 1
down = task(_down, env = env, inputs = {"n": int}, output = int)
`)
	h := &host{}
	h.call = func(c plan.Invocation) (plan.Value, error) {
		return builtins.RunBody(&threads{}, r.Task(c.Task), c.Inputs, h)
	}
	got, err := builtins.RunBody(&threads{}, r.Task("e.down"), map[string]plan.Value{"n": int64(150)}, h)
	if err != nil || got != int64(150) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestInputs: inputs are fresh and mutable, and defaults are filled in; a missing one is an error.
func TestInputs(t *testing.T) {
	r := load(t, `
env = task_environment(name = "e")
def _f(l, n = 3.0):
    l.append(n)
    return l
f = task(_f, env = env, inputs = {"l": list, "n": float}, output = list)
`)
	in := map[string]plan.Value{"l": []plan.Value{int64(1)}}
	for range 2 {
		got, err := builtins.RunBody(&threads{}, r.Task("e.f"), in, &host{})
		if want := []plan.Value{int64(1), 3.0}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	if _, err := builtins.RunBody(&threads{}, r.Task("e.f"), nil, &host{}); err == nil || !strings.Contains(err.Error(), `input "l" is missing`) {
		t.Errorf("err = %v", err)
	}
}

// TestResultPosition: a result that can't pass is reported at the body's function.
func TestResultPosition(t *testing.T) {
	_, err := run(t, "return one", &host{})
	var d *diag.Error
	if !errors.As(err, &d) || d.Pos.File != "dir/test.star" || !strings.Contains(d.Msg, "the result of e.f: a task can't pass") {
		t.Errorf("err = %v", err)
	}
}
