package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// action is one task call of a run.
type action struct {
	run    *run
	id     string
	parent string // the caller's id; empty for the first
	task   *plan.Task
	index  int    // of the task in the graph
	name   string // the task's full name
	inputs map[string]plan.Value
	pos    diag.Position // of the call; of the task for the first
	depth  int           // callers above it
}

// actionID names a call by its caller and its ordinal in the caller's body.
func actionID(caller string, ordinal int) string {
	sum := sha256.Sum256([]byte(caller + "/" + strconv.Itoa(ordinal)))
	return hex.EncodeToString(sum[:])[:12]
}

// do runs the action to its end: attempts until one succeeds, or none is left.
// The error is a *plan.Failure, or anything else if it was ended from without.
func (a *action) do(ctx context.Context) (plan.Value, error) {
	for n := 1; ; n++ {
		v, err := a.attempt(ctx, n)
		if err == nil {
			a.emit(exec.Event{Kind: exec.ActionDone, Number: n})
			return v, nil
		}
		var f *plan.Failure
		if !errors.As(err, &f) {
			a.emit(exec.Event{Kind: exec.ActionFailed, Number: n, Error: a.ended(err)})
			return nil, err
		}
		if n > a.task.Retries {
			f = a.exhausted(f, n)
			a.emit(exec.Event{Kind: exec.ActionFailed, Number: n, Error: f})
			return nil, f
		}
		a.emit(exec.Event{Kind: exec.ActionRetried, Number: n, Error: f})
		if err := a.pause(ctx, n); err != nil {
			a.emit(exec.Event{Kind: exec.ActionFailed, Number: n, Error: a.ended(err)})
			return nil, err
		}
	}
}

// attempt is one try. A container's takes a slot first, and its timeout begins then.
func (a *action) attempt(ctx context.Context, n int) (plan.Value, error) {
	try := a.body
	if a.task.InContainer() {
		try = a.container
		a.emit(exec.Event{Kind: exec.ActionQueued, Number: n})
		select {
		case a.run.slots <- struct{}{}:
			defer func() { <-a.run.slots }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.emit(exec.Event{Kind: exec.ActionStarted, Number: n})
	if a.task.Timeout == 0 {
		return try(ctx, n)
	}
	late := a.fail(plan.FailTimeout, "ran longer than its timeout of %s", a.task.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, a.task.Timeout, late)
	defer cancel()
	v, err := try(ctx, n)
	if err != nil && context.Cause(ctx) == error(late) {
		var f *plan.Failure
		if errors.As(err, &f) {
			late.Log, late.LogFile = f.Log, f.LogFile
		}
		return nil, late
	}
	return v, err
}

// body is an attempt of an orchestrator.
func (a *action) body(ctx context.Context, n int) (plan.Value, error) {
	ctx, cancel := context.WithCancel(ctx)
	h := newHost(ctx, a, n)
	v, err := a.run.Bodies.Body(ctx, a.name, a.inputs, h)
	if err != nil {
		err = a.bodyError(ctx, err)
	}
	cancel()  // a body that ends as it should has nothing under way any more
	h.close() // waits
	if err != nil {
		return nil, err
	}
	v, err = plan.Conform(v, outputType(a.task))
	if err == nil {
		err = plan.CheckValue(v, a.run.MaxValue)
	}
	if err != nil {
		return nil, a.fail(plan.FailUser, "what it returned doesn't fit its output: %v", err)
	}
	if err := a.run.known(v); err != nil {
		return nil, a.halt(diag.Errorf(a.pos, diag.System, "task %q returned %w", a.name, err))
	}
	return v, nil
}

// bodyError sorts out why a body ended early: for a callee's failure, or an
// error of its own, which are failures that a caller may catch; or for
// what ends the run: a limit, a finding, the evaluator's end, cancellation.
func (a *action) bodyError(ctx context.Context, err error) error {
	var f *plan.Failure
	if errors.As(err, &f) {
		return f
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var e *diag.Error
	if errors.As(err, &e) && e.Class == diag.Task && e.Code == "" {
		f := a.fail(plan.FailUser, "%s", withHint(e))
		if e.Pos.IsValid() {
			f.Pos = e.Pos
		}
		return f
	}
	return a.halt(err)
}

// halt ends the run for err.
func (a *action) halt(err error) error {
	a.run.halt(err)
	return err
}

// fail makes a failure of the action.
func (a *action) fail(kind plan.FailureKind, format string, args ...any) *plan.Failure {
	return &plan.Failure{Kind: kind, Message: fmt.Sprintf(format, args...), Task: a.name, Action: a.id, Pos: a.pos}
}

// ended is what events say of an action that was ended from without: with the
// run, or by a caller's timeout.
func (a *action) ended(err error) *plan.Failure {
	return a.fail(plan.FailCancelled, "ended early: %v", err)
}

// exhausted is the failure of an action whose n attempts have all failed.
func (a *action) exhausted(last *plan.Failure, n int) *plan.Failure {
	if n == 1 {
		return last
	}
	of := ""
	if last.Action != a.id {
		of = " of " + a.name
	}
	f := *last
	f.Kind = plan.FailRetries
	f.Message = fmt.Sprintf("all %d attempts%s failed, the last (%s): %s", n, of, last.Kind, last.Message)
	return &f
}

// Pauses between attempts.
const (
	defaultBackoff = 500 * time.Millisecond
	maxBackoff     = time.Minute
)

// pause waits before the attempt after the n-th.
func (a *action) pause(ctx context.Context, n int) error {
	d := cmp.Or(a.run.Backoff, defaultBackoff) << min(n-1, 16)
	d = min(d, maxBackoff)
	d -= rand.N(d/2 + 1)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *action) emit(ev exec.Event) {
	ev.Action, ev.Parent, ev.Task = a.id, a.parent, a.name
	a.run.emit(ev)
}

// outputType is the type of a task's value.
func outputType(t *plan.Task) plan.Type {
	switch {
	case t.Single:
		return t.Outputs[0].Type
	case len(t.Outputs) == 0:
		return plan.Type{Kind: plan.KindNone}
	}
	fields := make([]plan.Field, len(t.Outputs))
	for i, p := range t.Outputs {
		fields[i] = plan.Field{Name: p.Name, Type: p.Type}
	}
	return plan.Type{Kind: plan.KindRecord, Fields: fields}
}

// withHint is an error's message and its hint, for where only text passes.
func withHint(e *diag.Error) string {
	if e.Hint == "" {
		return e.Msg
	}
	return e.Msg + " (hint: " + e.Hint + ")"
}
