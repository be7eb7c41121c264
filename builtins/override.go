package builtins

import (
	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/unpack"
)

// Call is a task with options for a call: what task.override returns. It is used as the task is.
// spec.md, "Labels and groups".
type Call struct {
	*Task
	options
}

// options are what override sets.
type options struct {
	label string
}

var (
	_ starlark.Callable = (*Call)(nil)
	_ starlark.HasAttrs = (*Call)(nil)
)

// callOf returns a task, or one with options, as a call.
func callOf(v starlark.Value) (*Call, bool) {
	switch v := v.(type) {
	case *Task:
		return &Call{Task: v}, true
	case *Call:
		return v, true
	}
	return nil, false
}

// Attr implements starlark.HasAttrs.
func (c *Call) Attr(name string) (starlark.Value, error) {
	switch name {
	case "map":
		return method[*Call]((*Call).mapItems).bind(name, c), nil
	case "override":
		return method[*Call]((*Call).override).bind(name, c), nil
	case "start":
		return method[*Call]((*Call).start).bind(name, c), nil
	}
	return c.Task.Attr(name)
}

// override implements .override. What it isn't given stays as it is.
func (c *Call) override(_ *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		return nil, errorf("override takes named arguments").WithHint(`write t.override(label = "…")(arguments…)`)
	}
	set := label(c.label)
	if err := unpack.Args(fn, args, kwargs, "label?", &set); err != nil {
		return nil, err
	}
	return &Call{c.Task, options{label: string(set)}}, nil
}

// CallInternal calls the task and waits for its value. spec.md, "Bodies".
func (c *Call) CallInternal(th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	f, err := c.begin(th, args, kwargs)
	if err != nil {
		return nil, err
	}
	s, err := strandOf(th, c.what())
	if err != nil {
		return nil, err
	}
	return f.result(s)
}

// start implements .start. spec.md, "Bodies".
func (c *Call) start(th *starlark.Thread, _ string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	f, err := c.begin(th, args, kwargs)
	if err != nil {
		return nil, err
	}
	return f, nil
}
