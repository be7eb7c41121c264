package interp

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/diag"
)

// Limits bounds what evaluating may cost. A zero field means its default.
//
// A turn is what the evaluator does without waiting for the parent's engine:
// the load of all modules, or a body's evaluation until all that it asked for
// is outstanding, and again from an answer on.
type Limits struct {
	Steps   uint64        `json:"steps"`   // of a turn, as the interpreter counts them; 10 million
	Memory  int64         `json:"memory"`  // bytes that the evaluator may use beyond what it has at start; 512 MiB
	Wall    time.Duration `json:"wall"`    // of a turn; 5 s
	Source  int           `json:"source"`  // bytes of one module; 1 MiB
	Modules int           `json:"modules"` // loaded in all; 1,000
	Nesting int           `json:"nesting"` // depth of a module's syntax tree; 1,000
	Calls   int           `json:"calls"`   // depth of calls on one thread; 1,000
	Message int           `json:"message"` // bytes of one message between the processes; 64 MiB
}

// Defaults returns l with its zero fields set.
func (l Limits) Defaults() Limits {
	setDefault(&l.Steps, 10_000_000)
	setDefault(&l.Memory, 512<<20)
	setDefault(&l.Wall, 5*time.Second)
	setDefault(&l.Source, 1<<20)
	setDefault(&l.Modules, 1000)
	setDefault(&l.Nesting, 1000)
	setDefault(&l.Calls, 1000)
	setDefault(&l.Message, 64<<20)
	l.Message = max(l.Message, 2*l.Source) // source passes in base 64
	return l
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// What an error of class Limit is about, for errors.Is. Between the
// processes only the text passes; the parent sets the first three where it ends the evaluator itself.
var (
	ErrWall   = errors.New("wall clock limit")
	ErrMemory = errors.New("memory limit")
	ErrStack  = errors.New("stack limit")
	ErrSteps  = errors.New("step limit")
	ErrCalls  = errors.New("call depth limit")
	ErrSize   = errors.New("size limit")
)

// limitError says that a limit was exceeded, and which flag raises it. Where
// there is none, what to do instead is for the caller to say.
func limitError(pos diag.Position, cause error, flag, format string, args ...any) *diag.Error {
	e := &diag.Error{Pos: pos, Class: diag.Limit, Msg: fmt.Sprintf(format, args...), Err: cause}
	if flag != "" {
		e.Hint = "raise it with " + flag + " if this is meant"
	}
	return e
}

// wallError is the limit error for a turn that took too long.
func wallError(what string, limit time.Duration) *diag.Error {
	return limitError(diag.Position{}, ErrWall, "--max-wall", "%s took longer than %s", what, limit)
}

// memoryError is the limit error for an evaluator that needs too much memory.
func memoryError(limit int64) *diag.Error {
	return limitError(diag.Position{}, ErrMemory, "--max-memory", "evaluation needs more than %d MiB of memory", limit>>20)
}

// slice is how many steps a thread runs between two looks at its budget: well
// under a millisecond, and few enough that calls can't nest much deeper than
// their limit in between.
const slice = 1000

// looks is how many slices pass between two looks at memory, which cost microseconds.
const looks = 16

// budget counts what threads use in a turn and cancels a thread that exceeds
// it. A load has one for all its modules, one after the other; a body has its own.
type budget struct {
	limits Limits
	what   string        // "loading", "task env.main"
	turn   atomic.Uint64 // incremented by whoever begins a turn
	over   func()        // called when a limit is exceeded; may be nil

	// Touched by the thread's goroutine alone.
	seen    uint64    // the turn that is being counted
	started time.Time // when it began
	steps   uint64    // used in it, by the last look
	last    uint64    // the thread's own count, by the last look
	left    int       // looks until the next one at memory
	err     *diag.Error
}

func newBudget(limits Limits, what string) *budget {
	return &budget{limits: limits, what: what, started: time.Now()}
}

// begin starts a new turn. It may be called from any goroutine.
func (b *budget) begin() { b.turn.Add(1) }

// watch makes th count against b.
func (b *budget) watch(th *starlark.Thread) {
	b.last = th.Steps
	th.OnMaxSteps = b.look
	b.next(th)
}

// next sets when th is looked at again: in time to notice the step that is one too many.
func (b *budget) next(th *starlark.Thread) {
	th.SetMaxExecutionSteps(th.Steps + min(slice, b.limits.Steps-min(b.steps, b.limits.Steps)+1))
}

// look counts the steps since the last one and cancels the thread if a limit is exceeded.
func (b *budget) look(th *starlark.Thread) {
	if turn := b.turn.Load(); turn != b.seen {
		b.seen, b.started, b.steps = turn, time.Now(), 0
	}
	b.steps += th.Steps - b.last
	b.last = th.Steps
	b.next(th)
	if b.err = b.exceeded(th); b.err == nil {
		return
	}
	th.Cancel(b.err.Msg)
	if b.over != nil {
		b.over()
	}
}

// settle counts the rest of a thread that has ended.
func (b *budget) settle(th *starlark.Thread) {
	b.steps += th.Steps - b.last
	b.last = th.Steps
}

func (b *budget) exceeded(th *starlark.Thread) *diag.Error {
	l := b.limits
	switch {
	case b.steps > l.Steps:
		return limitError(diag.Position{}, ErrSteps, "--max-steps", "%s took more than %d steps", b.what, l.Steps)
	case th.CallStackDepth() > l.Calls:
		return limitError(diag.Position{}, ErrCalls, "", "calls nest deeper than %d", l.Calls).
			WithHint("use a loop, or recurse over halves")
	case time.Since(b.started) > l.Wall:
		return wallError(b.what, l.Wall)
	}
	if b.left--; b.left > 0 {
		return nil
	}
	b.left = looks
	return checkMemory(l.Memory)
}

// checkMemory reports whether what is alive nears the limit, while there is
// still room to say where: the kernel's refusal kills the process.
func checkMemory(limit int64) *diag.Error {
	threshold := uint64(limit) / 10 * 6
	if heapBytes() < threshold {
		return nil
	}
	runtime.GC() // what counts is what is alive
	if heapBytes() < threshold {
		return nil
	}
	return memoryError(limit)
}

func heapBytes() uint64 {
	sample := [1]metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}
