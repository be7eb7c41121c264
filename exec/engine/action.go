package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// action is one task call of a run.
type action struct {
	run     *run
	id      string
	caller  *action      // nil for the first
	ordinal int          // of the call in the caller's body
	within  []plan.Start // the functions that the body started and that led to the call
	label   plan.Label
	task    *plan.Task
	index   int    // of the task in the graph
	name    string // the task's full name
	inputs  map[string]plan.Value
	pos     diag.Position // of the call; of the task for the first
	depth   int           // callers above it
}

// actionID names a call by its caller and its number in the caller's body.
func actionID(caller, number string) string {
	sum := sha256.Sum256([]byte(caller + "/" + number))
	return hex.EncodeToString(sum[:])[:12]
}

// do returns the action's result: its recorded outcome if there is one, else what running it gives.
// The error is a *plan.Failure if the action failed. Any other error means that it was cancelled, or
// that the run ended.
func (a *action) do(ctx context.Context) (plan.Value, error) {
	spec, err := a.spec()
	if err != nil {
		return nil, a.ends(1, err)
	}
	rec := a.record(spec)
	if known, err := a.recall(ctx, rec); known != nil || err != nil {
		return a.answer(known, err)
	}
	v, err := a.tries(ctx, rec)
	var f *plan.Failure
	if err != nil && !errors.As(err, &f) {
		return nil, err // it was ended: there is no outcome
	}
	if rerr := a.keep(ctx, a.run.Recorders, rec, &exec.Outcome{Value: v, Failure: f}); rerr != nil {
		return nil, a.halt(rerr)
	}
	return v, err
}

// keep tells recorders what the action came to. It does so even if the run is cancelled now: what is
// done is done.
func (a *action) keep(ctx context.Context, recorders []exec.Recorder, rec *exec.Action, o *exec.Outcome) error {
	for _, r := range recorders {
		if err := r.End(context.WithoutCancel(ctx), rec, o); err != nil {
			return err
		}
	}
	return nil
}

// record is the action as recorders see it.
func (a *action) record(spec *exec.Spec) *exec.Action {
	return &exec.Action{
		Run: a.run.Location.Run, ID: a.id, Parent: a.parent(), Ordinal: a.ordinal, Within: a.within, Task: a.name, Label: a.label, Pos: a.pos, Inputs: a.inputs, Spec: spec,
	}
}

// recall returns the outcome that a recorder knows, or nil. Those asked before didn't know it, so they
// are told: a journal must have what a cache answers.
func (a *action) recall(ctx context.Context, rec *exec.Action) (*exec.Outcome, error) {
	for i, r := range a.run.Recorders {
		o, err := r.Begin(ctx, rec)
		if err != nil {
			return nil, err
		}
		if o != nil {
			return o, a.keep(ctx, a.run.Recorders[:i], rec, o)
		}
	}
	return nil, nil
}

// answer returns a recorded outcome as the action's result. An error of a recorder ends the run.
func (a *action) answer(o *exec.Outcome, err error) (plan.Value, error) {
	if err != nil {
		return nil, a.halt(err)
	}
	a.emit(exec.Event{Kind: exec.ActionHit, Error: o.Failure})
	if o.Failure != nil {
		return nil, o.Failure
	}
	a.run.admit(o.Value)
	return o.Value, nil
}

// tries makes attempts until one succeeds, or none is left.
func (a *action) tries(ctx context.Context, rec *exec.Action) (plan.Value, error) {
	for n := 1; ; n++ {
		v, err := a.attempt(ctx, rec, n)
		if err == nil {
			a.emit(exec.Event{Kind: exec.ActionDone, Number: n})
			return v, nil
		}
		var f *plan.Failure
		if !errors.As(err, &f) {
			return nil, a.ends(n, err)
		}
		if n > a.task.Retries {
			return nil, a.ends(n, a.exhausted(f, n))
		}
		a.emit(exec.Event{Kind: exec.ActionRetried, Number: n, Error: f})
		if err := a.pause(ctx, n); err != nil {
			return nil, a.ends(n, err)
		}
	}
}

// ends emits the event that the action ended with err in its n-th attempt. It returns err.
func (a *action) ends(n int, err error) error {
	var f *plan.Failure
	if !errors.As(err, &f) {
		f = a.fail(plan.FailCancelled, "ended early: %v", err)
	}
	a.emit(exec.Event{Kind: exec.ActionFailed, Number: n, Error: f})
	return err
}

// attempt makes one attempt. An attempt in a container takes a slot first.
func (a *action) attempt(ctx context.Context, rec *exec.Action, n int) (plan.Value, error) {
	if rec.Spec != nil {
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
	for _, r := range a.run.Recorders {
		if err := r.Attempt(ctx, rec, n); err != nil {
			return nil, a.halt(err)
		}
	}
	c := a.clock(ctx, n)
	defer c.stop()
	v, err := a.try(c, rec.Spec, n)
	if err != nil && context.Cause(c.ctx) == error(c.late) {
		var f *plan.Failure
		if errors.As(err, &f) {
			c.late.Log, c.late.LogFile = f.Log, f.LogFile
		}
		return nil, c.late
	}
	return v, err
}

// try does the work of one attempt.
func (a *action) try(c *clock, spec *exec.Spec, n int) (plan.Value, error) {
	if spec == nil {
		c.start()
		return a.body(c.ctx, n)
	}
	return a.container(c, spec, n)
}

// clock measures the time of an attempt against its timeout. It starts when the attempt's body or
// process starts. The time that an attempt waits before that doesn't count.
type clock struct {
	ctx   context.Context // of the attempt; its cause is late once the timeout is over
	start func()
	stop  func()
	late  *plan.Failure
}

// clock makes the clock of the n-th attempt. Starting it emits the event that the attempt started.
func (a *action) clock(ctx context.Context, n int) *clock {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &clock{ctx: ctx, late: a.fail(plan.FailTimeout, "ran longer than its timeout of %s", a.task.Timeout)}
	var timer *time.Timer
	c.start = sync.OnceFunc(func() {
		a.emit(exec.Event{Kind: exec.ActionStarted, Number: n})
		if a.task.Timeout > 0 {
			timer = time.AfterFunc(a.task.Timeout, func() { cancel(c.late) })
		}
	})
	c.stop = func() {
		if timer != nil {
			timer.Stop()
		}
		cancel(nil)
	}
	return c
}

// body makes an attempt of an orchestrator.
func (a *action) body(ctx context.Context, n int) (plan.Value, error) {
	ctx, cancel := context.WithCancel(ctx)
	h := newHost(ctx, a, n)
	v, err := a.run.Bodies.Body(ctx, a.name, a.inputs, h)
	if err != nil {
		err = a.bodyError(ctx, err)
	}
	cancel()  // ends calls that the body left under way; a correct body leaves none
	h.close() // waits for them
	if err != nil {
		return nil, err
	}
	v, err = plan.Conform(v, outputType(a.task))
	if err == nil {
		v, err = a.run.stored(v)
	}
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

// bodyError returns why a body ended early. The failure of a callee and an error of the body itself
// are failures, which a caller may catch. A limit, a finding, the evaluator's end and cancellation
// end the run.
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
		f := a.because(plan.FailUser, e)
		if e.Pos.IsValid() {
			f.Pos, f.Frames = e.Pos, e.Notes
		}
		return f
	}
	return a.halt(err)
}

// halt ends the run with err. A finding gets notes of the calls that led to the action.
func (a *action) halt(err error) error {
	err = a.traced(err)
	a.run.halt(err)
	return err
}

// maxTrace is how many callers a finding notes.
const maxTrace = 10

// traced returns err with the callers of the action as notes, the nearest first, if err is a finding.
func (a *action) traced(err error) error {
	var e *diag.Error
	if a.caller == nil || !errors.As(err, &e) || context.Cause(a.run.ctx) != nil {
		return err
	}
	d := *e
	d.Notes = d.Notes[:len(d.Notes):len(d.Notes)]
	n := 0
	for at := a; at.caller != nil; at = at.caller {
		if n++; n > maxTrace {
			d.Notes = append(d.Notes, diag.Note{Msg: fmt.Sprintf("… and %d more calls", at.depth)})
			break
		}
		pos := at.pos
		for _, s := range slices.Backward(at.within) {
			d.Notes = append(d.Notes, diag.Note{Pos: pos, Msg: "called by " + s.Function})
			pos = s.Pos
		}
		d.Notes = append(d.Notes, diag.Note{Pos: pos, Msg: "called by " + at.caller.label.Of(at.caller.name)})
	}
	return &d
}

// parent is the id of the action's caller; empty for the first.
func (a *action) parent() string {
	if a.caller == nil {
		return ""
	}
	return a.caller.id
}

// fail returns a failure of the action.
func (a *action) fail(kind plan.FailureKind, format string, args ...any) *plan.Failure {
	return &plan.Failure{Kind: kind, Message: fmt.Sprintf(format, args...), Task: a.name, Label: a.label, Action: a.id, Pos: a.pos}
}

// because returns the failure of the action that an error causes, with the error's hint.
func (a *action) because(kind plan.FailureKind, err error) *plan.Failure {
	var e *diag.Error
	if !errors.As(err, &e) {
		return a.fail(kind, "%v", err)
	}
	message := e.Msg
	if err != error(e) {
		message = err.Error() // it says where
	}
	f := a.fail(kind, "%s", message)
	f.Hint = e.Hint
	return f
}

// exhausted returns the failure of an action after n failed attempts, the last of them included.
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
	ev.Action, ev.Parent, ev.Task, ev.Label = a.id, a.parent(), a.name, a.label
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
