package value

import (
	"encoding/json"
	"maps"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Type is a type as a value. Types such as str, int and list can be called, as Starlark's own
// functions of these names. spec.md, "Types".
type Type struct {
	T     plan.Type
	depth int                                 // how deep it nests
	parts int                                 // types and an enum's values in it when it is written out; 0: only itself
	call  bool                                // it can be called, as the universe's function of its name
	index func(starlark.Value) (*Type, error) // T[…], of the bare list and dict; else nil
	attrs map[string]*starlark.Builtin        // File.from_text
}

var (
	_ starlark.Callable  = (*Type)(nil)
	_ starlark.HasAttrs  = (*Type)(nil)
	_ starlark.HasBinary = (*Type)(nil)
	_ starlark.Mapping   = (*Type)(nil)
)

// SetName gives a record its name, unless it has one.
func (t *Type) SetName(name string) {
	if t.T.Kind == plan.KindRecord && t.T.Name == "" {
		t.T.Name = name
	}
}

// String returns the type as it is written.
func (t *Type) String() string { return t.T.String() }

// Type returns "type".
func (t *Type) Type() string { return "type" }

// Freeze does nothing: types are immutable.
func (t *Type) Freeze() {}

// Truth returns true.
func (t *Type) Truth() starlark.Bool { return true }

// Hash implements starlark.Value; equal types are the same value.
func (t *Type) Hash() (uint32, error) { return starlark.String(t.T.Definition()).Hash() }

// Name returns the type as it is written.
func (t *Type) Name() string { return t.String() }

// CallInternal makes a record's value, or calls Starlark's own function of the type's name.
func (t *Type) CallInternal(th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if t.call {
		// This must be looked up now: the interpreter replaces functions of the universe.
		return starlark.Universe[string(t.T.Kind)].(*starlark.Builtin).CallInternal(th, args, kwargs)
	}
	switch t.T.Kind {
	case plan.KindRecord:
		return t.make(th, args, kwargs)
	case plan.KindFile:
		return nil, errorf("%s is a type and can't be called", t).WithHint("File.from_text(name, text) makes a File, in a body")
	case plan.KindEnum:
		return nil, errorf("%s is a type and can't be called", t).WithHint("its values are written as they are, such as %s", t.T.Literals()[0])
	}
	return nil, errorf("%s is a type and can't be called", t)
}

// make returns a record's value with these fields. It is a copy, as where a value passes between
// tasks.
func (t *Type) make(th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if len(args) > 0 {
		return nil, errorf("%s: the fields are given by name", t).WithHint("write NAME(%s = …)", t.T.Fields[0].Name)
	}
	limit := int64(plan.MaxValue)
	if b, ok := th.Local(bodyLocal).(Body); ok {
		limit = b.MaxValue()
	}
	fields := make(starlark.StringDict, len(kwargs))
	for _, kv := range kwargs {
		fields[string(kv[0].(starlark.String))] = kv[1]
	}
	c := copier{left: limit, limit: limit}
	v, err := c.copy(starlarkstruct.FromStringDict(starlarkstruct.Default, fields))
	th.Steps += uint64(limit - c.left)
	if err == nil {
		v, err = plan.Conform(v, t.T)
	}
	if err != nil {
		return nil, unpack.About(t.String(), err)
	}
	return ToStarlark(v), nil
}

// Attr implements starlark.HasAttrs.
func (t *Type) Attr(name string) (starlark.Value, error) {
	if f, ok := t.attrs[name]; ok {
		return f, nil
	}
	return nil, nil
}

// AttrNames implements starlark.HasAttrs.
func (t *Type) AttrNames() []string { return slices.Sorted(maps.Keys(t.attrs)) }

// Get implements T[…].
func (t *Type) Get(key starlark.Value) (starlark.Value, bool, error) {
	if t.index == nil {
		return nil, false, errorf("the type %s takes no element type", t).WithHint("there is list[T] and dict[str, T]")
	}
	of, err := t.index(key)
	if err != nil {
		return nil, false, err
	}
	return of, true, nil
}

// Binary implements A | B and T | None.
func (t *Type) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	if op != syntax.PIPE {
		return nil, nil
	}
	of, err := TypeOf(y)
	if err != nil {
		return nil, unpack.About("|", err)
	}
	a, b := t, of
	if side == starlark.Right {
		a, b = of, t
	}
	u := &Type{
		T:     plan.UnionOf(a.T, b.T),
		depth: max(a.depth, b.depth) + 1,
		parts: max(a.parts, 1) + max(b.parts, 1) + 1,
	}
	if len(u.T.Members) == 0 && u.T.Kind != plan.KindOptional { // one of the two has the other
		if u.T.Kind == t.T.Kind {
			return t, nil
		}
		return of, nil
	}
	return u, u.checkSize()
}

// scalarType returns the type with that name. It can be called if the universe has a function of
// the name.
func scalarType(name string) *Type {
	t := &Type{T: plan.Type{Kind: plan.Kind(name)}, depth: 1}
	_, t.call = starlark.Universe[name].(*starlark.Builtin)
	return t
}

// Types other than scalars. A bare list or dict holds values of any type.
var (
	anyType  = plan.Type{Kind: plan.KindAny}
	noneType = &Type{T: plan.Type{Kind: plan.KindNone}, depth: 1}
	listType = &Type{
		T:     plan.Type{Kind: plan.KindList, Elem: &anyType},
		depth: 2,
		call:  true,
		index: func(key starlark.Value) (*Type, error) {
			elem, err := TypeOf(key)
			if err != nil {
				return nil, unpack.About("list[T]", err)
			}
			return nested(plan.KindList, elem)
		},
	}
	dictType = &Type{
		T:     plan.Type{Kind: plan.KindDict, Elem: &anyType},
		depth: 2,
		call:  true,
		index: dictOf,
	}
	fileType = &Type{
		T:     plan.Type{Kind: plan.KindFile},
		depth: 1,
		attrs: map[string]*starlark.Builtin{"from_text": starlark.NewBuiltin("File.from_text", fileFromText)},
	}
	dirType = &Type{T: plan.Type{Kind: plan.KindDir}, depth: 1}
)

// dictOf returns dict[str, T] for the key (str, T).
func dictOf(key starlark.Value) (*Type, error) {
	pair, ok := key.(starlark.Tuple)
	if !ok || len(pair) != 2 {
		return nil, errorf("a dict's type has two parts").WithHint("write dict[str, T]")
	}
	if k, err := TypeOf(pair[0]); err != nil || k.T.Kind != plan.KindStr {
		return nil, errorf("the keys of a dict are str, not %s", pair[0]).WithHint("write dict[str, T]")
	}
	elem, err := TypeOf(pair[1])
	if err != nil {
		return nil, unpack.About("dict[str, T]", err)
	}
	return nested(plan.KindDict, elem)
}

// nested returns the type of that kind around elem.
func nested(kind plan.Kind, elem *Type) (*Type, error) {
	t := &Type{T: plan.Type{Kind: kind, Elem: &elem.T}, depth: elem.depth + 1, parts: max(elem.parts, 1) + 1}
	return t, t.checkSize()
}

// maxParts bounds how many types a type is made of. A record of two fields of the same type, nested
// many times, is huge when a graph writes it out.
const maxParts = 10_000

// checkSize refuses a type that is too large, or that nests deeper than a value may.
func (t *Type) checkSize() error {
	switch {
	case t.depth > plan.MaxDepth:
		return errorf("the type nests deeper than %d", plan.MaxDepth)
	case t.parts > maxParts:
		return errorf("the type is made of more than %d types", maxParts)
	}
	if err := t.T.CheckSize(); err != nil {
		return errorf("%v", err)
	}
	return nil
}

// Enum returns enum(value, …).
func Enum(args starlark.Tuple) (*Type, error) {
	values := make([]plan.Value, len(args))
	for i, a := range args {
		v, err := FromStarlark(a, plan.MaxValue)
		if err != nil {
			return nil, unpack.About("enum", err)
		}
		values[i] = v
	}
	t, err := plan.EnumOf(values...)
	if err != nil {
		return nil, errorf("enum: %v", err).WithHint(`write enum("low", "high") or enum(1, 2)`)
	}
	e := &Type{T: t, depth: 1, parts: len(args) + 1}
	return e, e.checkSize()
}

// TypeOf returns v as a type. None is a type as well.
func TypeOf(v starlark.Value) (*Type, error) {
	switch v := v.(type) {
	case *Type:
		return v, nil
	case starlark.NoneType:
		return noneType, nil
	case starlark.String:
		return nil, errorf("want a type, got the string %s", v).WithHint("types are values, as in list[str]")
	case *starlark.List:
		return nil, errorf("want a type, got a list").WithHint("write list[T]")
	case starlark.Tuple:
		return nil, errorf("want a type, got a tuple").
			WithHint(`a task with several results declares outputs = {"name": type, …}; a tuple that is passed becomes a list[T]`)
	case *starlark.Dict:
		return nil, errorf("want a type, got a dict").WithHint(`write dict[str, T], or record(name = type, …); several results are outputs = {"name": type, …}`)
	case *starlark.Builtin:
		if v.Name() == "tuple" || v.Name() == "set" {
			return nil, errorf("%s isn't a type of values that pass between tasks", v.Name()).WithHint("use list[T]")
		}
	}
	return nil, errorf("want a type, got %s", v.Type()).
		WithHint("types are str, int, float, bool, None, list[T], dict[str, T], A | B, T | None, File, Dir, enum(...), record(...), any")
}

// Record returns record(name = type, …) for these arguments, at least one. field takes a type and a
// default out of an argument; the default is encoded, or nil if the field is required.
func Record(kwargs []starlark.Tuple, field func(starlark.Value) (*Type, json.RawMessage, error)) (*Type, error) {
	t := &Type{T: plan.Type{Kind: plan.KindRecord}}
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		if !plan.ValidParam(name) {
			return nil, errorf("record: %q can't name a field", name)
		}
		of, def, err := field(kv[1])
		if err != nil {
			return nil, unpack.About("record: field "+name, err)
		}
		t.T.Fields = append(t.T.Fields, plan.Field{Name: name, Type: of.T, Default: def})
		t.depth = max(t.depth, of.depth+1)
		t.parts += max(of.parts, 1)
	}
	return t, t.checkSize()
}

// Predeclared returns the types that have a name.
func Predeclared() starlark.StringDict {
	types := starlark.StringDict{"list": listType, "dict": dictType, "File": fileType, "Dir": dirType}
	for _, name := range []string{"str", "int", "float", "bool", "any"} {
		types[name] = scalarType(name)
	}
	return types
}

// errorf returns an error without position and class: the interpreter takes them from the call.
func errorf(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, "", format, args...)
}
