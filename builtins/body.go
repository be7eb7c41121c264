package builtins

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/site"
	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/builtins/value"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// body is one evaluation of an orchestrator's function. Only the strand that runs touches it, except
// for what mu guards.
type body struct {
	task     *Task
	host     plan.BodyHost
	threads  Threads
	open     map[*Future]bool // futures that the body hasn't looked at
	captured captured
	unbegun  []*Future // started functions, in order; some may have begun
	begun    int       // started functions that have begun and not ended
	left     int       // started functions that have not ended
	running  sync.WaitGroup
	slots    chan struct{} // bounds how many calls are under way at once

	mu      sync.Mutex
	queue   []*Future     // calls that wait to be made, in order
	workers int           // goroutines that take from queue
	ready   []*strand     // strands that can run, in order
	wake    chan struct{} // closed when a strand is ready, if all wait
	last    *strand       // waits until all functions have ended
}

// underWay bounds how many calls of one body the host gets at once. Further ones wait.
const underWay = 1000

// RunBody evaluates the body of an orchestrator: it calls the function with inputs by name
// and with defaults, and returns the result. It doesn't check the result against the output's type.
// host runs actions and has the content of artifacts. When RunBody returns, every call of host has
// returned.
//
// If the body lets the failure of an action through, or doesn't look at it, RunBody returns that
// very *plan.Failure. Any other error of the body is a *starlark.EvalError or a *diag.Error.
// spec.md, "Bodies".
func RunBody(threads Threads, t *Task, inputs map[string]plan.Value, host plan.BodyHost) (plan.Value, error) {
	if t.Func == nil {
		return nil, errorf("%s has no body in Starlark", t.FullName())
	}
	b := &body{task: t, host: host, threads: threads, open: map[*Future]bool{}, slots: make(chan struct{}, underWay)}
	s := b.newStrand(threads.Main(), nil)
	result, err := b.call(s.thread, inputs)
	s.awaitAll()
	ended := make(chan struct{})
	go func() {
		b.running.Wait()
		close(ended)
	}()
	host.Await(ended)
	if err != nil {
		return nil, err
	}
	if err := b.captured.check(b.captured.order); err != nil {
		return nil, err
	}
	return result, b.neglected()
}

// awaitAll lets the functions that were started run to their ends.
func (s *strand) awaitAll() {
	s.mu.Lock()
	s.last = s
	s.mu.Unlock()
	for s.left > 0 {
		_ = s.yield() // it has no captured variables of its own
	}
}

// call calls the function.
func (b *body) call(th *starlark.Thread, inputs map[string]plan.Value) (plan.Value, error) {
	var kwargs []starlark.Tuple
	for _, p := range b.task.Decl.Inputs {
		v, ok := inputs[p.Name]
		if !ok {
			if v, ok = b.task.defaults[p.Name]; !ok {
				return nil, errorf("%s: input %q is missing", b.task.FullName(), p.Name)
			}
		}
		kwargs = append(kwargs, starlark.Tuple{starlark.String(p.Name), value.ToStarlark(v)})
	}
	v, err := starlark.Call(th, b.task.Func, nil, kwargs)
	var failure *plan.Failure
	if errors.As(err, &failure) {
		return nil, failure
	}
	if err != nil {
		return nil, err
	}
	result, err := value.FromStarlark(v, b.task.registry.limits.Value)
	if err != nil {
		return nil, b.located(unpack.About("the result of "+b.task.FullName(), err))
	}
	return result, nil
}

// located gives an error without a position that of the body.
func (b *body) located(err error) error {
	var d *diag.Error
	if errors.As(err, &d) && !d.Pos.IsValid() {
		d.Pos = b.task.Decl.Body.Pos
	}
	return err
}

// neglected returns the failure of the first future that failed and that the body didn't look at.
func (b *body) neglected() error {
	var first *Future
	for f := range b.open {
		if f.err != nil && (first == nil || slices.Compare(f.ordinals, first.ordinals) < 0) {
			first = f
		}
	}
	if first == nil {
		return nil
	}
	return first.err
}

// CallInternal calls the task and waits for its value. spec.md, "Bodies".
func (t *Task) CallInternal(th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return (&Call{Task: t}).CallInternal(th, args, kwargs)
}

// begin starts an action.
func (c *Call) begin(th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (*Future, error) {
	b, err := strandOf(th, c.what())
	if err != nil {
		return nil, err
	}
	if err := b.room(1); err != nil {
		return nil, err
	}
	inputs, err := c.bind(args, kwargs)
	if err != nil {
		return nil, err
	}
	f := b.newFuture(c, inputs, c.registry.Sources.Start(site.Of(th)))
	b.enqueue(f)
	return f, nil
}

// what returns how a message names the task.
func (t *Task) what() string {
	if t.Decl.Name == "" {
		return "a task"
	}
	return "task " + t.FullName()
}

// callError returns the finding FS107: the arguments of a call don't fit the task's inputs.
func (t *Task) callError(format string, args ...any) *diag.Error {
	e := errorf("%s: %s", t.FullName(), fmt.Sprintf(format, args...))
	e.Code = "FS107"
	return e
}

// bind returns a call's arguments by input, with defaults, and checks them against the types.
func (t *Task) bind(args starlark.Tuple, kwargs []starlark.Tuple) (map[string]plan.Value, error) {
	params := t.Decl.Inputs
	if len(args) > len(params) {
		return nil, t.callError("want at most %d arguments, got %d", len(params), len(args)).WithHint("%s", t.Decl.Takes())
	}
	given := map[string]starlark.Value{}
	for i, v := range args {
		given[params[i].Name] = v
	}
	var known map[string]int
	if len(kwargs) > 0 {
		known = paramIndex(params)
	}
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		if _, ok := known[name]; !ok {
			e := t.callError("there is no input %q", name)
			if near := diag.Suggest(name, paramNames(params)); near != "" {
				return nil, e.WithHint("did you mean %s?", near)
			}
			return nil, e.WithHint("%s", t.Decl.Takes())
		}
		if given[name] != nil {
			return nil, t.callError("input %q is given twice", name)
		}
		given[name] = kv[1]
	}
	return t.check(given)
}

// check makes a call's inputs of the values that are given for them.
func (t *Task) check(given map[string]starlark.Value) (map[string]plan.Value, error) {
	inputs := make(map[string]plan.Value, len(t.Decl.Inputs))
	var missing []string
	for _, p := range t.Decl.Inputs {
		v, ok := given[p.Name]
		if !ok {
			if inputs[p.Name], ok = t.defaults[p.Name]; !ok {
				missing = append(missing, p.Name)
			}
			continue
		}
		value, err := conform(v, p.Type, t.registry.limits.Value)
		if err == nil {
			err = plan.CheckValue(value, t.registry.limits.Value)
		}
		if err != nil {
			return nil, t.inputError(p.Name, err)
		}
		inputs[p.Name] = value
	}
	if len(missing) > 0 {
		return nil, t.callError("no value for %s", strings.Join(missing, ", ")).WithHint("%s", t.Decl.Takes())
	}
	return inputs, nil
}

// inputError returns the finding FS107 for the value of one input.
func (t *Task) inputError(name string, err error) error {
	var d *diag.Error
	if errors.As(err, &d) && d.Class == diag.Limit {
		return unpack.About(fmt.Sprintf("%s: input %q", t.FullName(), name), err)
	}
	e := t.callError("input %q: %v", name, err)
	if d != nil {
		e.Hint = d.Hint
	}
	return e
}
