package builtins

import (
	"errors"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/site"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// start implements start(fn, …). spec.md, "Bodies".
func start(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	s, err := strandOf(th, b.Name())
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, errorf("start wants a function or a task, and its arguments")
	}
	switch fn := args[0].(type) {
	case *Task, *Call:
		c, _ := callOf(fn)
		return c.start(th, "start", args[1:], kwargs)
	case starlark.Callable:
		return s.start(th, fn, args[1:], kwargs)
	case *Future:
		return nil, errorf("start wants a function or a task, got a future").WithHint("it has been started already")
	}
	e := errorf("start wants a function or a task, got %s", args[0].Type())
	return nil, e.WithHint("write start(fn, arguments…), not start(fn(arguments…))")
}

// start starts a function. What it is given and what it captures is frozen: so no other function
// sees it change, and it doesn't matter which of them runs first.
func (s *strand) start(th *starlark.Thread, fn starlark.Callable, args starlark.Tuple, kwargs []starlark.Tuple) (*Future, error) {
	if err := s.room(1); err != nil {
		return nil, err
	}
	if len(s.within) == plan.MaxStarts {
		return nil, diag.Errorf(diag.Position{}, diag.Limit, "started functions nest deeper than %d", plan.MaxStarts)
	}
	at := plan.Start{Ordinal: s.calls, Function: fn.Name(), Pos: s.task.registry.Sources.Start(site.Of(th))}
	values := append(starlark.Tuple{fn}, args...)
	for _, kv := range kwargs {
		values = append(values, kv[1])
	}
	uses, err := s.captured.freeze(at.Pos, values)
	if err != nil {
		return nil, err
	}
	s.calls++
	f := &Future{name: fn.Name(), body: s.body, ordinals: append(ordinals(s.within), at.Ordinal)}
	path := append(s.within[:len(s.within):len(s.within)], at)
	group := within(s.group, startLabel(fn.Name(), args, kwargs))
	f.begin = func() *strand {
		f.begin = nil
		s.begun++
		fresh := s.newStrand(s.threads.Thread(fn.Name()), path)
		fresh.uses, fresh.group = uses, group
		go fresh.run(f, fn, args, kwargs)
		return fresh
	}
	s.open[f] = true
	s.left++
	s.unbegun = append(s.unbegun, f)
	return f, nil
}

// run calls the function that was started. It begins in the strand's turn.
func (s *strand) run(f *Future, fn starlark.Callable, args starlark.Tuple, kwargs []starlark.Tuple) {
	<-s.turn
	err := s.captured.check(s.uses)
	if err == nil {
		f.made, err = starlark.Call(s.thread, fn, args, kwargs)
	}
	if err != nil {
		f.err = s.explained(err)
	} else {
		freeze([]starlark.Value{f.made})
	}
	s.threads.End(s.thread)
	s.begun--
	s.left--
	s.ended(f)
	s.mu.Lock()
	if s.left == 0 && s.last != nil {
		s.readied(s.last)
	}
	s.mu.Unlock()
	s.next().turn <- struct{}{}
}

// explained returns the error with which a started function ended. If attempt may catch it, it is a
// *plan.Failure, or an error of class Task with the position in the function.
func (s *strand) explained(err error) error {
	var failure *plan.Failure
	if errors.As(err, &failure) {
		return failure
	}
	if !caught(err) {
		return err
	}
	e := s.threads.Located(err)
	if !caught(e) { // a limit has ended the thread
		return e
	}
	at := s.within[len(s.within)-1]
	e.Notes = append(e.Notes[:len(e.Notes):len(e.Notes)], diag.Note{Pos: at.Pos, Msg: at.Function + " was started here"})
	return e
}

// caught reports whether attempt catches an error of a started function that isn't an action's
// failure: an error of its own code, as it would fail the action of an orchestrator.
func caught(err error) bool {
	var e *diag.Error
	var list diag.List
	if errors.As(err, &list) || errors.As(err, &ending{}) {
		return false
	}
	return !errors.As(err, &e) || e.Code == "" && (e.Class == "" || e.Class == diag.Task)
}

// ordinals returns the numbers of starts.
func ordinals(starts []plan.Start) []int {
	out := make([]int, len(starts), len(starts)+1)
	for i, s := range starts {
		out[i] = s.Ordinal
	}
	return out
}
