// Package value holds the values that pass between tasks, and their types.
//
//   - [Type] is a type as a value: str, list[T], File, record(...) (types.go).
//   - [File] and [Dir] are artifacts. What they ask of a body, they ask of a [Body] (artifact.go).
//   - [ToStarlark] and [FromStarlark] copy values across a task's boundary (value.go).
package value

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// ToStarlark returns a copy of v that a body may change. spec.md, "Values at boundaries".
func ToStarlark(v plan.Value) starlark.Value {
	switch v := v.(type) {
	case nil:
		return starlark.None
	case bool:
		return starlark.Bool(v)
	case int64:
		return starlark.MakeInt64(v)
	case float64:
		return starlark.Float(v)
	case string:
		return starlark.String(v)
	case []plan.Value:
		elems := make([]starlark.Value, len(v))
		for i, x := range v {
			elems[i] = ToStarlark(x)
		}
		return starlark.NewList(elems)
	case map[string]plan.Value:
		d := starlark.NewDict(len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			must(d.SetKey(starlark.String(k), ToStarlark(v[k])))
		}
		return d
	case plan.Struct:
		fields := make(starlark.StringDict, len(v))
		for k, x := range v {
			fields[k] = ToStarlark(x)
		}
		return starlarkstruct.FromStringDict(starlarkstruct.Default, fields)
	case plan.File:
		return File{v}
	case plan.Dir:
		return Dir{v}
	}
	panic(fmt.Sprintf("a %T is no plan.Value", v))
}

// must panics on an error that can't happen.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// FromStarlark returns a deep copy of v in the form that passes between tasks. Its error names the
// place in v that can't pass. limit bounds the encoded form, in bytes. spec.md, "Values at
// boundaries".
func FromStarlark(v starlark.Value, limit int64) (plan.Value, error) {
	c := copier{left: limit, limit: limit}
	return c.copy(v)
}

// copier copies a value, and stops early if the value is too large. A small structure that shares
// its parts can be exponentially large as a tree.
type copier struct {
	limit int64 // bytes that the encoded form may take
	left  int64 // bytes that it may still take; counts too few rather than too many
	place []any // the way to the part that is being copied: int and string keys, fieldName
}

// fieldName is a step of the way to a struct's field.
type fieldName string

// errorf returns an error that begins with the place.
func (c *copier) errorf(format string, args ...any) *diag.Error {
	var b strings.Builder
	for _, step := range c.place {
		switch step := step.(type) {
		case fieldName:
			b.WriteString("." + string(step))
		case string:
			fmt.Fprintf(&b, "[%q]", step)
		default:
			fmt.Fprintf(&b, "[%v]", step)
		}
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	e := errorf(format, args...)
	e.Msg = b.String() + e.Msg
	return e
}

func (c *copier) copy(v starlark.Value) (plan.Value, error) {
	if len(c.place) > plan.MaxDepth {
		return nil, errorf("the value nests deeper than %d, or holds itself", plan.MaxDepth)
	}
	if err := c.spend(1); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bool:
		return bool(v), nil
	case starlark.Int:
		if n, ok := v.Int64(); ok {
			return n, nil
		}
		return nil, c.errorf("the int doesn't fit 64 bits").WithHint("pass it as a str")
	case starlark.Float:
		if f := float64(v); !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f, nil
		}
		return nil, c.errorf("the float %s isn't finite", v)
	case starlark.String:
		return c.text(string(v))
	case *starlark.List:
		return c.list(v)
	case starlark.Tuple:
		return c.list(v)
	case starlark.Indexable:
		if v.Type() == "range" {
			return c.list(v)
		}
	case *starlark.Dict:
		return c.dict(v)
	case *starlarkstruct.Struct:
		return c.fields(v)
	case File:
		return v.Ref, nil
	case Dir:
		return v.Ref, nil
	}
	return nil, c.refuse(v)
}

// spend counts n bytes of the encoded form.
func (c *copier) spend(n int) error {
	if c.left -= int64(n); c.left >= 0 {
		return nil
	}
	return plan.ErrValue.Errorf("the value takes more than the %d bytes that may pass between tasks", c.limit).
		WithHint("pass a File, or raise the limit with %s", plan.ErrValue.Flag())
}

// part copies the part of a value that is one step away.
func (c *copier) part(step any, v starlark.Value) (plan.Value, error) {
	c.place = append(c.place, step)
	x, err := c.copy(v)
	c.place = c.place[:len(c.place)-1]
	return x, err
}

func (c *copier) text(s string) (plan.Value, error) {
	if err := c.spend(len(s)); err != nil {
		return nil, err
	}
	if !utf8.ValidString(s) {
		return nil, c.errorf("the str isn't valid UTF-8")
	}
	return s, nil
}

func (c *copier) list(l starlark.Indexable) (plan.Value, error) {
	out := make([]plan.Value, 0, min(l.Len(), int(max(c.left, 0))))
	for i := range l.Len() {
		x, err := c.part(i, l.Index(i))
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func (c *copier) dict(d *starlark.Dict) (plan.Value, error) {
	out := make(map[string]plan.Value, d.Len())
	for k, v := range d.Entries() {
		key, ok := starlark.AsString(k)
		if !ok {
			return nil, c.errorf("the keys of a dict are str, got %s", k.Type())
		}
		if _, err := c.text(key); err != nil {
			return nil, err
		}
		x, err := c.part(key, v)
		if err != nil {
			return nil, err
		}
		out[key] = x
	}
	return out, nil
}

func (c *copier) fields(s *starlarkstruct.Struct) (plan.Value, error) {
	out := plan.Struct{}
	for _, name := range s.AttrNames() {
		field, err := s.Attr(name)
		if err != nil {
			return nil, err
		}
		if err := c.spend(len(name)); err != nil {
			return nil, err
		}
		if out[name], err = c.part(fieldName(name), field); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// refuse is the error for a value that can't pass between tasks.
func (c *copier) refuse(v starlark.Value) error {
	e := c.errorf("a %s can't pass between tasks", v.Type())
	switch v.(type) {
	case *starlark.Set:
		e.Hint = "pass sorted(x), a list"
	case starlark.Bytes:
		e.Hint = "pass a str, or a File"
	case starlark.Callable:
		e.Hint = "a body reaches tasks and functions as globals"
	default:
		if v.Type() == "future" {
			e.Hint = "pass its .result()"
		}
	}
	return e
}
