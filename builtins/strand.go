package builtins

import (
	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/value"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Threads makes the threads of one body, and counts what they use.
type Threads interface {
	// Main is the thread of the task's function.
	Main() *starlark.Thread
	// Thread makes a further thread.
	Thread(name string) *starlark.Thread
	// Count is told that a thread is about to let another run.
	Count(th *starlark.Thread)
	// End is told that a further thread has ended.
	End(th *starlark.Thread)
	// Located returns the error with which a thread ended as one with a position, and with notes of
	// the calls around it.
	Located(err error) *diag.Error
}

// strand is a thread of a body: that of the task's function, or that of a function that was
// started. The strands of a body take turns. One runs until it waits for a future, or ends; only
// then another runs. So they need no locks among themselves, and what one of them touches is still
// as it left it when nothing that it waited for came between.
type strand struct {
	*body
	thread *starlark.Thread
	within []plan.Start // the starts that led here, the outermost first
	calls  int          // calls and starts made so far
	group  string       // around what it calls now
	turn   chan struct{}
	uses   []*starlark.Function // the functions whose captured variables must not change
}

var _ value.Body = (*strand)(nil)

// Host implements value.Body.
func (s *strand) Host() plan.Host { return s.host }

// MaxValue implements value.Body.
func (s *strand) MaxValue() int64 { return s.task.registry.limits.Value }

// newStrand makes a strand of the body, which th runs.
func (b *body) newStrand(th *starlark.Thread, within []plan.Start) *strand {
	s := &strand{body: b, thread: th, within: within, turn: make(chan struct{}, 1)}
	value.Enter(th, s)
	return s
}

// strandOf returns the strand that th runs. If th loads a module instead, its error says that what
// can't be called then.
func strandOf(th *starlark.Thread, what string) (*strand, error) {
	b, err := value.BodyOf(th, what)
	if err != nil {
		return nil, err
	}
	return b.(*strand), nil
}

// await returns once the future has ended. Other strands run until then.
func (s *strand) await(f *Future) error {
	s.mu.Lock()
	if f.begin != nil && s.begun >= underWay { // it would wait for room to begin, and s for it
		s.readied(f.begin())
	}
	ended := f.ended
	if !ended {
		f.waiting = append(f.waiting, s)
	}
	s.mu.Unlock()
	if ended {
		return nil
	}
	return s.yield()
}

// yield lets other strands run until this one is ready.
func (s *strand) yield() error {
	s.threads.Count(s.thread)
	if next := s.next(); next != s {
		next.turn <- struct{}{}
		<-s.turn
	}
	return s.captured.check(s.uses)
}

// next returns the strand that runs next. It waits for one if all of them wait.
func (b *body) next() *strand {
	for {
		b.mu.Lock()
		if len(b.ready) > 0 {
			s := b.ready[0]
			b.ready = b.ready[1:]
			b.mu.Unlock()
			return s
		}
		wake := make(chan struct{})
		b.wake = wake
		b.mu.Unlock()
		if s := b.beginNext(); s != nil {
			return s
		}
		b.host.Await(wake)
	}
}

// beginNext begins the function that has waited longest to begin, if there is one and there is room.
func (b *body) beginNext() *strand {
	for len(b.unbegun) > 0 && b.begun < underWay {
		f := b.unbegun[0]
		b.unbegun = b.unbegun[1:]
		if f.begin != nil {
			return f.begin()
		}
	}
	return nil
}

// ended makes the strands ready that wait for f. It may be called on any goroutine.
func (b *body) ended(f *Future) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f.ended = true
	b.readied(f.waiting...)
	f.waiting = nil
}

// readied lets strands run in their turn. b.mu is held.
func (b *body) readied(list ...*strand) {
	b.ready = append(b.ready, list...)
	if len(list) > 0 && b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}
