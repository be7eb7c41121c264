package interp

import (
	"cmp"
	"math"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Limits bounds what evaluation may cost. A zero field stands for its default.
//
// A turn is evaluation without waiting for an answer: the load of all modules is a turn, and so is
// what a body does until it waits for a call, and again until it waits for the next.
type Limits struct {
	Steps   uint64        // of a turn, as the interpreter counts them
	Memory  int64         // bytes that the evaluator may take after its start
	Wall    time.Duration // of a turn
	Source  int64         // bytes of one module
	Modules int           // modules that are loaded
	Nesting int           // depth of a module's syntax tree
	Tasks   int           // tasks that are declared; also environments
	Calls   int           // depth of calls on one thread
	Futures int           // calls of one body that are under way at once
	Actions int           // calls that all bodies of a run make
	Text    int64         // bytes of the files that all bodies of a run make from text
	Value   int64         // bytes of a value that passes between tasks, encoded
	Message int64         // bytes of one message between the processes
}

// Limit is one of the limits, for code that sets or shows all of them. Its numbers are steps,
// things, bytes or nanoseconds, by the type of Field.
type Limit struct {
	Name              diag.LimitName
	Field             any // a *uint64 or *int (a number), *int64 (bytes) or *time.Duration
	Default, Min, Max int64
	Bounds            string // what the limit bounds
}

// All returns every limit of l, in the order to show them in.
func (l *Limits) All() []Limit {
	return []Limit{
		{ErrSteps, &l.Steps, 10_000_000, 1, 1e18, "steps that evaluating may take in a turn"},
		{ErrMemory, &l.Memory, 512 << 20, 32 << 20, 1 << 40, "memory that the evaluator may take"},
		{ErrWall, &l.Wall, int64(5 * time.Second), int64(time.Millisecond), int64(24 * time.Hour), "time that evaluating may take in a turn"},
		{ErrSource, &l.Source, 1 << 20, 1, MaxSource, "size of a module"},
		{ErrModules, &l.Modules, 1000, 1, 1e6, "modules that may be loaded"},
		{ErrNesting, &l.Nesting, 1000, 1, 1e6, "depth to which syntax may nest"},
		{ErrTasks, &l.Tasks, 100_000, 1, 1e7, "tasks, and environments, that may be declared"},
		{ErrCalls, &l.Calls, 1000, 1, 1e6, "depth to which calls of functions may nest"},
		{ErrFutures, &l.Futures, 100_000, 1, 1e7, "calls of one body that may be under way"},
		{ErrActions, &l.Actions, 1_000_000, 1, 1e9, "calls that the bodies of a run may make"},
		{ErrText, &l.Text, 1 << 30, 1, 1 << 50, "size of all files that the bodies of a run may make of text"},
		{ErrValue, &l.Value, plan.MaxValue, 1 << 10, 256 << 20, "size of a value that passes between tasks"},
		{ErrMessage, &l.Message, 64 << 20, 64 << 10, 2 << 30, "size of what passes to or from the evaluator at once"},
	}
}

// Value returns what the limit is set to; 0 stands for the default.
func (l Limit) Value() int64 {
	switch p := l.Field.(type) {
	case *uint64:
		return int64(min(*p, math.MaxInt64))
	case *int:
		return int64(*p)
	case *int64:
		return *p
	}
	return int64(*l.Field.(*time.Duration))
}

// Set sets the limit.
func (l Limit) Set(n int64) {
	switch p := l.Field.(type) {
	case *uint64:
		*p = uint64(n)
	case *int:
		*p = int(n)
	case *int64:
		*p = n
	case *time.Duration:
		*p = time.Duration(n)
	}
}

// Show writes a value as the limit's flag takes it: 512Mi, 5s, 1000.
func (l Limit) Show(n int64) string {
	switch l.Field.(type) {
	case *time.Duration:
		return time.Duration(n).String()
	case *int64:
		for _, u := range []struct {
			shift  uint
			suffix string
		}{{40, "Ti"}, {30, "Gi"}, {20, "Mi"}, {10, "Ki"}} {
			if n > 0 && n%(1<<u.shift) == 0 {
				return strconv.FormatInt(n>>u.shift, 10) + u.suffix
			}
		}
	}
	return strconv.FormatInt(n, 10)
}

// Defaults returns l with its zero fields set. If Message is zero, it gets room for a module or a
// value at least.
func (l Limits) Defaults() Limits {
	room := l.Message == 0
	for _, limit := range l.All() {
		limit.Set(cmp.Or(limit.Value(), limit.Default))
	}
	if room {
		l.Message = max(l.Message, l.leastMessage())
	}
	return l
}

// leastMessage is the size of a message with room for a module or a value.
func (l Limits) leastMessage() int64 { return 2 * max(l.Source, l.Value) }

// Check returns an error of class Usage if a limit is out of its bounds. No limit may be 0.
func (l Limits) Check() error {
	for _, limit := range l.All() {
		if n := limit.Value(); n < limit.Min || n > limit.Max {
			return diag.Errorf(diag.Position{}, diag.Usage, "limit %s is %s: want %s to %s", string(limit.Name), limit.Show(n), limit.Show(limit.Min), limit.Show(limit.Max))
		}
	}
	if l.Message < l.leastMessage() {
		return diag.Errorf(diag.Position{}, diag.Usage, "limit %s is %d bytes: want twice %s and %s at least, %d bytes", string(ErrMessage), l.Message, string(ErrSource), string(ErrValue), l.leastMessage()).
			WithHint("lower the others as well, or leave it out")
	}
	return nil
}

// The names of limits. An error of class Limit has one as its code, and as its cause for errors.Is.
// Each but ErrStack is also a flag's name.
const (
	ErrSteps   = diag.LimitName("max-steps")
	ErrMemory  = diag.LimitName("max-memory")
	ErrWall    = diag.LimitName("max-wall")
	ErrSource  = diag.LimitName("max-source")
	ErrModules = diag.LimitName("max-modules")
	ErrNesting = diag.LimitName("max-nesting")
	ErrTasks   = diag.LimitName("max-tasks")
	ErrCalls   = diag.LimitName("max-calls")
	ErrFutures = diag.LimitName("max-futures")
	ErrActions = diag.LimitName("max-actions")
	ErrText    = diag.LimitName("max-text")
	ErrValue   = plan.ErrValue
	ErrMessage = diag.LimitName("max-message")
	ErrStack   = diag.LimitName("stack")
)

// OverWall returns the error for a turn that takes too long. what names the turn: "task env.main".
func (l Limits) OverWall(what string) *diag.Error {
	return ErrWall.Errorf("%s took longer than %s", what, l.Wall)
}

// OverMemory returns the error for evaluation that needs too much memory.
func (l Limits) OverMemory() *diag.Error {
	return ErrMemory.Errorf("evaluation needs more than %d MiB of memory", l.Memory>>20)
}

// slice is how many steps a thread runs between two looks at its budget. They take much less than a
// millisecond, and in so few steps calls can't nest much deeper than their limit.
const slice = 1000

// looks is how many slices pass between two looks at memory. Such a look takes microseconds.
const looks = 16

// budget counts what threads use in a turn, and cancels a thread that exceeds it. Only one of them
// runs at a time. The modules of a load share a budget, and so do the threads of a body.
type budget struct {
	limits Limits
	what   string        // names the turn: "loading", "task env.main"
	turn   atomic.Uint64 // incremented at the beginning of a turn
	over   func()        // called when a limit is exceeded; may be nil

	// Only the goroutine of the thread that runs touches these.
	seen    uint64                      // the turn that is being counted
	clock   clock                       // of that turn
	steps   uint64                      // steps of that turn, at the last look
	counted map[*starlark.Thread]uint64 // of each thread's own count, how much has been counted
	left    int                         // looks until the next one at memory
	err     *diag.Error
}

func newBudget(limits Limits, what string) *budget {
	return &budget{limits: limits, what: what, clock: startClock(), counted: map[*starlark.Thread]uint64{}}
}

// budgetLocal is the key of the thread-local that holds the budget.
const budgetLocal = "flytestar.budget"

// begin starts a new turn. It may be called from any goroutine.
func (b *budget) begin() { b.turn.Add(1) }

// watch makes th count against b.
func (b *budget) watch(th *starlark.Thread) {
	b.counted[th] = th.Steps
	th.OnMaxSteps = b.look
	th.SetLocal(budgetLocal, b)
	b.next(th)
}

// next sets when to look at th again: soon enough to notice the first step too many.
func (b *budget) next(th *starlark.Thread) {
	th.SetMaxExecutionSteps(th.Steps + min(slice, b.limits.Steps-min(b.steps, b.limits.Steps)+1))
}

// look counts the steps since the last one and cancels the thread if a limit is exceeded.
func (b *budget) look(th *starlark.Thread) {
	b.count(th)
	b.next(th)
	if b.err = b.exceeded(th); b.err == nil {
		return
	}
	th.Cancel(b.err.Msg)
	if b.over != nil {
		b.over()
	}
}

// count counts the steps of a thread since it was last counted.
func (b *budget) count(th *starlark.Thread) {
	if turn := b.turn.Load(); turn != b.seen {
		b.seen, b.clock, b.steps = turn, startClock(), 0
	}
	b.steps += th.Steps - b.counted[th]
	b.counted[th] = th.Steps
}

// settle counts the last steps of a thread that has ended.
func (b *budget) settle(th *starlark.Thread) {
	b.count(th)
	delete(b.counted, th)
}

func (b *budget) exceeded(th *starlark.Thread) *diag.Error {
	l := b.limits
	switch {
	case b.steps > l.Steps:
		return ErrSteps.Errorf("%s took more than %d steps", b.what, l.Steps)
	case th.CallStackDepth() > l.Calls:
		return ErrCalls.Errorf("calls nest deeper than %d", l.Calls).
			WithHint("use a loop, recurse over halves, or raise the limit with --max-calls")
	case b.clock.over(l.Wall):
		return l.OverWall(b.what)
	}
	if b.left--; b.left > 0 {
		return nil
	}
	b.left = looks
	return l.checkMemory()
}

// checkMemory returns an error when live memory nears the limit. There must be room left to say
// where: the kernel's own limit kills the process.
func (l Limits) checkMemory() *diag.Error {
	threshold := uint64(l.Memory) / 10 * 6
	if heapBytes() < threshold {
		return nil
	}
	runtime.GC() // only live memory counts
	if heapBytes() < threshold {
		return nil
	}
	return l.OverMemory()
}

func heapBytes() uint64 {
	sample := [1]metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}
