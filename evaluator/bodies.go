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

// This file is the parent's side of bodies: requests go to a host, and the
// wall clock runs while a body computes.

// body is a body under way.
type body struct {
	evaluator *Evaluator
	id        uint64
	task      string
	host      plan.Host
	ctx       context.Context // of what is asked of host
	cancel    context.CancelFunc
	asked     sync.WaitGroup // requests that host answers
	done      chan struct{}  // closed once value and err are set

	value plan.Value
	err   error

	mu     sync.Mutex
	ended  bool // done, or cancelled
	open   int  // requests without an answer
	turn   turn
	stop   func()           // of the clock, which runs during a turn, and after a cancellation until the end
	errors map[uint64]error // with what requests were answered, for those that failed
}

// turn is whether a body may compute.
type turn int

// The turns, of which each follows only the one before it, and paused held.
const (
	paused turn = iota
	wanted
	held
)

// Body implements exec.Bodies: it evaluates the body of task, by full name. A
// failure or error of host's that the body lets through is returned as host
// returned it; an error of the body's own is a diag.List of class Task or Limit; ctx's own once it is done. When Body
// returns, every call of host has returned.
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
	if !b.begin() {
		e.forget(b)
		return nil, e.interrupted(ctx, task)
	}
	if err := e.process.pipe.Send(toEvaluator{Body: &bodyMsg{ID: b.id, Task: task, Inputs: encoded}}); errors.Is(err, wire.ErrTooBig) {
		e.forget(b)
		return nil, messageError("the inputs of task "+task, err)
	}
	select {
	case <-b.done:
		return b.value, b.err
	case <-ctx.Done():
		b.abandon()
	case <-e.gone:
	}
	return nil, e.interrupted(ctx, task)
}

// newBody enters a body into the evaluator's books.
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

// forget removes a body that the evaluator has never heard of.
func (e *Evaluator) forget(b *body) {
	e.mu.Lock()
	delete(e.bodies, b.id)
	e.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endTurn()
}

// interrupted says why a body didn't come to its end.
func (e *Evaluator) interrupted(ctx context.Context, task string) error {
	select {
	case <-e.gone:
		return inTask(task, e.err)
	default:
		return ctx.Err()
	}
}

// inTask names the task whose body ended with the evaluator.
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

// begin waits for the turn that is wanted and starts its clock. It returns
// false if the body ends before.
func (b *body) begin() bool {
	select {
	case b.evaluator.turns <- struct{}{}:
	case <-b.ctx.Done():
		return false
	case <-b.evaluator.gone:
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		<-b.evaluator.turns
		return false
	}
	b.turn = held
	b.startClock()
	return true
}

// pause ends the turn of a body that waits. An error ends the evaluator.
func (b *body) pause() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended: // it was on its way when the body was cancelled
	case b.turn != held:
		return fmt.Errorf("%w: a pause without a turn", wire.ErrMalformed)
	default:
		b.endTurn()
	}
	return nil
}

// resume lets the body have a turn once there is one. An error ends the evaluator.
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
			if b.begin() {
				// It fails only if the evaluator is dead, which others notice.
				_ = b.evaluator.process.pipe.Send(toEvaluator{Turn: &turnMsg{b.id}})
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

// abandon ends a body whose caller is no longer interested. The evaluator still
// has to say that it has ended, and within the wall clock.
func (b *body) abandon() {
	b.mu.Lock()
	b.ended = true
	if b.stop == nil {
		b.startClock()
	}
	b.mu.Unlock()
	// It fails only if the evaluator is dead, and then there is nothing to cancel.
	_ = b.evaluator.process.pipe.Send(toEvaluator{Cancel: &cancelMsg{Body: b.id}})
}

// requestCost is what a request takes of the parent besides its message, a
// goroutine above all, in bytes.
const requestCost = 8 << 10

// take starts to answer a request of that size. An error ends the evaluator.
func (b *body) take(m *requestMsg, size int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return nil // it was on its way when the body was cancelled
	}
	if b.open == maxOpen {
		return fmt.Errorf("%w: more than %d requests at once", wire.ErrMalformed, maxOpen)
	}
	ask, err := b.question(m)
	if err != nil {
		return fmt.Errorf("%w: %v", wire.ErrMalformed, err)
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

// count counts a request against what a run may ask for.
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

// question returns what a request asks of the host, as a function that fills in the answer.
func (b *body) question(m *requestMsg) (func(*replyMsg) error, error) {
	switch {
	case m.Call != nil:
		inputs, err := decodeInputs(m.Call.Inputs)
		if err != nil {
			return nil, err
		}
		call := plan.Invocation{Ordinal: m.Call.Ordinal, Task: m.Call.Task, Inputs: inputs, Pos: m.Call.Pos}
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
	}
	return func(r *replyMsg) error {
		f, err := b.host.Text(b.ctx, m.Text.Name, m.Text.Text)
		r.File = &f
		return err
	}, nil
}

// reply asks the host, and sends its answer.
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

// send sends an answer. An error other than its size means that the evaluator is dead, which others notice.
func (b *body) send(r *replyMsg) {
	if err := b.evaluator.process.pipe.Send(toEvaluator{Reply: r}); errors.Is(err, wire.ErrTooBig) {
		b.fail(r, messageError("the answer", err))
		_ = b.evaluator.process.pipe.Send(toEvaluator{Reply: r})
	}
}

// fail makes an answer of an error, and keeps the error for finish.
func (b *body) fail(r *replyMsg, err error) {
	b.mu.Lock()
	b.errors[r.Request] = err
	b.mu.Unlock()
	r.Value, r.Data, r.File = nil, nil, nil
	var failure *plan.Failure
	if errors.As(err, &failure) {
		// What an orchestrator may depend on; logs are the machine's.
		r.Failure = &plan.Failure{Kind: failure.Kind, Message: failure.Message, Task: failure.Task, Action: failure.Action}
		return
	}
	var e *diag.Error
	if !errors.As(err, &e) {
		e = &diag.Error{Class: diag.System, Msg: err.Error()}
	}
	r.Error = e
}

// finish takes the body's outcome.
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
			return fmt.Errorf("%w: %v", wire.ErrMalformed, err)
		}
		b.value = v
	}
	close(b.done)
	return nil
}
