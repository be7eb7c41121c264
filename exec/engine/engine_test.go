package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/engine"
	"github.com/flytestar/flytestar/exec/exectest"
	"github.com/flytestar/flytestar/exec/storetest"
	"github.com/flytestar/flytestar/plan"
)

// Types and tasks that the tests' graph has.
var (
	str   = plan.Type{Kind: plan.KindStr}
	integ = plan.Type{Kind: plan.KindInt}
	file  = plan.Type{Kind: plan.KindFile}
)

func param(name string, t plan.Type) plan.Param { return plan.Param{Name: name, Type: t} }

func output(t plan.Type) []plan.Param { return []plan.Param{param("output", t)} }

// rig is an engine on fakes: environment "top" has orchestrators and depends on
// "box", whose tasks run in containers; "far" is reached by nobody.
type rig struct {
	*engine.Engine
	fake   *exectest.Fake
	store  *storetest.Memory
	bodies exectest.Bodies
	at     engine.Location

	mu     sync.Mutex
	events []exec.Event
}

func newRig(t *testing.T) *rig {
	r := &rig{store: new(storetest.Memory), bodies: exectest.Bodies{}, at: engine.Location{Run: "run", Logs: t.TempDir()}}
	r.fake = &exectest.Fake{Store: r.store, Tasks: map[string]func(context.Context, *exectest.Task) exec.Exit{}}
	g := &plan.Graph{
		Version: plan.Version, Entry: "main.star",
		Images: []plan.Image{{Base: plan.Base{Kind: plan.BaseScratch}}},
		Environments: []plan.Environment{
			{Name: "top", Image: plan.NoImage, DependsOn: []int{1}},
			{Name: "box", Image: 0, EnvVars: map[string]string{"A": "env", "B": "env"}},
			{Name: "far", Image: plan.NoImage, Global: "far_env"},
		},
	}
	r.Engine = &engine.Engine{
		Graph: g, Bodies: r.bodies, Executor: r.fake, Store: r.store, Images: map[int]plan.Digest{1: "sha256:image"},
		Source: fstest.MapFS{}, Jobs: 4, Backoff: time.Microsecond,
		Watch: func(e exec.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		},
	}
	return r
}

// orchestrator adds a task of environment env, whose body is a function.
func (r *rig) orchestrator(env int, name string, task plan.Task, body func(context.Context, map[string]plan.Value, plan.Host) (plan.Value, error)) {
	task.Name, task.Env, task.Dir, task.Single = name, env, ".", len(task.Outputs) == 1
	task.Body = plan.Body{Kind: plan.BodyStarlark, Function: name}
	r.Graph.Tasks = append(r.Graph.Tasks, task)
	r.bodies[r.Graph.FullName(len(r.Graph.Tasks)-1)] = body
}

// command adds a task that runs in a container of "box".
func (r *rig) command(name string, task plan.Task, run func(context.Context, *exectest.Task) exec.Exit) {
	task.Name, task.Env, task.Dir = name, 1, "."
	task.Single = len(task.Outputs) == 1 && task.Outputs[0].Name == "output"
	if task.Body.Kind == "" {
		task.Body = plan.Body{Kind: plan.BodyCommand, Command: []string{"true"}}
	}
	r.Graph.Tasks = append(r.Graph.Tasks, task)
	r.fake.Tasks["box."+name] = run
}

// run runs a task on a graph that it has checked.
func (r *rig) run(t *testing.T, task string, inputs map[string]plan.Value) (plan.Value, error) {
	t.Helper()
	if err := r.Graph.Validate(); err != nil {
		t.Fatalf("the test's graph: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r.at.Logs = t.TempDir() // of this run alone
	return r.Run(ctx, r.at, task, inputs)
}

// kinds returns the kinds of a task's events, in order.
func (r *rig) kinds(task string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kinds []string
	for _, e := range r.events {
		if e.Task == task && e.Kind != exec.ActionLog {
			kinds = append(kinds, strings.TrimPrefix(string(e.Kind), "action."))
		}
	}
	return strings.Join(kinds, " ")
}

func call(task string, ordinal int, inputs map[string]plan.Value) plan.Invocation {
	return plan.Invocation{Task: task, Ordinal: ordinal, Inputs: inputs, Pos: diag.Position{File: "main.star", Line: 10 + ordinal, Col: 5}}
}

// failure returns err as a failure, or fails the test.
func failure(t *testing.T, err error) *plan.Failure {
	t.Helper()
	var f *plan.Failure
	if !errors.As(err, &f) {
		t.Fatalf("want a failure, got %T: %v", err, err)
	}
	return f
}

func TestRunCallTree(t *testing.T) {
	r := newRig(t)
	r.command("double", plan.Task{Inputs: []plan.Param{param("n", integ)}, Outputs: output(integ)},
		func(_ context.Context, t *exectest.Task) exec.Exit {
			t.Output("output", fmt.Sprint(2*int64(t.Input("n").(float64)))+"\n")
			return exec.Exit{}
		})
	r.orchestrator(0, "main", plan.Task{Inputs: []plan.Param{{Name: "n", Type: integ, Default: json.RawMessage("20")}}, Outputs: output(integ)},
		func(ctx context.Context, in map[string]plan.Value, h plan.Host) (plan.Value, error) {
			a, err := h.Call(ctx, call("box.double", 0, in))
			if err != nil {
				return nil, err
			}
			b, err := h.Call(ctx, call("box.double", 1, map[string]plan.Value{"n": int64(1)}))
			if err != nil {
				return nil, err
			}
			return a.(int64) + b.(int64), nil
		})
	v, err := r.run(t, "top.main", nil)
	if err != nil || v != int64(42) {
		t.Fatalf("got %v, %v; want 42", v, err)
	}
	if got, want := r.kinds("top.main"), "started done"; got != want {
		t.Errorf("events of main: %s; want %s", got, want)
	}
	if got, want := r.kinds("box.double"), "queued started done queued started done"; got != want {
		t.Errorf("events of double: %s; want %s", got, want)
	}
	main := engine.ActionID("run", "0")
	want := map[string]string{main: "", engine.ActionID(main, "0"): main, engine.ActionID(main, "1"): main}
	parents := map[string]string{}
	for _, e := range r.events {
		parents[e.Action] = e.Parent
	}
	if !reflect.DeepEqual(parents, want) {
		t.Errorf("parents by action %v, want %v", parents, want)
	}
}

// TestActionIDs: an action's id follows from its caller's and its ordinal alone.
func TestActionIDs(t *testing.T) {
	r := newRig(t)
	r.orchestrator(0, "main", plan.Task{}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		_, err := h.Call(ctx, call("top.leaf", 7, nil))
		return nil, err
	})
	r.orchestrator(0, "leaf", plan.Task{}, func(context.Context, map[string]plan.Value, plan.Host) (plan.Value, error) { return nil, nil })
	if _, err := r.run(t, "top.main", nil); err != nil {
		t.Fatal(err)
	}
	root := engine.ActionID("run", "0")
	leaf := engine.ActionID(root, "7")
	for _, e := range r.events {
		if want := map[string]string{"top.main": root, "top.leaf": leaf}[e.Task]; e.Action != want {
			t.Errorf("action of %s is %s, want %s", e.Task, e.Action, want)
		}
	}
}

// TestStartedIDs: the starts that led to a call are part of its identity, and of how its failure is
// shown.
func TestStartedIDs(t *testing.T) {
	r := newRig(t)
	within := func(ordinals ...int) plan.Invocation {
		c := call("top.leaf", ordinals[len(ordinals)-1], nil)
		for i, n := range ordinals[:len(ordinals)-1] {
			c.Within = append(c.Within, plan.Start{Ordinal: n, Function: fmt.Sprint("f", i), Pos: diag.Position{File: "main.star", Line: 20 + i, Col: 1}})
		}
		return c
	}
	r.orchestrator(0, "main", plan.Task{}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		_, err := h.Call(ctx, within(3, 1, 7))
		f := failure(t, err)
		var trace []string
		for _, c := range f.Callers {
			trace = append(trace, fmt.Sprintf("%s%s:%d", c.Function, c.Task, c.Pos.Line))
		}
		if got := strings.Join(trace, " "); got != "f1top.main:17 f0top.main:21 top.main:20" {
			t.Errorf("callers: %s", got)
		}
		if _, err := h.Call(ctx, within(3, 1)); err == nil {
			t.Error("no failure")
		}
		return nil, nil
	})
	r.orchestrator(0, "leaf", plan.Task{}, func(context.Context, map[string]plan.Value, plan.Host) (plan.Value, error) {
		return nil, diag.Errorf(diag.Position{}, diag.Task, "no luck")
	})
	if _, err := r.run(t, "top.main", nil); err != nil {
		t.Fatal(err)
	}
	root := engine.ActionID("run", "0")
	want := map[string]bool{root: true, engine.ActionID(root, "3/1/7"): true, engine.ActionID(root, "3/1"): true}
	for _, e := range r.events {
		if !want[e.Action] {
			t.Errorf("action %s of %s", e.Action, e.Task)
		}
	}
}

// TestRecursion: a task calls itself 50 deep, with a container at each depth
// and two slots, and doesn't deadlock; 200 deep is the limit, which attempt can't catch.
func TestRecursion(t *testing.T) {
	r := newRig(t)
	r.Jobs = 2
	r.command("leaf", plan.Task{}, func(context.Context, *exectest.Task) exec.Exit { return exec.Exit{} })
	r.orchestrator(0, "main", plan.Task{Inputs: []plan.Param{param("n", integ)}, Outputs: output(integ)},
		func(ctx context.Context, in map[string]plan.Value, h plan.Host) (plan.Value, error) {
			if _, err := h.Call(ctx, call("box.leaf", 0, nil)); err != nil {
				return nil, err
			}
			n := in["n"].(int64)
			if n == 0 {
				return int64(0), nil
			}
			v, err := h.Call(ctx, call("top.main", 1, map[string]plan.Value{"n": n - 1}))
			if err != nil {
				return int64(-1), nil // as attempt would
			}
			return v.(int64) + 1, nil
		})
	if v, err := r.run(t, "top.main", map[string]plan.Value{"n": int64(50)}); err != nil || v != int64(50) {
		t.Errorf("50 deep: got %v, %v", v, err)
	}
	if v, err := r.run(t, "top.main", map[string]plan.Value{"n": int64(199)}); err != nil || v != int64(199) {
		t.Errorf("199 deep: got %v, %v", v, err)
	}
	_, err := r.run(t, "top.main", map[string]plan.Value{"n": int64(1000)})
	var e *diag.Error
	if !errors.As(err, &e) || e.Class != diag.Task || !strings.Contains(e.Msg, "deeper than 200") {
		t.Errorf("1000 deep: want the limit as an error of class task, got %v", err)
	}
}

// TestJobs: as many attempts run at a time as there are slots, no more.
func TestJobs(t *testing.T) {
	r := newRig(t)
	r.Jobs = 3
	full := make(chan struct{})
	var once sync.Once
	r.command("leaf", plan.Task{}, func(ctx context.Context, _ *exectest.Task) exec.Exit {
		if r.fake.Running() == 3 {
			once.Do(func() { close(full) })
		}
		select {
		case <-full:
		case <-ctx.Done():
		}
		return exec.Exit{}
	})
	r.orchestrator(0, "main", plan.Task{}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		errs := make(chan error)
		for i := range 50 {
			go func() {
				_, err := h.Call(ctx, call("box.leaf", i, nil))
				errs <- err
			}()
		}
		var all []error
		for range 50 {
			all = append(all, <-errs)
		}
		return nil, errors.Join(all...)
	})
	if _, err := r.run(t, "top.main", nil); err != nil {
		t.Fatal(err)
	}
	if r.fake.Most() != 3 {
		t.Errorf("%d ran at a time, want 3", r.fake.Most())
	}
}

// TestFailures: how an attempt ends decides the failure's kind and words.
func TestFailures(t *testing.T) {
	exit := func(e exec.Exit) func(context.Context, *exectest.Task) exec.Exit {
		return func(_ context.Context, t *exectest.Task) exec.Exit {
			fmt.Fprint(t.Log, "first\nlast words\n")
			return e
		}
	}
	leave := func(name, content string) func(context.Context, *exectest.Task) exec.Exit {
		return func(_ context.Context, t *exectest.Task) exec.Exit {
			t.Output(name, content)
			return exec.Exit{}
		}
	}
	python := plan.Body{Kind: plan.BodyPython, File: "run.py", Function: "run"}
	tests := []struct {
		name string
		task plan.Task
		run  func(context.Context, *exectest.Task) exec.Exit
		kind plan.FailureKind
		want string
	}{
		{"exit code", plan.Task{}, exit(exec.Exit{Code: 3}), plan.FailUser, "exit code 3"},
		{"signal", plan.Task{}, exit(exec.Exit{Code: 137, Signal: "SIGKILL"}), plan.FailUser, "killed by SIGKILL"},
		{"in a shell", plan.Task{}, exit(exec.Exit{Code: 139}), plan.FailUser, "exit code 139: a program in it was killed by SIGSEGV"},
		{"bus error", plan.Task{}, exit(exec.Exit{Code: 135, Signal: "SIGBUS"}), plan.FailUser, "64 MiB, and resources(shm = …)"},
		{"full shm", plan.Task{Resources: &plan.Resources{Shm: 1 << 20}}, exit(exec.Exit{Code: 1, ShmFull: true}), plan.FailUser, "it has 1 MiB, and resources(shm = …)"},
		{"crowded", plan.Task{}, exit(exec.Exit{Code: 1, Crowded: true}), plan.FailUser, "limited number of processes"},
		{"oom", plan.Task{}, exit(exec.Exit{Code: 137, Signal: "SIGKILL", OOM: true}), plan.FailOOM, "out of memory"},
		{"oom limit", plan.Task{Resources: &plan.Resources{Memory: 64 << 20}}, exit(exec.Exit{Code: 1, OOM: true}), plan.FailOOM, "limit of 64 MiB"},
		{"timeout", plan.Task{Timeout: 20 * time.Millisecond}, func(ctx context.Context, t *exectest.Task) exec.Exit {
			fmt.Fprint(t.Log, "last words")
			<-ctx.Done()
			return exec.Exit{}
		}, plan.FailTimeout, "timeout of 20ms"},
		{"missing", plan.Task{Outputs: output(file)}, leave("other", "x"), plan.FailUser, `output "output" is missing`},
		{"refused", plan.Task{Outputs: output(file)}, func(_ context.Context, t *exectest.Task) exec.Exit {
			t.Refuse("output: a symbolic link")
			return exec.Exit{}
		}, plan.FailUser, "can't be kept: output: a symbolic link"},
		{"int", plan.Task{Outputs: output(integ)}, leave("output", "many"), plan.FailUser, `output "output": want int as JSON`},
		{"float for int", plan.Task{Outputs: output(integ)}, leave("output", "1.5"), plan.FailUser, "want int, got float"},
		{"not UTF-8", plan.Task{Outputs: output(str)}, leave("output", "\xff"), plan.FailUser, "isn't valid UTF-8"},
		{"file for dir", plan.Task{Outputs: output(plan.Type{Kind: plan.KindDir})}, leave("output", "x"), plan.FailUser, "want Dir, got File"},
		{"list of files", plan.Task{Outputs: output(plan.Type{Kind: plan.KindList, Elem: &file})}, leave("output", `["/etc/passwd"]`), plan.FailUser, "want File, got str"},
		{"exception", plan.Task{Body: python}, leave("flytestar.json", `{"error": "ValueError: no (run.py:3, in run)"}`), plan.FailUser, "ValueError: no (run.py:3, in run)"},
		{"exception for want of memory", plan.Task{Body: python}, func(_ context.Context, t *exectest.Task) exec.Exit {
			t.Output("flytestar.json", `{"error": "BrokenProcessPool"}`)
			return exec.Exit{OOM: true}
		}, plan.FailOOM, "out of memory"},
		{"no result", plan.Task{Body: python}, exit(exec.Exit{}), plan.FailUser, "before run returned"},
		{"wrong type", plan.Task{Body: python, Outputs: output(str)}, leave("flytestar.json", `{"value": [1]}`), plan.FailUser, "want str, got list"},
		{"undeclared", plan.Task{Body: python}, leave("flytestar.json", `{"value": 1}`), plan.FailUser, "want None, got int"},
		{"forged file", plan.Task{Body: python, Outputs: output(file)}, leave("flytestar.json",
			`{"value": {"$file": {"name": "x", "digest": "sha256:00", "size": 1}}}`), plan.FailUser, "isn't among the outputs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.Source = fstest.MapFS{"run.py": {Data: []byte("def run(): pass\n")}}
			r.command("leaf", tt.task, tt.run)
			_, err := r.run(t, "box.leaf", nil)
			f := failure(t, err)
			if f.Kind != tt.kind || !strings.Contains(f.Message, tt.want) {
				t.Errorf("got %s: %s; want %s: …%s…", f.Kind, f.Message, tt.kind, tt.want)
			}
			var log []byte
			if f.LogFile != "" { // it has no log if it wrote nothing
				if log, err = os.ReadFile(f.LogFile); err != nil || len(log) == 0 {
					t.Errorf("the failure's log: %q, %v", log, err)
				}
			}
			if f.Log != strings.TrimSuffix(string(log), "\n") {
				t.Errorf("tail %q of log %q", f.Log, log)
			}
			if tt.name == "exit code" && f.Log != "first\nlast words" {
				t.Errorf("tail %q", f.Log)
			}
			if got := r.kinds("box.leaf"); got != "queued started failed" {
				t.Errorf("events: %s", got)
			}
		})
	}
}

// TestExecutorError: what the executor says of an attempt that it couldn't run.
func TestExecutorError(t *testing.T) {
	for class, want := range map[diag.Class]plan.FailureKind{diag.System: plan.FailSystem, diag.Task: plan.FailUser} {
		r := newRig(t)
		r.command("leaf", plan.Task{}, nil)
		r.Executor = executorFunc{r.fake, func(context.Context, *exec.Attempt) (*exec.Result, error) {
			return nil, diag.Errorf(diag.Position{}, class, "no can do").WithHint("try")
		}}
		_, err := r.run(t, "box.leaf", nil)
		if f := failure(t, err); f.Kind != want || f.Message != "no can do" || f.Hint != "try" {
			t.Errorf("class %s: got %s: %s", class, f.Kind, f.Message)
		}
	}
}

// executorFunc is a Fake that runs attempts as the function does.
type executorFunc struct {
	*exectest.Fake
	run func(context.Context, *exec.Attempt) (*exec.Result, error)
}

func (f executorFunc) Run(ctx context.Context, a *exec.Attempt) (*exec.Result, error) {
	return f.run(ctx, a)
}

func TestRetries(t *testing.T) {
	r := newRig(t)
	count := 0
	r.command("leaf", plan.Task{Retries: 2}, func(_ context.Context, t *exectest.Task) exec.Exit {
		count++
		if t.Number != count {
			return exec.Exit{Code: 99}
		}
		fmt.Fprintf(t.Log, "attempt %d\n", count)
		if count < 3 {
			return exec.Exit{Code: 1}
		}
		return exec.Exit{}
	})
	if _, err := r.run(t, "box.leaf", nil); err != nil {
		t.Fatal(err)
	}
	if got, want := r.kinds("box.leaf"), "queued started retried queued started retried queued started done"; got != want {
		t.Errorf("events: %s; want %s", got, want)
	}
	r.fake.Tasks["box.leaf"] = func(_ context.Context, t *exectest.Task) exec.Exit {
		fmt.Fprintf(t.Log, "attempt %d\n", t.Number)
		return exec.Exit{Code: 7}
	}
	_, err := r.run(t, "box.leaf", nil)
	f := failure(t, err)
	if f.Kind != plan.FailRetries || f.Message != "all 3 attempts failed, the last (user): exit code 7" || f.Log != "attempt 3" {
		t.Errorf("got %+v", f)
	}
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(f.LogFile), f.Action+"-?.log"))
	if err != nil || len(logs) != 3 {
		t.Errorf("want three logs, got %v, %v", logs, err)
	}
}

// TestFailureThroughBodies: the failure that a run ends with is the one that
// caused it, and says by which calls the run came there.
func TestFailureThroughBodies(t *testing.T) {
	r := newRig(t)
	r.command("leaf", plan.Task{}, func(context.Context, *exectest.Task) exec.Exit { return exec.Exit{Code: 1} })
	through := func(next string, ordinal int) func(context.Context, map[string]plan.Value, plan.Host) (plan.Value, error) {
		return func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
			return h.Call(ctx, call(next, ordinal, nil))
		}
	}
	r.orchestrator(0, "main", plan.Task{}, through("top.middle", 1))
	r.orchestrator(0, "middle", plan.Task{}, through("box.leaf", 2))
	_, err := r.run(t, "top.main", nil)
	f := failure(t, err)
	if f.Task != "box.leaf" || f.Pos.Line != 12 || f.Message != "exit code 1" {
		t.Errorf("got %+v", f)
	}
	var trace []string
	for _, c := range f.Callers {
		trace = append(trace, fmt.Sprintf("%s:%d", c.Task, c.Pos.Line))
	}
	if got := strings.Join(trace, " "); got != "top.middle:12 top.main:11" {
		t.Errorf("callers: %s", got)
	}
}

// TestCaught: a body that catches a failure goes on, and so does the run.
func TestCaught(t *testing.T) {
	r := newRig(t)
	r.command("leaf", plan.Task{}, func(context.Context, *exectest.Task) exec.Exit { return exec.Exit{Code: 1} })
	r.orchestrator(0, "bad", plan.Task{}, func(context.Context, map[string]plan.Value, plan.Host) (plan.Value, error) {
		e := diag.Errorf(diag.Position{File: "main.star", Line: 3, Col: 1}, diag.Task, "no luck")
		e.Notes = []diag.Note{{Pos: diag.Position{File: "main.star", Line: 9, Col: 1}, Msg: "called from here, in _bad"}}
		return nil, e
	})
	r.orchestrator(0, "main", plan.Task{Outputs: output(str)}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		var said []string
		for i, task := range []string{"box.leaf", "top.bad"} {
			_, err := h.Call(ctx, call(task, i, nil))
			f := failure(t, err)
			said = append(said, fmt.Sprintf("%s %s", f.Kind, f.Message))
			if task == "top.bad" && (f.Pos.Line != 3 || len(f.Frames) != 1 || f.Frames[0].Pos.Line != 9) {
				t.Errorf("the failure of a body is at %v, called from %v", f.Pos, f.Frames)
			}
		}
		return strings.Join(said, "; "), nil
	})
	v, err := r.run(t, "top.main", nil)
	if err != nil || v != "user exit code 1; user no luck" {
		t.Errorf("got %q, %v", v, err)
	}
}

// TestHalts: what a body mustn't do, or must not outlive, ends the whole run,
// also if the body would go on.
func TestHalts(t *testing.T) {
	stolen := plan.File{Name: "x", Digest: plan.Digest("sha256:" + strings.Repeat("a", 64)), Size: 1}
	tests := []struct {
		name  string
		body  func(ctx context.Context, h plan.Host) (plan.Value, error)
		class diag.Class
		code  string
		want  string
	}{
		{"no task", func(ctx context.Context, h plan.Host) (plan.Value, error) {
			return h.Call(ctx, call("top.nothing", 0, nil))
		}, diag.Source, "", "isn't a task"},
		{"FS101", func(ctx context.Context, h plan.Host) (plan.Value, error) {
			return h.Call(ctx, call("far.away", 0, nil))
		}, diag.Source, "FS101", `"top" doesn't depend on "far"`},
		{"inputs", func(ctx context.Context, h plan.Host) (plan.Value, error) {
			return h.Call(ctx, call("box.leaf", 0, map[string]plan.Value{"f": "text"}))
		}, diag.Source, "FS107", `input "f": want File, got str`},
		{"missing input", func(ctx context.Context, h plan.Host) (plan.Value, error) {
			return h.Call(ctx, call("box.leaf", 0, nil))
		}, diag.Source, "FS107", `input "f" is missing`},
		{"stolen input", func(ctx context.Context, h plan.Host) (plan.Value, error) {
			return h.Call(ctx, call("box.leaf", 0, map[string]plan.Value{"f": stolen}))
		}, diag.System, "", "isn't of this run"},
		{"stolen read", func(ctx context.Context, h plan.Host) (plan.Value, error) {
			_, err := h.Read(ctx, stolen, 10)
			return nil, err
		}, diag.System, "", "isn't of this run"},
		{"stolen list", func(ctx context.Context, h plan.Host) (plan.Value, error) {
			_, err := h.Files(ctx, plan.Dir(stolen), "*")
			return nil, err
		}, diag.System, "", "isn't of this run"},
		{"unknown in the workspace", func(ctx context.Context, h plan.Host) (plan.Value, error) {
			_, err := h.Read(ctx, plan.File{Name: "x", Workspace: "x"}, 10)
			return nil, err
		}, diag.System, "", "the File x of the workspace isn't one that the run needs"},
		{"ordinal twice", func(ctx context.Context, h plan.Host) (plan.Value, error) {
			for range 2 {
				if _, err := h.Call(ctx, call("top.fine", 4, nil)); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}, diag.System, "", "numbered two calls"},
		{"limit", func(context.Context, plan.Host) (plan.Value, error) {
			return nil, diag.Errorf(diag.Position{}, diag.Limit, "took more than 10 steps")
		}, diag.Task, "", "took more than 10 steps"},
		{"finding", func(context.Context, plan.Host) (plan.Value, error) {
			return nil, &diag.Error{Class: diag.Task, Code: "FS107", Msg: "wrong argument"}
		}, diag.Task, "FS107", "wrong argument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.command("leaf", plan.Task{Inputs: []plan.Param{param("f", file)}}, nil)
			nothing := func(context.Context, map[string]plan.Value, plan.Host) (plan.Value, error) { return nil, nil }
			r.orchestrator(0, "fine", plan.Task{}, nothing)
			r.orchestrator(2, "away", plan.Task{}, nothing)
			r.orchestrator(0, "inner", plan.Task{}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
				return tt.body(ctx, h)
			})
			r.orchestrator(0, "main", plan.Task{}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
				_, err := h.Call(ctx, call("top.inner", 0, nil))
				var f *plan.Failure
				if errors.As(err, &f) {
					t.Errorf("a body could catch %v", f)
				}
				_, err = h.Call(ctx, call("top.fine", 1, nil))
				return nil, err
			})
			_, err := r.run(t, "top.main", nil)
			var e *diag.Error
			if !errors.As(err, &e) || e.Class != tt.class || e.Code != tt.code || !strings.Contains(e.Msg, tt.want) {
				t.Errorf("got %#v; want class %s, code %q, …%s…", err, tt.class, tt.code, tt.want)
			}
		})
	}
}

// TestBodyResult: what a body returns is checked against the task's output.
func TestBodyResult(t *testing.T) {
	r := newRig(t)
	var returned plan.Value
	r.orchestrator(0, "main", plan.Task{Outputs: output(plan.Type{Kind: plan.KindAny})}, func(context.Context, map[string]plan.Value, plan.Host) (plan.Value, error) {
		return returned, nil
	})
	deep := plan.Value("x")
	for range plan.MaxDepth + 1 {
		deep = []plan.Value{deep}
	}
	for want, v := range map[string]plan.Value{"nests deeper": deep, "more than the": strings.Repeat("x", plan.MaxValue+1)} {
		returned = v
		_, err := r.run(t, "top.main", nil)
		if f := failure(t, err); f.Kind != plan.FailUser || !strings.Contains(f.Message, want) {
			t.Errorf("got %v, want …%s…", f, want)
		}
	}
}

// TestFiles: a body lists a directory that it was given.
func TestFiles(t *testing.T) {
	r := newRig(t)
	tree := []exec.Entry{
		storetest.File("b.csv", "b"), storetest.File("a.csv", "a"), storetest.File("sub/c.csv", "c"), storetest.Program("run", "x"),
		storetest.Directory("empty"), {Path: "link.csv", Link: "sub/again"}, {Path: "sub/again", Link: "c.csv"}, {Path: "dir.csv", Link: "sub"},
	}
	d, err := r.store.PutDir(t.Context(), "d", tree)
	if err != nil {
		t.Fatal(err)
	}
	r.orchestrator(0, "main", plan.Task{Inputs: []plan.Param{param("d", plan.Type{Kind: plan.KindDir})}, Outputs: output(plan.ListOf(file))}, func(ctx context.Context, in map[string]plan.Value, h plan.Host) (plan.Value, error) {
		for pattern, want := range map[string]string{"*": "a.csv b.csv link.csv run", "*.csv": "a.csv b.csv link.csv", "**/*.csv": "a.csv b.csv link.csv c.csv", "sub/*": "again c.csv", "none*": ""} {
			files, err := h.Files(ctx, in["d"].(plan.Dir), pattern)
			var names []string
			for _, f := range files {
				names = append(names, f.Name)
			}
			if got := strings.Join(names, " "); err != nil || got != want {
				t.Errorf("%s: got %q, %v; want %q", pattern, got, err, want)
			}
		}
		for _, pattern := range []string{"../*", "[", "/x", ""} {
			if _, err := h.Files(ctx, in["d"].(plan.Dir), pattern); err == nil {
				t.Errorf("the pattern %q is taken", pattern)
			}
		}
		files, err := h.Files(ctx, in["d"].(plan.Dir), "*.csv")
		if err != nil {
			return nil, err
		}
		if data, err := h.Read(ctx, files[2], 10); err != nil || string(data) != "c" {
			t.Errorf("the link's content: %q, %v", data, err)
		}
		return []plan.Value{files[0]}, nil
	})
	if _, err := r.run(t, "top.main", map[string]plan.Value{"d": d}); err != nil {
		t.Fatal(err)
	}
}

// TestWorkspaceArtifacts: what the store has stands for a File of the workspace: in defaults, in calls,
// for a body that reads it, and in results.
func TestWorkspaceArtifacts(t *testing.T) {
	r := newRig(t)
	f, err := r.store.PutFile(t.Context(), "x", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	ref := plan.File{Name: "x", Workspace: "d/x"}
	r.Artifacts = map[plan.Value]plan.Value{ref: f}
	byDefault := param("f", file)
	if byDefault.Default, err = plan.MarshalValue(ref); err != nil {
		t.Fatal(err)
	}
	rec := plan.Type{Kind: plan.KindRecord, Fields: []plan.Field{{Name: "f", Type: file, Default: byDefault.Default}}}
	var mounted []plan.Value
	r.command("read", plan.Task{Inputs: []plan.Param{byDefault, param("r", rec)}}, func(_ context.Context, t *exectest.Task) exec.Exit {
		for _, m := range t.Inputs {
			mounted = append(mounted, m.Artifact)
		}
		return exec.Exit{}
	})
	r.orchestrator(0, "main", plan.Task{Inputs: []plan.Param{byDefault}, Outputs: output(plan.ListOf(rec))}, func(ctx context.Context, in map[string]plan.Value, h plan.Host) (plan.Value, error) {
		if in["f"] != plan.Value(f) {
			t.Errorf("the body has %v", in["f"])
		}
		if data, err := h.Read(ctx, ref, 10); err != nil || string(data) != "hello" {
			t.Errorf("it reads %q, %v", data, err)
		}
		for i, inputs := range []map[string]plan.Value{{"r": plan.Struct{}}, {"f": ref, "r": plan.Struct{"f": ref}}} {
			if _, err := h.Call(ctx, call("box.read", i, inputs)); err != nil {
				return nil, err
			}
		}
		return []plan.Value{plan.Struct{}, plan.Struct{"f": ref}}, nil
	})
	got, err := r.run(t, "top.main", nil)
	if want := (plan.Value([]plan.Value{plan.Struct{"f": f}, plan.Struct{"f": f}})); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if want := []plan.Value{f, f, f, f}; !reflect.DeepEqual(mounted, want) {
		t.Errorf("the containers have %v", mounted)
	}
	if _, err := r.run(t, "top.main", map[string]plan.Value{"f": plan.File{Name: "y", Workspace: "y"}}); err == nil {
		t.Error("a File of the workspace that the run doesn't have is taken")
	}
}

// TestArtifacts: files go from task to task, to a body and back.
func TestArtifacts(t *testing.T) {
	r := newRig(t)
	r.command("write", plan.Task{Outputs: output(file)}, func(_ context.Context, t *exectest.Task) exec.Exit {
		t.Output("output", "hello")
		return exec.Exit{}
	})
	var mounts []exec.Input
	r.command("read", plan.Task{Inputs: []plan.Param{param("files", plan.Type{Kind: plan.KindList, Elem: &file})}}, func(_ context.Context, t *exectest.Task) exec.Exit {
		mounts = t.Inputs
		return exec.Exit{}
	})
	r.orchestrator(0, "main", plan.Task{Outputs: output(file)}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		v, err := h.Call(ctx, call("box.write", 0, nil))
		if err != nil {
			return nil, err
		}
		data, err := h.Read(ctx, v.(plan.File), 5)
		if err != nil || string(data) != "hello" {
			t.Errorf("read %q, %v", data, err)
		}
		if _, err := h.Read(ctx, v.(plan.File), 4); err == nil || !strings.Contains(err.Error(), "more than 4") {
			t.Errorf("reading at most 4 bytes: %v", err)
		}
		for _, name := range []string{"", "..", "a/b"} {
			if _, err := h.Text(ctx, name, "x"); err == nil {
				t.Errorf("text named %q is kept", name)
			}
		}
		made, err := h.Text(ctx, "made.txt", "by hand")
		if err != nil {
			return nil, err
		}
		if _, err := h.Call(ctx, call("box.read", 1, map[string]plan.Value{"files": []plan.Value{v, made}})); err != nil {
			return nil, err
		}
		return made, nil
	})
	v, err := r.run(t, "top.main", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(mounts) != 2 || mounts[0].Path != "/var/inputs/files/output" || mounts[1].Path != "/var/inputs/files/made.txt" || mounts[1].Artifact != v {
		t.Errorf("mounts %+v", mounts)
	}
}

// TestCancel: when the run is cancelled everything ends, and has ended when Run returns.
func TestCancel(t *testing.T) {
	r := newRig(t)
	started := make(chan struct{}, 4)
	r.command("leaf", plan.Task{Retries: 5}, func(ctx context.Context, _ *exectest.Task) exec.Exit {
		started <- struct{}{}
		<-ctx.Done()
		time.Sleep(10 * time.Millisecond) // dying takes a while
		return exec.Exit{Code: 137}
	})
	r.orchestrator(0, "main", plan.Task{}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_, err := h.Call(ctx, call("box.leaf", i, nil))
				var f *plan.Failure
				if err == nil || errors.As(err, &f) {
					t.Errorf("a call ended with %v; want the run's end, which nothing catches", err)
				}
			})
		}
		wg.Wait()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	go func() {
		for range 4 {
			<-started
		}
		cancel(cause)
	}()
	_, err := r.Run(ctx, r.at, "top.main", nil)
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
	if n := r.fake.Running(); n != 0 {
		t.Errorf("%d attempts are still under way", n)
	}
}

// TestAbandoned: calls that a body leaves under way are cancelled and waited
// for, and answer nothing afterwards.
func TestAbandoned(t *testing.T) {
	r := newRig(t)
	started := make(chan struct{})
	r.command("leaf", plan.Task{}, func(ctx context.Context, _ *exectest.Task) exec.Exit {
		close(started)
		<-ctx.Done()
		return exec.Exit{Code: 137}
	})
	var late plan.Host
	r.orchestrator(0, "main", plan.Task{}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		late = h
		go h.Call(context.Background(), call("box.leaf", 0, nil))
		<-started
		return nil, nil
	})
	if _, err := r.run(t, "top.main", nil); err != nil {
		t.Fatal(err)
	}
	if n := r.fake.Running(); n != 0 {
		t.Errorf("%d attempts are still under way", n)
	}
	if _, err := late.Call(t.Context(), call("box.leaf", 1, nil)); err == nil {
		t.Error("a body that has ended can call")
	}
}

// TestTimeoutOfOrchestrator: its actions end with it, and its caller may catch that.
func TestTimeoutOfOrchestrator(t *testing.T) {
	r := newRig(t)
	r.command("leaf", plan.Task{Retries: 3}, func(ctx context.Context, _ *exectest.Task) exec.Exit {
		<-ctx.Done()
		return exec.Exit{Code: 137}
	})
	r.orchestrator(0, "slow", plan.Task{Timeout: 20 * time.Millisecond}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		return h.Call(ctx, call("box.leaf", 0, nil))
	})
	r.orchestrator(0, "main", plan.Task{Outputs: output(str)}, func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		_, err := h.Call(ctx, call("top.slow", 0, nil))
		f := failure(t, err)
		return string(f.Kind) + " " + f.Task, nil
	})
	v, err := r.run(t, "top.main", nil)
	if err != nil || v != "timeout top.slow" {
		t.Errorf("got %v, %v", v, err)
	}
	if got := r.kinds("box.leaf"); got != "queued started failed" {
		t.Errorf("events of leaf: %s", got)
	}
}

func TestBadStart(t *testing.T) {
	r := newRig(t)
	r.Source = fstest.MapFS{"a.txt": {Data: []byte("a")}}
	r.command("leaf", plan.Task{Inputs: []plan.Param{param("n", integ)}}, nil)
	r.command("carries", plan.Task{Include: []string{"*.csv"}}, nil)
	r.orchestrator(0, "main", plan.Task{}, nil)
	r.Graph.Calls = []plan.Call{{Caller: 2, Callee: 1}}
	tests := []struct {
		task   string
		inputs map[string]plan.Value
		class  diag.Class
		want   string
	}{
		{"box.nothing", nil, diag.Usage, "no task"},
		{"box.leaf", nil, diag.Usage, `input "n" is missing`},
		{"box.leaf", map[string]plan.Value{"n": "1"}, diag.Usage, "want int, got str"},
		{"box.leaf", map[string]plan.Value{"n": int64(1), "m": nil}, diag.Usage, `no input "m"`},
		{"box.carries", nil, diag.Source, "matches no file"},
		{"top.main", nil, diag.Source, "matches no file"}, // reached
	}
	for _, tt := range tests {
		_, err := r.run(t, tt.task, tt.inputs)
		var e *diag.Error
		if !errors.As(err, &e) || e.Class != tt.class || !strings.Contains(e.Msg, tt.want) {
			t.Errorf("%s %v: got %v; want class %s, …%s…", tt.task, tt.inputs, err, tt.class, tt.want)
		}
	}
	if logs, _ := os.ReadDir(r.at.Logs); len(logs) != 0 || len(r.events) != 0 || len(r.fake.Reaped()) != 0 {
		t.Errorf("effects before the error: %v, %v, %v", logs, r.events, r.fake.Reaped())
	}
}

// TestAttempt: what a task in a container is given.
func TestAttempt(t *testing.T) {
	r := newRig(t)
	r.Source = fstest.MapFS{
		"lib/run.py":    {Data: []byte("def run(): pass\n")},
		"lib/more/x.py": {Data: []byte("x = 1\n")},
		"lib/tool":      {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		"other/y.py":    {Data: []byte("y = 1\n")},
	}
	r.Graph.Environments[1].Network = true
	r.Graph.Environments[1].Resources = plan.Resources{Memory: 1 << 30}
	var got *exec.Attempt
	look := func(_ context.Context, t *exectest.Task) exec.Exit {
		got = t.Attempt
		t.Output("flytestar.json", `{"value": null}`)
		return exec.Exit{}
	}
	r.command("py", plan.Task{
		Body: plan.Body{Kind: plan.BodyPython, File: "lib/run.py", Function: "run"}, Include: []string{"//lib/tool"},
		EnvVars: map[string]string{"B": "task", "C": "task"},
		Inputs:  []plan.Param{param("x", plan.Type{Kind: plan.KindAny})},
	}, look)
	r.command("sh", plan.Task{Body: plan.Body{Kind: plan.BodyScript, Script: "#!/bin/sh\ntrue\n"}, Resources: &plan.Resources{MilliCPU: 500}}, look)
	value := plan.Struct{"d": map[string]plan.Value{"$k": 1.0}, "s": "<é>"}
	if _, err := r.run(t, "box.py", map[string]plan.Value{"x": value}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"A=env", "B=task", "C=task"}; !reflect.DeepEqual(got.Env, want) {
		t.Errorf("environment %q, want %q", got.Env, want)
	}
	if want := []string{"python3", "-u", "/var/flytestar/python.py"}; !reflect.DeepEqual(got.Args, want) {
		t.Errorf("arguments %q", got.Args)
	}
	if !got.Network || got.Resources.Memory != 1<<30 || got.Image.Digest != "sha256:image" || got.Task != "box.py" || got.Number != 1 {
		t.Errorf("got %+v", got)
	}
	files := map[string]string{}
	for _, f := range got.Files {
		files[f.Path] = string(f.Data)
	}
	if want := `{"x":{"d":{"$k":1.0},"s":"<é>"}}` + "\n"; files["/var/inputs.json"] != want {
		t.Errorf("inputs.json: %s, want %s", files["/var/inputs.json"], want)
	}
	if want := `{"file":"/workspace/lib/run.py","function":"run","inputs":{"x":{"$struct":{"d":{"$dict":{"$k":1.0}},"s":"<é>"}}},"module":"run","output":{"kind":"None"},"root":"/workspace/lib","tuple":false}`; files["/var/flytestar/call.json"] != want {
		t.Errorf("call.json: %s, want %s", files["/var/flytestar/call.json"], want)
	}
	if len(got.Inputs) != 1 || got.Inputs[0].Path != "/workspace" {
		t.Fatalf("inputs %+v", got.Inputs)
	}
	var carried []string
	for m, err := range r.store.List(t.Context(), got.Inputs[0].Artifact.(plan.Dir)) {
		if err != nil {
			t.Fatal(err)
		}
		if !m.Dir {
			carried = append(carried, m.Path)
		}
	}
	if want := "lib/more/x.py lib/run.py lib/tool"; strings.Join(carried, " ") != want {
		t.Errorf("carries %s, want %s", carried, want)
	}
	if _, err := r.run(t, "box.sh", nil); err != nil {
		t.Fatal(err)
	}
	if len(got.Inputs) != 0 || got.Args[0] != "/var/flytestar/script" || got.Resources != (plan.Resources{MilliCPU: 500}) {
		t.Errorf("script: got %+v", got)
	}
	for _, f := range got.Files {
		if f.Path == got.Args[0] && (f.Mode != 0o755 || string(f.Data) != "#!/bin/sh\ntrue\n") {
			t.Errorf("script file %+v", f)
		}
	}
}

// TestLogEvents: lines are streamed as they come, as valid UTF-8 of bounded length, and kept as
// they are.
func TestLogEvents(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("x", 9000)
	pieces := []string{"one\ntw", "o\r\n", "bad \xff byte\n", long + "\n", "\n", "no end"}
	r.command("leaf", plan.Task{}, func(_ context.Context, t *exectest.Task) exec.Exit {
		for _, p := range pieces {
			fmt.Fprint(t.Log, p)
		}
		return exec.Exit{Code: 1}
	})
	_, err := r.run(t, "box.leaf", nil)
	f := failure(t, err)
	var lines []string
	for _, e := range r.events {
		if e.Kind == exec.ActionLog {
			lines = append(lines, strings.Split(e.Line, "\n")...)
		}
	}
	want := []string{"one", "two", "bad \uFFFD byte", long[:8192], long[8192:], "", "no end"}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("got %.40q, want %.40q", lines, want)
	}
	if data, err := os.ReadFile(f.LogFile); err != nil || string(data) != strings.Join(pieces, "") {
		t.Errorf("the log's file has %d bytes, %v", len(data), err)
	}
	if f.Log != "\nno end" { // the line before is longer than a tail, and a line that is cut is left out
		t.Errorf("tail %.40q of %d bytes", f.Log, len(f.Log))
	}
}

// TestLogEventsBounded: lines are passed on together, and no more of a log than its bound.
func TestLogEventsBounded(t *testing.T) {
	r := newRig(t)
	r.command("leaf", plan.Task{}, func(_ context.Context, t *exectest.Task) exec.Exit {
		for range 40 {
			fmt.Fprint(t.Log, strings.Repeat("\n", 1<<20))
		}
		return exec.Exit{}
	})
	if _, err := r.run(t, "box.leaf", nil); err != nil {
		t.Fatal(err)
	}
	events, bytes, last := 0, 0, ""
	for _, e := range r.events {
		if e.Kind == exec.ActionLog {
			events, bytes, last = events+1, bytes+len(e.Line), e.Line
		}
	}
	if events > 5000 || bytes > 17<<20 || !strings.HasPrefix(last, "[what follows isn't shown") {
		t.Errorf("%d events of %d bytes; the last is %.100q", events, bytes, last)
	}
}

// BenchmarkFanOut is what the engine itself adds to an action in a container: 1,000 at once on a
// fake executor.
func BenchmarkFanOut(b *testing.B) {
	store := new(storetest.Memory)
	fake := &exectest.Fake{Store: store, Tasks: map[string]func(context.Context, *exectest.Task) exec.Exit{
		"box.leaf": func(context.Context, *exectest.Task) exec.Exit { return exec.Exit{} },
	}}
	const calls = 1000
	bodies := exectest.Bodies{"top.main": func(ctx context.Context, _ map[string]plan.Value, h plan.Host) (plan.Value, error) {
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() {
				if _, err := h.Call(ctx, call("box.leaf", i, nil)); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		return nil, nil
	}}
	e := &engine.Engine{
		Graph: &plan.Graph{
			Version: plan.Version, Images: []plan.Image{{}},
			Environments: []plan.Environment{{Name: "top", Image: plan.NoImage, DependsOn: []int{1}}, {Name: "box"}},
			Tasks: []plan.Task{
				{Name: "main", Body: plan.Body{Kind: plan.BodyStarlark}},
				{Name: "leaf", Env: 1, Body: plan.Body{Kind: plan.BodyCommand, Command: []string{"true"}}},
			},
		},
		Bodies: bodies, Executor: fake, Store: store, Images: map[int]plan.Digest{1: "x"}, Source: fstest.MapFS{},
	}
	for b.Loop() {
		if _, err := e.Run(b.Context(), engine.Location{Run: "run", Logs: b.TempDir()}, "top.main", nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*calls), "µs/action")
}
