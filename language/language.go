// Package language puts the interpreter and the builtins together. It runs in the evaluator.
//
//   - [New] returns what interp is given: the predeclared names and what becomes of them.
//   - graph.go turns what modules declare into a plan.Graph, with positions. Which tasks an
//     orchestrator calls is language/reach's part.
//   - names.go finds declarations with the same name (FS106), and tasks without one (FS109).
//
// resolve works on the plan.Graph alone, and so doesn't know Starlark.
package language

import (
	"fmt"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// Predeclared returns the names that every module sees.
func Predeclared() []string { return builtins.NewRegistry(builtins.Limits{}).Predeclared().Keys() }

// New returns the language for one evaluation.
func New(limits interp.Limits) interp.Language {
	r := builtins.NewRegistry(builtins.Limits{Tasks: limits.Tasks, Futures: limits.Futures, Value: limits.Value})
	return interp.Language{
		Predeclared: r.Predeclared(),
		ModuleLocal: builtins.ModuleLocal,
		PythonLocal: builtins.PythonLocal,
		Finished: func(_ *starlark.Thread, m *interp.Module) error {
			return r.Finished(m.Path, m.Summary, m.Globals)
		},
		Graph: func(entry *interp.Module, all []*interp.Module) (*plan.Graph, error) {
			return graph(r, entry, all)
		},
		Body: func(b *interp.Body, task string, inputs map[string]plan.Value, host plan.BodyHost) (plan.Value, error) {
			t := r.Task(task)
			if t == nil {
				return nil, fmt.Errorf("there is no task %q", task)
			}
			return builtins.RunBody(b, t, inputs, host)
		},
	}
}
