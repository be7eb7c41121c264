package evaluator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/wire"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// This file is the parent's side of bodies. Requests go to a host; the wall clock runs while a body
// computes.

// body is a body under way.
type body struct {
	evaluator *Evaluator
	id        uint64
	task      string
	host      plan.Host
	ctx       context.Context // for the calls of host
	cancel    context.CancelFunc
	asked     sync.WaitGroup // calls of host that are under way
	done      chan struct{}  // closed once value and err are set

	value plan.Value
	err   error

	mu     sync.Mutex
	ended  bool // done, or cancelled
	open   int  // requests that have no answer yet
	turn   turn
	stop   func()           // stops the clock, which runs during a turn, and from a cancellation to the end
	errors map[uint64]error // the errors of requests that failed
}

// turn is whether a body may compute.
type turn int

// The turns. Each follows only the one before it; paused follows held.
const (
	paused turn = iota
	wanted
	held
)

// Body implements exec.Bodies: it evaluates the body of the task with that full name. When it
// returns, every call of host has returned.
//
// If the body lets a failure or error of host through, Body returns that very value. An error of
// the body's own is a diag.List of class Task or Limit. Once ctx is done, the error is ctx's.
func (e *Evaluator) Body(ctx context.Context, task string, inputs map[string]plan.Value, host plan.Host) (plan.Value, error) {
	encoded, err := encodeInputs(inputs)
	if err != nil {
		return nil, diag.Errorf(diag.Position{}, diag.Usage, "task %s: %w", task, err)
	}
	b, err := e.newBody(ctx, task, host)
	if err != nil {
		return nil, err
	}
	defer b.asked.Wait()
	defer b.cancel()
	b.turn = wanted
	clock := b.begin()
	if clock == nil {
		e.forget(b)
		return nil, e.interrupted(ctx, task)
	}
	if err := e.process.pipe.Send(toEvaluator{Body: &bodyMsg{ID: b.id, Task: task, Inputs: encoded}}); errors.Is(err, wire.ErrTooBig) {
		e.forget(b)
		return nil, messageError("the inputs of task "+task, err)
	}
	clock.begin()
	select {
	case <-b.done:
		return b.value, b.err
	case <-ctx.Done():
		b.abandon()
	case <-e.gone:
	}
	return nil, e.interrupted(ctx, task)
}

// newBody adds a body to the evaluator's.
func (e *Evaluator) newBody(ctx context.Context, task string, host plan.Host) (*body, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return nil, inTask(task, e.err)
	}
	e.last++
	b := &body{evaluator: e, id: e.last, task: task, host: host, done: make(chan struct{}), errors: map[uint64]error{}}
	b.ctx, b.cancel = context.WithCancel(ctx)
	e.bodies[b.id] = b
	return b, nil
}

// forget removes a body that the process was never told about.
func (e *Evaluator) forget(b *body) {
	e.mu.Lock()
	delete(e.bodies, b.id)
	e.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endTurn()
}

// interrupted says why a body didn't end by itself.
func (e *Evaluator) interrupted(ctx context.Context, task string) error {
	select {
	case <-e.gone:
		return inTask(task, e.err)
	default:
		return ctx.Err()
	}
}

// inTask puts the task's name before the error that ended the evaluator.
func inTask(task string, err error) error {
	var e *diag.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("task %s: %w", task, err)
	}
	d := *e
	if about := "task " + task; !strings.HasPrefix(d.Msg, about+" ") {
		d.Msg = about + ": " + d.Msg
	}
	return &d
}

// bodiesShare is how much the process may compute during the turn of one body, in max-wall: several
// bodies have turns, and thousands of messages may be under way. The body itself is held to max-wall
// where it can be interrupted.
const bodiesShare = 4

// begin waits for the turn that the body wants, and returns its clock, or nil if the body ends
// first.
func (b *body) begin() *turnClock {
	select {
	case b.evaluator.turns <- struct{}{}:
	case <-b.ctx.Done():
		return nil
	case <-b.evaluator.gone:
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		<-b.evaluator.turns
		return nil
	}
	b.turn = held
	clock := b.evaluator.process.newClock("task "+b.task, bodiesShare)
	b.stop = clock.stop
	return clock
}

// pause ends the turn of a body that waits. Its error ends the evaluator.
func (b *body) pause() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended: // the message was sent before the body was cancelled
	case b.turn != held:
		return fmt.Errorf("%w: a pause without a turn", wire.ErrMalformed)
	default:
		b.endTurn()
	}
	return nil
}

// resume gives the body a turn once one is free. Its error ends the evaluator.
func (b *body) resume() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended:
	case b.turn != paused:
		return fmt.Errorf("%w: a turn is wanted twice", wire.ErrMalformed)
	default:
		b.turn = wanted
		go func() {
			if clock := b.begin(); clock != nil {
				// This fails only if the evaluator is dead, and listen notices that.
				_ = b.evaluator.process.pipe.Send(toEvaluator{Turn: &turnMsg{b.id}})
				clock.begin()
			}
		}()
	}
	return nil
}

// startClock kills the evaluator unless the body pauses or ends in time. b.mu is held.
func (b *body) startClock() {
	b.stop = b.evaluator.process.startClock("task " + b.task)
}

// endTurn stops the clock and lets another body have the turn. b.mu is held.
func (b *body) endTurn() {
	if b.stop != nil {
		b.stop()
		b.stop = nil
	}
	if b.turn == held {
		<-b.evaluator.turns
	}
	b.turn = paused
}

// abandon ends a body whose caller is no longer interested. The evaluator still has to say, within
// the wall clock limit, that the body has ended.
func (b *body) abandon() {
	b.mu.Lock()
	b.ended = true
	if b.stop == nil {
		b.startClock()
	}
	b.mu.Unlock()
	// This fails only if the evaluator is dead, and then there is nothing to cancel.
	_ = b.evaluator.process.pipe.Send(toEvaluator{Cancel: &cancelMsg{Body: b.id}})
}

// requestCost is what a request takes in the parent besides its message, in bytes. Most of it is a
// goroutine.
const requestCost = 8 << 10

// take starts to answer a request; size is its message's, in bytes. Its error ends the evaluator.
func (b *body) take(m *requestMsg, size int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return nil // the request was sent before the body was cancelled
	}
	if b.open == maxOpen {
		return fmt.Errorf("%w: more than %d requests at once", wire.ErrMalformed, maxOpen)
	}
	ask, err := b.question(m)
	if err != nil {
		return fmt.Errorf("%w: %w", wire.ErrMalformed, err)
	}
	if err := b.evaluator.count(m); err != nil {
		ask = func(*replyMsg) error { return err }
	}
	e, cost := b.evaluator, size+requestCost
	if e.held.Add(cost) > e.limits.Memory {
		e.held.Add(-cost)
		err := interp.ErrMemory.Errorf("calls under way hold more than %d MiB", e.limits.Memory>>20)
		e.process.kill(err)
		return err
	}
	b.open++
	b.asked.Add(1)
	go func() {
		defer b.asked.Done()
		defer e.held.Add(-cost)
		b.reply(m, ask)
	}()
	return nil
}

// count counts a request against the limits of a run.
func (e *Evaluator) count(m *requestMsg) *diag.Error {
	switch {
	case m.Call != nil:
		if e.calls++; e.calls > e.limits.Actions {
			return interp.ErrActions.Errorf("the run's bodies make more than %d calls", e.limits.Actions)
		}
	case m.Text != nil:
		if e.text += int64(len(m.Text.Text)); e.text > e.limits.Text {
			return interp.ErrText.Errorf("the files that the run's bodies make of text take more than %d bytes", e.limits.Text)
		}
	}
	return nil
}

// question returns a function that asks the host what a request wants, and fills in the answer.
func (b *body) question(m *requestMsg) (func(*replyMsg) error, error) {
	switch {
	case m.Call != nil:
		inputs, err := decodeInputs(m.Call.Inputs)
		if err != nil {
			return nil, err
		}
		call := plan.Invocation{Ordinal: m.Call.Ordinal, Within: m.Call.Within, Label: m.Call.Label, Task: m.Call.Task, Inputs: inputs, Pos: m.Call.Pos}
		return func(r *replyMsg) error {
			v, err := b.host.Call(b.ctx, call)
			if err != nil {
				return err
			}
			r.Value, err = plan.MarshalValue(v)
			return err
		}, nil
	case m.Read != nil:
		return func(r *replyMsg) (err error) {
			r.Data, err = b.host.Read(b.ctx, m.Read.File, m.Read.Max)
			return err
		}, nil
	case m.Files != nil:
		return func(r *replyMsg) (err error) {
			r.Files, err = b.host.Files(b.ctx, m.Files.Dir, m.Files.Pattern)
			return err
		}, nil
	}
	return func(r *replyMsg) error {
		f, err := b.host.Text(b.ctx, m.Text.Name, m.Text.Text)
		r.File = &f
		return err
	}, nil
}

// reply asks the host and sends its answer.
func (b *body) reply(m *requestMsg, ask func(*replyMsg) error) {
	r := &replyMsg{Body: b.id, Request: m.ID}
	if err := ask(r); err != nil {
		b.fail(r, err)
	}
	b.mu.Lock()
	b.open--
	ended := b.ended
	b.mu.Unlock()
	if !ended {
		b.send(r)
	}
}

// send sends an answer. It may be too big. Any other error means that the evaluator is dead, and
// listen notices that.
func (b *body) send(r *replyMsg) {
	if err := b.evaluator.process.pipe.SendLater(toEvaluator{Reply: r}); errors.Is(err, wire.ErrTooBig) {
		b.fail(r, messageError("the answer", err))
		_ = b.evaluator.process.pipe.SendLater(toEvaluator{Reply: r})
	}
}

// fail turns r into the answer for an error, and keeps the error for finish.
func (b *body) fail(r *replyMsg, err error) {
	b.mu.Lock()
	b.errors[r.Request] = err
	b.mu.Unlock()
	r.Value, r.Data, r.File = nil, nil, nil
	var failure *plan.Failure
	if errors.As(err, &failure) {
		// An orchestrator may depend on these fields; a log belongs to the machine.
		r.Failure = &plan.Failure{Kind: failure.Kind, Type: failure.Type, Message: failure.Message, Task: failure.Task, Action: failure.Action}
		return
	}
	var e *diag.Error
	if !errors.As(err, &e) {
		e = &diag.Error{Class: diag.System, Msg: err.Error()}
	}
	r.Error = e
}

// finish takes the outcome of the body.
func (b *body) finish(m *doneMsg) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endTurn()
	b.ended = true
	switch {
	case m.Passed != 0:
		if b.err = b.errors[m.Passed]; b.err == nil {
			return fmt.Errorf("%w: request %d has not failed", wire.ErrMalformed, m.Passed)
		}
	case len(m.Findings) > 0:
		b.err = m.Findings
	default:
		v, err := plan.UnmarshalValue(m.Value)
		if err != nil {
			return fmt.Errorf("%w: %w", wire.ErrMalformed, err)
		}
		b.value = v
	}
	close(b.done)
	return nil
}
