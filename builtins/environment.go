package builtins

import (
	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/site"
	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/plan"
)

// Environment is a task_environment. It is immutable. spec.md, "task_environment".
type Environment struct {
	Name        string
	Image       *Image // nil for an environment of orchestrators only
	DependsOn   []*Environment
	Resources   plan.Resources
	EnvVars     map[string]string
	Network     bool
	Description string

	Module    string // the module that made it
	Global    string // the first global of Module that is bound to it, or empty
	Site      site.Site
	DependsAt site.Site // where its depends_on was given
	registry  *Registry
}

var _ starlark.HasAttrs = (*Environment)(nil)

// String returns "<task_environment NAME>".
func (e *Environment) String() string { return "<task_environment " + e.Name + ">" }

// Type returns "task_environment".
func (e *Environment) Type() string { return "task_environment" }

// Freeze does nothing: environments are immutable.
func (e *Environment) Freeze() {}

// Truth returns true.
func (e *Environment) Truth() starlark.Bool { return true }

// Hash fails: environments are unhashable.
func (e *Environment) Hash() (uint32, error) { return 0, errorf("unhashable: task_environment") }

// Attr implements starlark.HasAttrs.
func (e *Environment) Attr(name string) (starlark.Value, error) {
	switch name {
	case "clone_with":
		return method[*Environment]((*Environment).cloneWith).bind(name, e), nil
	case "image":
		if e.Image == nil {
			return starlark.None, nil
		}
		return e.Image, nil
	case "name":
		return starlark.String(e.Name), nil
	}
	return nil, nil
}

// AttrNames implements starlark.HasAttrs.
func (e *Environment) AttrNames() []string { return []string{"clone_with", "image", "name"} }

// newEnvironment implements task_environment(...). spec.md, "task_environment".
func (r *Registry) newEnvironment(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return r.declare(th, b.Name(), Environment{}, args, kwargs)
}

// cloneWith implements .clone_with. spec.md, "task_environment".
func (e *Environment) cloneWith(th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return e.registry.declare(th, fn, *e, args, kwargs)
}

// declare makes an environment like e, with the changes that the arguments ask for.
func (r *Registry) declare(th *starlark.Thread, fn string, e Environment, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	module, err := loading(th, fn)
	if err != nil {
		return nil, err
	}
	var image starlark.Value
	var deps environments
	var env unpack.EnvVars
	res := &Resources{e.Resources}
	err = unpack.Args(fn, args, kwargs, "name", &e.Name, "image?", &image, "depends_on?", &deps, "resources??", &res,
		"env_vars?", &env, "network?", &e.Network, "description??", &e.Description)
	if err != nil {
		return nil, err
	}
	if !plan.ValidName(e.Name) {
		return nil, errorf("%s: %q can't name an environment", fn, e.Name).
			WithHint("small letters and digits, with single - or _ between them")
	}
	if err := e.setImage(th, image); err != nil {
		return nil, unpack.About(fn+": argument image", err)
	}
	e.Module, e.Global, e.Site, e.registry, e.Resources = module, "", site.Of(th), r, res.Plan
	if deps != nil {
		e.DependsOn, e.DependsAt = deps, e.Site
	}
	if env != nil {
		e.EnvVars = env
	}
	if len(r.Environments) == r.limits.Tasks {
		return nil, limitTasks.Errorf("more than %d environments are declared", r.limits.Tasks)
	}
	r.Environments = append(r.Environments, &e)
	return &e, nil
}

// setImage sets e.Image from an argument. None removes the image; nil, without an argument, keeps
// it.
func (e *Environment) setImage(th *starlark.Thread, v starlark.Value) error {
	switch v {
	case nil:
		return nil
	case starlark.None:
		e.Image = nil
		return nil
	}
	i, err := baseImage(th, v)
	e.Image = i
	return err
}

// environments unpacks a list of environments, each once.
type environments []*Environment

// Unpack implements starlark.Unpacker.
func (l *environments) Unpack(v starlark.Value) error {
	seq, ok := v.(starlark.Sequence)
	if !ok {
		e := errorf("want a list of environments, got %s", v.Type())
		if env, ok := v.(*Environment); ok {
			return e.WithHint("write [%s]", env.Name)
		}
		return e
	}
	out := environments{}
	seen := map[*Environment]bool{}
	for elem := range starlark.Elements(seq) {
		env, ok := elem.(*Environment)
		if !ok {
			e := errorf("want a list of environments, got %s in it", elem.Type())
			if t, ok := elem.(*Task); ok {
				return e.WithHint("write the task's environment, %s", t.Env.Name)
			}
			return e
		}
		if !seen[env] {
			seen[env] = true
			out = append(out, env)
		}
	}
	*l = out
	return nil
}
