package interp

import (
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
type Body struct {
	program *Program
	task    string
	thread  *starlark.Thread
	budget  *budget
}

// Body prepares to evaluate the body of the task with that full name. It calls print with what
// the body prints. It calls exceeded when the body exceeds a limit: from then on the host's calls
// should return, because the body ends.
func (p *Program) Body(task string, print func(pos diag.Position, text string), exceeded func()) *Body {
	b := &Body{program: p, task: task, thread: &starlark.Thread{Name: task}, budget: newBudget(p.limits, "task "+task)}
	b.thread.Print = func(th *starlark.Thread, text string) { print(callPosition(th), text) }
	b.budget.over = exceeded
	b.budget.watch(b.thread)
	return b
}

// Run evaluates the body. A host's error that the body lets through is in the chain of Run's error.
func (b *Body) Run(inputs map[string]plan.Value, host plan.BodyHost) (plan.Value, error) {
	return b.program.language.Body(b.thread, b.task, inputs, host)
}

// BeginTurn starts a new turn, see [Limits].
func (b *Body) BeginTurn() { b.budget.begin() }

// Cancel ends the body at its next step.
func (b *Body) Cancel() { b.thread.Cancel("the run was cancelled") }

// Exceeded reports whether the body has exceeded a limit. It is called once Run has returned.
func (b *Body) Exceeded() bool { return b.budget.err != nil }

// Findings makes findings of the error with which Run ended, of class Task or Limit.
func (b *Body) Findings(err error) diag.List { return evalError(err, b.budget, diag.Task) }
