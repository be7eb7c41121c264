package builtins

import (
	"encoding/json"
	"fmt"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/builtins/value"
	"github.com/flytestar/flytestar/plan"
)

// Input is an input of a task with a default or documentation. spec.md, "input".
type Input struct {
	Of      *value.Type
	Default starlark.Value // nil if the input is required
	Doc     string
}

var _ starlark.Value = (*Input)(nil)

// String returns "<input TYPE>".
func (i *Input) String() string { return "<input " + i.Of.String() + ">" }

// Type returns "input".
func (i *Input) Type() string { return "input" }

// Freeze freezes the default.
func (i *Input) Freeze() {
	if i.Default != nil {
		i.Default.Freeze()
	}
}

// Truth returns true.
func (i *Input) Truth() starlark.Bool { return true }

// Hash fails: inputs are unhashable.
func (i *Input) Hash() (uint32, error) { return 0, errorf("unhashable: input") }

// newInput implements input(...). spec.md, "input".
func newInput(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var i Input
	var of typeArg
	if _, err := loading(th, b.Name()); err != nil {
		return nil, err
	}
	if err := unpack.Args(b.Name(), args, kwargs, "type", &of, "default?", &i.Default, "doc??", &i.Doc); err != nil {
		return nil, err
	}
	i.Of = of.t
	if i.Default != nil {
		if _, _, err := checkDefault(i.Default, i.Of.T); err != nil {
			return nil, unpack.About(b.Name(), err)
		}
	}
	return &i, nil
}

// typeArg unpacks a type.
type typeArg struct{ t *value.Type }

// Unpack implements starlark.Unpacker.
func (a *typeArg) Unpack(v starlark.Value) (err error) {
	a.t, err = value.TypeOf(v)
	return err
}

// checkDefault returns v as a value of type t, and in its encoded form.
func checkDefault(v starlark.Value, t plan.Type) (plan.Value, json.RawMessage, error) {
	value, err := conform(v, t, plan.MaxValue)
	if err != nil {
		return nil, nil, unpack.About("the default", err)
	}
	data, err := plan.MarshalValue(value)
	if err != nil {
		return nil, nil, unpack.About("the default", err)
	}
	return value, data, nil
}

// conform returns a copy of v as a value of type t. limit is as for FromStarlark.
func conform(v starlark.Value, t plan.Type, limit int64) (plan.Value, error) {
	value, err := value.FromStarlark(v, limit)
	if err != nil {
		return nil, err
	}
	return plan.Conform(value, t)
}

// inputs unpacks a dict of inputs.
type inputs struct {
	params   []plan.Param
	defaults map[string]plan.Value // by name
	given    bool                  // also if it is empty
}

// Unpack implements starlark.Unpacker.
func (l *inputs) Unpack(v starlark.Value) error {
	l.given = true
	return eachParam(v, func(name string, v starlark.Value) error {
		p := plan.Param{Name: name}
		if in, ok := v.(*Input); ok {
			p.Type, p.Doc = in.Of.T, in.Doc
			l.params = append(l.params, p)
			return l.setDefault(len(l.params)-1, in.Default)
		}
		t, err := value.TypeOf(v)
		if err != nil {
			return err
		}
		p.Type = t.T
		l.params = append(l.params, p)
		return nil
	})
}

// setDefault sets the default of an input; nil makes it required.
func (l *inputs) setDefault(i int, v starlark.Value) error {
	if v == nil {
		return nil
	}
	p := &l.params[i]
	value, data, err := checkDefault(v, p.Type)
	if err != nil {
		return err
	}
	if l.defaults == nil {
		l.defaults = map[string]plan.Value{}
	}
	p.Default, l.defaults[p.Name] = data, value
	return nil
}

// outputs unpacks a dict of outputs.
type outputs []plan.Param

// Unpack implements starlark.Unpacker.
func (l *outputs) Unpack(v starlark.Value) error {
	err := eachParam(v, func(name string, v starlark.Value) error {
		p, err := outputParam(name, v)
		*l = append(*l, p)
		return err
	})
	if err == nil && len(*l) == 0 {
		return errorf("there are none").WithHint("leave it out for a task that returns None")
	}
	return err
}

// eachParam calls set for each entry of a dict of inputs or outputs, in order.
func eachParam(v starlark.Value, set func(name string, v starlark.Value) error) error {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return errorf("want a dict of names to types, got %s", v.Type())
	}
	for k, v := range d.Entries() {
		name, ok := starlark.AsString(k)
		if !ok || !plan.ValidParam(name) {
			return errorf("%s can't be a name here", k).
				WithHint("a name has letters, digits and _, and doesn't begin with a digit")
		}
		if err := set(name, v); err != nil {
			return unpack.About(fmt.Sprintf("%q", name), err)
		}
	}
	return nil
}

// paramIndex returns the parameters' indices by name.
func paramIndex(params []plan.Param) map[string]int {
	index := make(map[string]int, len(params))
	for i := range params {
		index[params[i].Name] = i
	}
	return index
}

func paramNames(params []plan.Param) []string {
	names := make([]string, len(params))
	for i, p := range params {
		names[i] = p.Name
	}
	return names
}
