// Package finding makes the findings that more than one pass raises, so that all passes say the
// same. The passes are package resolve, before anything runs; the engine, about calls that resolve
// couldn't see; and the evaluator, while a module loads or a body runs.
package finding

import (
	"fmt"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// The rules of these findings.
var (
	Dependency = diag.Rule{Code: "FS101", Name: "missing-dependency", Severity: diag.SeverityError, Fixable: true,
		Summary: "a task calls into an environment that its own doesn't depend on"}
	Name = diag.Rule{Code: "FS106", Name: "duplicate-name", Severity: diag.SeverityError,
		Summary: "two environments, or two tasks of one, have the same name"}
	Arguments = diag.Rule{Code: "FS107", Name: "wrong-arguments", Severity: diag.SeverityError,
		Summary: "a call has arguments that the task doesn't take"}
	Image = diag.Rule{Code: "FS108", Name: "missing-image", Severity: diag.SeverityError,
		Summary: "a container task is in an environment without an image"}
)

// Call returns the beginning of a finding about a call: which task calls which.
func Call(rule diag.Rule, g *plan.Graph, call *plan.Call) *diag.Error {
	calls := "calls"
	if call.Possible {
		calls = "may call"
	}
	return rule.Finding(call.Pos, "task %s %s %s", g.FullName(call.Caller), calls, g.FullName(call.Callee))
}

// MissingDependency is FS101: the caller's environment doesn't depend on the callee's.
func MissingDependency(g *plan.Graph, call *plan.Call) *diag.Error {
	from, to := &g.Environments[g.Tasks[call.Caller].Env], &g.Environments[g.Tasks[call.Callee].Env]
	f := Call(Dependency, g, call)
	f.Msg += fmt.Sprintf(", but %q doesn't depend on %q", from.Name, to.Name)
	f.Notes = []diag.Note{DependsOn(from)}
	return f.WithHint("add environment %q to depends_on of %q", to.Name, from.Name)
}

// DependsOn is the note that points at an environment's depends_on.
func DependsOn(e *plan.Environment) diag.Note {
	if e.DependsOnPos == e.Pos {
		return diag.Note{Pos: e.DependsOnPos, Msg: fmt.Sprintf("%q depends on nothing", e.Name)}
	}
	return diag.Note{Pos: e.DependsOnPos, Msg: fmt.Sprintf("the depends_on of %q", e.Name)}
}

// DuplicateName is FS106: two of what ("tasks") have the same name.
func DuplicateName(what, name string, pos, first diag.Position) *diag.Error {
	f := Name.Finding(pos, "two %s are named %q", what, name).WithHint("rename one of them")
	f.Notes = []diag.Note{{Pos: first, Msg: "the first is declared here"}}
	return f
}

// WrongArguments is FS107: a call of a task, given by its full name, has arguments that it doesn't
// take.
func WrongArguments(pos diag.Position, task, format string, args ...any) *diag.Error {
	return Arguments.Finding(pos, "%s: %w", task, fmt.Errorf(format, args...))
}

// MissingImage is FS108: a task, an index into g.Tasks, has nothing to run in.
func MissingImage(g *plan.Graph, task int) *diag.Error {
	t := &g.Tasks[task]
	env := &g.Environments[t.Env]
	f := Image.Finding(t.Pos, "task %s runs in a container, but its environment has no image", g.FullName(task))
	f.Notes = []diag.Note{{Pos: env.Pos, Msg: fmt.Sprintf("environment %q", env.Name)}}
	return f.WithHint("give the environment one: task_environment(name = %q, image = image.from_debian_base(), …)", env.Name)
}
