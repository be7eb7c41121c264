package interp

import (
	"sync"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Program is a workflow: its modules, executed and frozen.
type Program struct {
	Entry   *Module
	Modules []*Module // in the order in which they finished: each after those that it loads, Entry last

	language Language
	limits   Limits
}

// Graph returns the graph of what the modules declare. Its error is a diag.List or a *diag.Error.
func (p *Program) Graph() (*plan.Graph, error) { return p.language.Graph(p.Entry, p.Modules) }

// Body is one evaluation of an orchestrator's body. Run is called once; other goroutines may call
// BeginTurn and Cancel while it runs.
//
// A body has several threads if it starts functions. Only one of them runs at a time: whoever makes
// further threads sees to that.
type Body struct {
	program *Program
	task    string
	print   func(pos diag.Position, text string)
	main    *starlark.Thread
	budget  *budget

	mu       sync.Mutex
	threads  map[*starlark.Thread]bool // those that haven't ended
	canceled string                    // why every thread ends; empty: it doesn't
}

// Body prepares to evaluate the body of the task with that full name. It calls print with what
// the body prints. It calls exceeded when the body exceeds a limit: from then on the host's calls
// should return, because the body ends.
func (p *Program) Body(task string, print func(pos diag.Position, text string), exceeded func()) *Body {
	b := &Body{program: p, task: task, print: print, budget: newBudget(p.limits, "task "+task), threads: map[*starlark.Thread]bool{}}
	b.budget.over = func() {
		b.cancel(b.budget.err.Msg)
		exceeded()
	}
	b.main = b.Thread(task)
	return b
}

// Main is the thread that evaluates the task's function.
func (b *Body) Main() *starlark.Thread { return b.main }

// Thread makes a further thread of the body, which counts against the same limits.
func (b *Body) Thread(name string) *starlark.Thread {
	th := &starlark.Thread{Name: name}
	th.Print = func(th *starlark.Thread, text string) { b.print(callPosition(th), text) }
	b.budget.watch(th)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.threads[th] = true
	if b.canceled != "" {
		th.Cancel(b.canceled)
	}
	return th
}

// Count counts the steps of a thread that is about to let another run.
func (b *Body) Count(th *starlark.Thread) { b.budget.count(th) }

// End lets go of a thread that has ended.
func (b *Body) End(th *starlark.Thread) {
	b.budget.settle(th)
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.threads, th)
}

// Located returns the error with which a thread ended as one with a position, with notes of the
// calls around it.
func (b *Body) Located(err error) *diag.Error { return evalError(err, b.budget, diag.Task)[0] }

// Run evaluates the body. A host's error that the body lets through is in the chain of Run's error.
func (b *Body) Run(inputs map[string]plan.Value, host plan.BodyHost) (plan.Value, error) {
	v, err := b.program.language.Body(b, b.task, inputs, host)
	if err == nil && b.Exceeded() { // a function that the body started did, and nobody looked
		return nil, b.budget.err
	}
	return v, err
}

// BeginTurn starts a new turn, see [Limits].
func (b *Body) BeginTurn() { b.budget.begin() }

// Cancel ends the body at its next step.
func (b *Body) Cancel() { b.cancel("the run was cancelled") }

func (b *Body) cancel(why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.canceled = why
	for th := range b.threads {
		th.Cancel(why)
	}
}

// Exceeded reports whether the body has exceeded a limit. It is called once Run has returned.
func (b *Body) Exceeded() bool { return b.budget.err != nil }

// Findings makes findings of the error with which Run ended, of class Task or Limit.
func (b *Body) Findings(err error) diag.List { return evalError(err, b.budget, diag.Task) }
