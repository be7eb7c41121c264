package reach

import (
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/interp/summary"
)

// mention is a value that a function's code names, or that a container holds, and that may lead to
// a task. Exactly one of the first three fields is set.
type mention struct {
	task      *builtins.Task
	function  *function
	container *container
	pos       syntax.Position
	site      int // where the code calls the task outright, or noSite
}

const noSite = -1

// function is a function of the workflow, with what its code mentions once that has been read.
type function struct {
	value    *starlark.Function
	read     bool
	mentions []mention
	search   int // the last search that came by
}

// container is a value that holds others. Once it has been opened, it has those that may lead to a
// task.
type container struct {
	value  starlark.Value
	opened bool
	holds  []mention // without a position
	search int       // the last search that came by
}

// mentioner finds what functions mention and what containers hold. It looks at each of them once.
type mentioner struct {
	modules    map[string]*interp.Module
	functions  map[*starlark.Function]*function
	containers map[any]*container // by identity
	work       *work
	sites      sites
}

func newMentioner(all []*interp.Module, index map[*builtins.Task]int, w *work) *mentioner {
	m := &mentioner{
		modules:    map[string]*interp.Module{},
		functions:  map[*starlark.Function]*function{},
		containers: map[any]*container{},
		work:       w,
		sites:      sites{index: index, known: map[siteKey]int{}, work: w},
	}
	for _, mod := range all {
		m.modules[mod.Path] = mod
	}
	return m
}

func (m *mentioner) function(fn *starlark.Function) *function {
	f := m.functions[fn]
	if f == nil {
		f = &function{value: fn}
		m.functions[fn] = f
	}
	return f
}

// of returns what f's defaults and its code mention, in source order: globals and free variables
// that hold a value or, if the code names a field of a struct, the field. What nested functions
// mention counts as f's.
func (m *mentioner) of(f *function) []mention {
	mod := m.modules[f.value.Position().Filename()]
	if f.read || mod == nil {
		return f.mentions
	}
	f.read = true
	m.defaults(f, mod)
	for at := range mod.Summary.Mentions(f.value.Position()) {
		if !m.work.spend(reading) {
			break
		}
		v, rest := narrowed(value(f.value, mod, at), at.Fields)
		out, ok := m.mention(v, at.Pos)
		if !ok {
			continue
		}
		if task, ok := v.(*builtins.Task); ok {
			out.site = m.sites.of(task, mod, at, rest)
		}
		f.mentions = append(f.mentions, out)
	}
	return f.mentions
}

// defaults notes the defaults of f's parameters.
func (m *mentioner) defaults(f *function, mod *interp.Module) {
	var at map[string]syntax.Position
	for i := range f.value.NumParams() {
		v := f.value.ParamDefault(i)
		if v == nil || !m.work.spend(reading) {
			continue
		}
		if at == nil {
			at = mod.Summary.Defaults(f.value.Position())
		}
		name, _ := f.value.Param(i)
		if out, ok := m.mention(v, at[name]); ok {
			f.mentions = append(f.mentions, out)
		}
	}
}

// value returns the value of the variable that is mentioned, or nil for a global that was never
// bound.
func value(fn *starlark.Function, mod *interp.Module, at summary.Mention) starlark.Value {
	if at.Global != "" {
		return mod.Globals[at.Global]
	}
	_, v := fn.FreeVar(at.Free)
	return v
}

// narrowed follows v.field.field… through structs and modules, as far as the value is certain. It
// returns that value and the fields that are left. For a task that the code doesn't call it returns
// nil.
func narrowed(v starlark.Value, fields []string) (starlark.Value, []string) {
	for i, field := range fields {
		switch t := v.(type) {
		case *starlarkstruct.Struct:
			v, _ = t.Attr(field)
		case *starlarkstruct.Module:
			v, _ = t.Attr(field)
		case *builtins.Task, *builtins.Call:
			if field != "start" && field != "map" && field != "override" {
				return nil, nil // the code asks for its name, for example
			}
			return v, fields[i:]
		default:
			return v, fields[i:]
		}
	}
	return v, nil
}

// mention returns v as a mention, and reports whether v may lead to a task.
func (m *mentioner) mention(v starlark.Value, pos syntax.Position) (mention, bool) {
	out := mention{pos: pos, site: noSite}
	switch v := v.(type) {
	case *builtins.Task:
		out.task = v
	case *builtins.Call:
		out.task = v.Task
	case *starlark.Function:
		out.function = m.function(v)
	case *starlark.Builtin:
		if v.Receiver() == nil {
			return mention{}, false
		}
		return m.mention(v.Receiver(), pos)
	default:
		if out.container = m.container(v); out.container == nil {
			return mention{}, false
		}
	}
	return out, true
}

// container returns v as a container, or nil if v holds nothing.
func (m *mentioner) container(v starlark.Value) *container {
	id := identity(v)
	if id == nil {
		return nil
	}
	c := m.containers[id]
	if c == nil {
		c = &container{value: v}
		m.containers[id] = c
	}
	return c
}

// in returns what c holds that may lead to a task.
func (m *mentioner) in(c *container) []mention {
	if c.opened {
		return c.holds
	}
	c.opened = true
	for _, v := range contents(c.value) {
		if !m.work.spend(1) {
			break
		}
		if out, ok := m.mention(v, syntax.Position{}); ok && m.work.spend(reading) {
			c.holds = append(c.holds, out)
		}
	}
	return c.holds
}

// identity returns a key for a container that holds something, or nil for any other value.
func identity(v starlark.Value) any {
	switch v := v.(type) {
	case starlark.Tuple:
		if len(v) == 0 {
			return nil
		}
		return [2]any{&v[0], len(v)}
	case *starlark.List, *starlark.Dict, *starlark.Set, *starlarkstruct.Struct, *starlarkstruct.Module:
		return v
	}
	return nil
}

// contents returns what a container holds, including the keys of a dict.
func contents(v starlark.Value) []starlark.Value {
	var out []starlark.Value
	switch v := v.(type) {
	case *starlark.Dict:
		for k, x := range v.Entries() {
			out = append(out, k, x)
		}
	case starlark.Sequence:
		for x := range starlark.Elements(v) {
			out = append(out, x)
		}
	case *starlarkstruct.Module:
		for _, name := range v.Members.Keys() {
			out = append(out, v.Members[name])
		}
	case *starlarkstruct.Struct:
		for _, name := range v.AttrNames() {
			if x, err := v.Attr(name); err == nil {
				out = append(out, x)
			}
		}
	}
	return out
}
