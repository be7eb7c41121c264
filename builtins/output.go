package builtins

import (
	"path"
	"regexp"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/builtins/value"
	"github.com/flytestar/flytestar/plan"
)

// Output is an output of a task with a pattern of its files, or with documentation. spec.md, "output".
type Output struct {
	Of   *value.Type
	Glob string
	Doc  string
}

var _ starlark.Value = (*Output)(nil)

// String returns "<output TYPE>".
func (o *Output) String() string { return "<output " + o.Of.String() + ">" }

// Type returns "output".
func (o *Output) Type() string { return "output" }

// Freeze does nothing: an output is immutable.
func (o *Output) Freeze() {}

// Truth returns true.
func (o *Output) Truth() starlark.Bool { return true }

// Hash fails: outputs are unhashable.
func (o *Output) Hash() (uint32, error) { return 0, errorf("unhashable: output") }

// newOutput implements output(...). spec.md, "output".
func newOutput(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var o Output
	var of typeArg
	if _, err := loading(th, b.Name()); err != nil {
		return nil, err
	}
	if err := unpack.Args(b.Name(), args, kwargs, "type", &of, "glob??", &o.Glob, "doc??", &o.Doc); err != nil {
		return nil, err
	}
	o.Of = of.t
	return &o, unpack.About(b.Name(), checkGlob(o.Glob))
}

// checkGlob checks the pattern of an output, which is relative to the working directory.
func checkGlob(p string) error {
	switch {
	case p == "":
		return nil
	case path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../"):
		return errorf("the pattern %.200q isn't a clean path below the working directory", p).
			WithHint("write it as \"*.txt\" or \"out/**/*.txt\"")
	}
	return checkPatterns(".", []string{p})
}

// outputParam returns the output that a type, or output(...), declares.
func outputParam(name string, v starlark.Value) (plan.Param, error) {
	if o, ok := v.(*Output); ok {
		return plan.Param{Name: name, Type: o.Of.T, Glob: o.Glob, Doc: o.Doc}, nil
	}
	t, err := value.TypeOf(v)
	if err != nil {
		return plan.Param{}, err
	}
	return plan.Param{Name: name, Type: t.T}, nil
}

// inScript matches what would be a placeholder in a command.
var inScript = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\{\{\.(inputs|outputs)\.([\pL_][\pL\p{Nd}_]*)\}\}`) })

// checkScript refuses placeholders in a script, in which nothing replaces them, and inputs whose
// names can't be those of variables.
func (t *Task) checkScript(script string, a *taskArguments) error {
	if m := inScript().FindStringSubmatch(script); m != nil {
		if m[1] == "outputs" {
			return errorf("nothing replaces %s in a script", m[0]).WithHint("write to /var/outputs/%s", m[2])
		}
		return errorf("nothing replaces %s in a script", m[0]).
			WithHint("in a shell script write \"$%s\"; everywhere /var/inputs/%s has it", m[2], m[2])
	}
	for _, p := range a.in.params {
		_, set := a.env[p.Name]
		if _, shared := t.Env.EnvVars[p.Name]; set || shared {
			return errorf("input %q is a variable of the script, and env_vars sets it too", p.Name).WithHint("rename one of the two")
		}
		if plan.ReservedVariable(p.Name) {
			return errorf("input %q would be a variable of the script that changes how programs run", p.Name).WithHint("rename the input")
		}
	}
	return nil
}
