package builtins

import (
	"context"
	"errors"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/builtins/value"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Future is an action or a function that was started. spec.md, "Bodies".
type Future struct {
	body     *body
	name     string // of the task or function
	ordinals []int  // of the starts that led to it, then its own

	call  plan.Invocation // of an action
	begin func() *strand  // begins a function; nil once it has begun

	// Body.mu guards these, until it has ended.
	ended   bool
	waiting []*strand

	value plan.Value     // of an action
	made  starlark.Value // what a function returned
	err   error          // a *plan.Failure, what attempt catches besides, or what ends the body
}

var _ starlark.HasAttrs = (*Future)(nil)

// String returns "<future of TASK>".
func (f *Future) String() string { return "<future of " + f.name + ">" }

// Type returns "future".
func (f *Future) Type() string { return "future" }

// Freeze does nothing: what a future holds is copied out.
func (f *Future) Freeze() {}

// Truth returns true.
func (f *Future) Truth() starlark.Bool { return true }

// Hash fails: futures are unhashable.
func (f *Future) Hash() (uint32, error) { return 0, errorf("unhashable: future") }

// Attr implements starlark.HasAttrs.
func (f *Future) Attr(name string) (starlark.Value, error) {
	if name == "result" {
		return method[*Future]((*Future).resultMethod).bind(name, f), nil
	}
	return nil, nil
}

// AttrNames implements starlark.HasAttrs.
func (f *Future) AttrNames() []string { return []string{"result"} }

// newFuture makes the future of a call and numbers the call. run makes the call.
func (s *strand) newFuture(t *Call, inputs map[string]plan.Value, pos diag.Position) *Future {
	f := &Future{body: s.body, name: t.FullName(), ordinals: append(ordinals(s.within), s.calls), call: plan.Invocation{
		Ordinal: s.calls,
		Within:  s.within,
		Task:    t.FullName(),
		Label:   plan.Label{Label: t.label, Group: s.group},
		Inputs:  inputs,
		Pos:     pos,
	}}
	s.calls++
	s.open[f] = true
	return f
}

// room returns an error if the body can't have n more futures.
func (b *body) room(n int) error {
	if limit := b.task.registry.limits.Futures; n > limit-len(b.open) {
		return limitFutures.Errorf("%s has more than %d calls under way", b.task.FullName(), limit).
			WithHint("take the results of some before starting others, or raise the limit with %s", limitFutures.Flag())
	}
	return nil
}

// enqueue lets a future run after those before it.
func (b *body) enqueue(f *Future) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, f)
	if b.workers < underWay {
		b.workers++
		b.running.Go(b.work)
	}
}

// work runs futures until the queue is empty.
func (b *body) work() {
	for {
		b.mu.Lock()
		if len(b.queue) == 0 {
			b.workers--
			b.mu.Unlock()
			return
		}
		f := b.queue[0]
		b.queue = b.queue[1:]
		b.mu.Unlock()
		f.run()
	}
}

// run makes the call. It runs once, on another goroutine than the thread's.
func (f *Future) run() {
	defer f.body.ended(f)
	f.body.slots <- struct{}{}
	defer func() { <-f.body.slots }()
	v, err := f.body.host.Call(context.Background(), f.call)
	var failure *plan.Failure
	if err != nil && !errors.As(err, &failure) {
		err = ending{err}
	}
	f.value, f.err = v, err
}

// ending is an error of a call that isn't the action's failure: it ends the body.
type ending struct{ error }

// Unwrap returns the error.
func (e ending) Unwrap() error { return e.error }

// wait waits for the end and marks a failure as seen.
func (f *Future) wait(s *strand) error {
	if err := s.await(f); err != nil {
		return err
	}
	delete(s.open, f)
	return f.err
}

// result waits for the end and returns the value.
func (f *Future) result(s *strand) (starlark.Value, error) {
	if err := f.wait(s); err != nil {
		return nil, err
	}
	return f.get(), nil
}

// get returns the value: a copy of an action's, or what a function returned, which is frozen.
func (f *Future) get() starlark.Value {
	if f.made != nil {
		return f.made
	}
	return value.ToStarlark(f.value)
}

// resultMethod implements .result. spec.md, "Bodies".
func (f *Future) resultMethod(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if err := unpack.Args(fn, args, kwargs); err != nil {
		return nil, err
	}
	s, err := strandOf(th, fn)
	if err != nil {
		return nil, err
	}
	return f.result(s)
}

// outcome waits for the end and returns the result of attempt. An error that attempt doesn't catch
// ends the body.
func (f *Future) outcome(s *strand) (starlark.Value, error) {
	err := f.wait(s)
	if err == nil {
		return outcome(true, f.get(), starlark.None), nil
	}
	failure := f.failure(err)
	if failure == nil {
		return nil, err
	}
	return outcome(false, starlark.None, starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{
		"kind":    starlark.String(failure.Kind),
		"type":    orNone(failure.Type),
		"message": starlark.String(failure.Message),
		"task":    starlark.String(failure.Task),
		"action":  orNone(failure.Action),
	})), nil
}

// failure returns what attempt catches of the error with which an action or a function ended, or nil.
func (f *Future) failure(err error) *plan.Failure {
	var failure *plan.Failure
	var e *diag.Error
	switch {
	case errors.As(err, &failure):
		return failure
	case f.call.Task == "" && caught(err) && errors.As(err, &e):
		return &plan.Failure{Kind: plan.FailUser, Message: withHint(e), Task: f.body.task.FullName()}
	}
	return nil
}

// withHint returns an error's message with its hint, where only text can be passed on.
func withHint(e *diag.Error) string {
	if e.Hint == "" {
		return e.Msg
	}
	return e.Msg + " (hint: " + e.Hint + ")"
}

func orNone(s string) starlark.Value {
	if s == "" {
		return starlark.None
	}
	return starlark.String(s)
}

func outcome(ok bool, value, err starlark.Value) starlark.Value {
	return starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{
		"ok": starlark.Bool(ok), "value": value, "error": err,
	})
}

// attempt implements attempt. spec.md, "Bodies".
func attempt(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	s, err := strandOf(th, b.Name())
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, errorf("attempt wants a task or a future")
	}
	switch x := args[0].(type) {
	case *Future:
		if len(args) > 1 || len(kwargs) > 0 {
			return nil, errorf("attempt of a future takes no further arguments").WithHint("its action has been started with some")
		}
		return x.outcome(s)
	case *Task, *Call:
		c, _ := callOf(x)
		f, err := c.begin(th, args[1:], kwargs)
		if err != nil {
			return nil, err
		}
		return f.outcome(s)
	case *starlark.Function:
		return nil, errorf("attempt wants a task or a future, got a function").WithHint("write attempt(start(fn, arguments…))")
	}
	return nil, errorf("attempt wants a task or a future, got %s", args[0].Type()).
		WithHint("write attempt(task, arguments…), not attempt(task(arguments…))")
}

// gather implements gather. spec.md, "Bodies".
func gather(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	s, err := strandOf(th, b.Name())
	if err != nil {
		return nil, err
	}
	if len(kwargs) > 0 {
		return nil, errorf("gather takes futures, not named arguments")
	}
	futures := make([]*Future, len(args))
	for i, v := range args {
		f, ok := v.(*Future)
		if !ok {
			e := errorf("gather wants futures, got %s", v.Type())
			if _, ok := v.(starlark.Sequence); ok {
				return nil, e.WithHint("write gather(*futures)")
			}
			return nil, e.WithHint("task.start(...) and start(fn, ...) return futures")
		}
		futures[i] = f
	}
	return s.results(futures)
}

// results waits for all futures. It returns their values, or the first failure in their order.
func (s *strand) results(futures []*Future) (starlark.Value, error) {
	var first error
	for _, f := range futures {
		if err := f.wait(s); first == nil {
			first = err
		}
	}
	if first != nil {
		return nil, first
	}
	values := make([]starlark.Value, len(futures))
	for i, f := range futures {
		values[i] = f.get()
	}
	return starlark.NewList(values), nil
}

// outcomes waits for all futures and returns the result of attempt for each.
func (s *strand) outcomes(futures []*Future) (starlark.Value, error) {
	var first error
	values := make([]starlark.Value, len(futures))
	for i, f := range futures {
		v, err := f.outcome(s)
		if first == nil {
			first = err
		}
		values[i] = v
	}
	if first != nil {
		return nil, first
	}
	return starlark.NewList(values), nil
}
