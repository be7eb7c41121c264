package signature

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

// This file turns annotations into types.

// Bounds of one annotation: how deep it nests, and of how many parts it is made, classes included.
const (
	maxTypeDepth = 32
	maxTypeParts = 1000
)

func (f *File) annotation(t []token) Annotation {
	r := &resolver{file: f, open: map[string]bool{}}
	typ, err := r.typ(t, 0)
	return Annotation{Given: true, Type: typ, Err: err}
}

// resolver resolves one annotation.
type resolver struct {
	file  *File
	parts int
	open  map[string]bool // classes and aliases that the resolver is in
}

func (r *resolver) typ(t []token, depth int) (plan.Type, error) {
	if r.parts++; depth > maxTypeDepth || r.parts > maxTypeParts {
		return plan.Type{}, errors.New("the type is too large")
	}
	switch {
	case len(t) == 0:
		return plan.Type{}, errors.New("an empty type")
	case t[0].kind == text:
		return r.quoted(t, depth)
	case t[0].is("("):
		if in, after := bracketed(t, "("); len(in) > 0 && len(after) == 0 {
			return r.typ(in, depth+1)
		}
	}
	if members := split(t, "|"); len(members) > 1 {
		return r.union(members, depth)
	}
	dotted, args, ok := subscripted(t)
	if !ok {
		return plan.Type{}, fmt.Errorf("%s isn't a type", shown(t))
	}
	return r.named(dotted, args, depth)
}

// quoted resolves an annotation in a string.
func (r *resolver) quoted(t []token, depth int) (plan.Type, error) {
	within, ok := quotedTokens(t)
	if !ok {
		return plan.Type{}, fmt.Errorf("%s isn't a type", shown(t))
	}
	return r.typ(within, depth+1)
}

// quotedTokens returns the tokens of an annotation in a string; false if it isn't one.
func quotedTokens(t []token) ([]token, bool) {
	s, err := unquote(t)
	if err != nil {
		return nil, false
	}
	lines, err := scan("(" + s + ")")
	if err != nil || len(lines) != 1 {
		return nil, false
	}
	within, after := bracketed(lines[0].tokens, "(")
	return within, len(after) == 0 && len(within) > 0
}

// subscripted takes "a.b" or "a.b[x, y]" apart.
func subscripted(t []token) (dotted string, args [][]token, ok bool) {
	i := 0
	for i < len(t) && (i%2 == 0 && t[i].kind == name || i%2 == 1 && t[i].is(".")) {
		i++
	}
	if i == 0 || i%2 == 0 {
		return "", nil, false
	}
	if i < len(t) {
		in, after := bracketed(t[i:], "[")
		if len(in) == 0 || len(after) > 0 {
			return "", nil, false
		}
		args = split(in, ",")
	}
	return joined(t[:i]), args, true
}

// scalars are the types without arguments.
var scalars = map[string]plan.Kind{
	"str": plan.KindStr, "int": plan.KindInt, "float": plan.KindFloat, "bool": plan.KindBool, "None": plan.KindNone,
	"pathlib.Path": plan.KindFile, "pathlib.PurePath": plan.KindFile, "pathlib.PosixPath": plan.KindFile, "os.PathLike": plan.KindFile,
	"typing.Any": plan.KindAny, "object": plan.KindAny, "typing.NoReturn": plan.KindNone, "typing.Never": plan.KindNone,
	"typing.Text": plan.KindStr,
}

// sequences and mappings are what a list and a dict can be given for.
var (
	sequences = words("list typing.List typing.Sequence typing.MutableSequence typing.Iterable typing.Collection collections.abc.Sequence collections.abc.MutableSequence collections.abc.Iterable collections.abc.Collection")
	mappings  = words("dict typing.Dict typing.Mapping typing.MutableMapping collections.abc.Mapping collections.abc.MutableMapping")
	wrappers  = words("typing.Annotated typing.Final typing.Required typing.NotRequired typing.ReadOnly") // the first argument is the type
)

// special are the names of typing that are looked for one by one.
var special = words("Optional Union Literal Tuple ClassVar NamedTuple TypedDict NewType")

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// full returns a name's full name, as types are listed here.
func (f *File) full(dotted string) string {
	n := f.canonical(dotted)
	if n == dotted && f.star && len(f.bound[dotted]) == 0 { // it may come from an import *
		for _, module := range []string{"typing.", "pathlib."} {
			if _, ok := scalars[module+n]; ok || sequences[module+n] || mappings[module+n] || wrappers[module+n] || module == "typing." && special[n] {
				return module + n
			}
		}
	}
	if rest, ok := strings.CutPrefix(n, "typing_extensions."); ok {
		return "typing." + rest
	}
	return n
}

func (r *resolver) named(dotted string, args [][]token, depth int) (plan.Type, error) {
	n := r.file.full(dotted)
	if b := r.file.own(dotted); b != nil {
		return r.declared(dotted, b, depth)
	}
	switch kind, scalar := scalars[n]; {
	case scalar:
		return plan.Type{Kind: kind}, nil
	case sequences[n]:
		return r.elements(plan.KindList, args, 0, depth)
	case mappings[n]:
		return r.mapping(args, depth)
	case n == "typing.Optional" && len(args) == 1:
		return r.union([][]token{args[0], {{name, "None", 0}}}, depth)
	case n == "typing.Union":
		return r.union(args, depth)
	case wrappers[n] && len(args) > 0:
		return r.typ(args[0], depth+1)
	case (n == "tuple" || n == "typing.Tuple") && len(args) == 2 && joined(args[1]) == "...":
		return r.elements(plan.KindList, args[:1], 0, depth)
	case n == "typing.Literal":
		return r.file.literals(args)
	}
	return plan.Type{}, fmt.Errorf("%s isn't a type that passes between tasks", n)
}

// own returns what the file itself binds to a name, or nil.
func (f *File) own(dotted string) *binding {
	all := f.bound[dotted]
	if len(all) == 0 || all[len(all)-1].kind == imported {
		return nil
	}
	return all[len(all)-1]
}

// elements resolves a list or a dict whose elements have the type of an argument.
func (r *resolver) elements(kind plan.Kind, args [][]token, i, depth int) (plan.Type, error) {
	elem := plan.Type{Kind: plan.KindAny}
	if len(args) > i {
		var err error
		if elem, err = r.typ(args[i], depth+1); err != nil {
			return plan.Type{}, err
		}
	}
	return plan.Type{Kind: kind, Elem: &elem}, nil
}

func (r *resolver) mapping(args [][]token, depth int) (plan.Type, error) {
	if len(args) > 0 {
		if key, err := r.typ(args[0], depth+1); err != nil || key.Kind != plan.KindStr && key.Kind != plan.KindAny {
			return plan.Type{}, errors.New("keys of a dict that passes between tasks are str")
		}
	}
	return r.elements(plan.KindDict, args, 1, depth)
}

// union resolves a union: of one type and None, or of int and float, which is float.
func (r *resolver) union(members [][]token, depth int) (plan.Type, error) {
	var types []plan.Type
	optional := false
	for _, m := range members {
		t, err := r.typ(m, depth+1)
		if err != nil {
			return plan.Type{}, err
		}
		if t.Kind == plan.KindOptional {
			optional, t = true, *t.Elem
		}
		switch {
		case t.Kind == plan.KindNone:
			optional = true
		case t.Kind == plan.KindAny:
			return t, nil
		case !covered(types, t):
			types = append(types, t)
		}
	}
	switch {
	case len(types) == 0:
		return plan.Type{Kind: plan.KindNone}, nil
	case len(types) == 2 && types[0].Kind == plan.KindInt && types[1].Kind == plan.KindFloat, len(types) == 2 && types[1].Kind == plan.KindInt && types[0].Kind == plan.KindFloat:
		types = []plan.Type{{Kind: plan.KindFloat}}
	case len(types) == 2 && (types[0].Kind == plan.KindStr && types[1].Kind == plan.KindFile || types[0].Kind == plan.KindFile && types[1].Kind == plan.KindStr):
		types = []plan.Type{{Kind: plan.KindFile}} // str | Path is a path
	}
	all := plan.Type{Kind: plan.KindNone}
	for _, t := range types {
		all = plan.UnionOf(all, t)
	}
	if !optional && all.Kind == plan.KindOptional {
		all = *all.Elem
	}
	return all, all.CheckSize()
}

// covered reports whether a type is among types.
func covered(types []plan.Type, t plan.Type) bool {
	for _, have := range types {
		if have.String() == t.String() {
			return true
		}
	}
	return false
}

// literals returns the type of Literal[...]: an enum, or None.
func (f *File) literals(args [][]token) (plan.Type, error) {
	var values []plan.Value
	none := false
	for _, a := range args {
		v, err := f.literal(a, 1)
		if err != nil {
			return plan.Type{}, fmt.Errorf("%s in Literal %w", shown(a), err)
		}
		if v == nil {
			none = true
			continue
		}
		values = added(values, v)
	}
	if len(values) == 0 && none {
		return plan.Type{Kind: plan.KindNone}, nil
	}
	t, err := plan.EnumOf(values...)
	if none && err == nil {
		t = plan.UnionOf(t, plan.Type{Kind: plan.KindNone})
	}
	return t, err
}

// added adds a value, unless it is there. Only strings and ints are compared.
func added(values []plan.Value, v plan.Value) []plan.Value {
	for _, have := range values {
		switch v.(type) {
		case string, int64:
			if have == v {
				return values
			}
		}
	}
	return append(values, v)
}

// enum returns the type of a class whose members are literals.
func (f *File) enum(n string, b *binding) (plan.Type, error) {
	var values []plan.Value
	for _, l := range b.fields {
		t := l.tokens
		if len(t) < 3 || t[0].kind != name || !t[1].is("=") || strings.HasPrefix(t[0].text, "_") {
			continue
		}
		v, err := f.literal(t[2:], 1)
		if err != nil {
			return plan.Type{}, fmt.Errorf("%s is an enum, and its %s %w", n, t[0].text, err)
		}
		values = added(values, v)
	}
	t, err := plan.EnumOf(values...)
	if err != nil {
		return t, fmt.Errorf("%s: %w", n, err)
	}
	return t, nil
}

// declared resolves a name that the file binds: a class or an alias.
func (r *resolver) declared(n string, b *binding, depth int) (plan.Type, error) {
	if r.open[n] {
		return plan.Type{}, fmt.Errorf("%s refers to itself", n)
	}
	r.open[n] = true
	defer delete(r.open, n)
	if b.kind == assigned && len(b.value) > 0 {
		if dotted, args, ok := called(b.value); ok && r.file.full(dotted) == "typing.NewType" && len(args) == 2 {
			return r.typ(args[1], depth+1)
		}
		return r.typ(b.value, depth+1)
	}
	if b.kind != class {
		return plan.Type{}, fmt.Errorf("%s isn't a type", n)
	}
	return r.class(n, b, depth)
}

// called takes "a.b(x, y)" apart.
func called(t []token) (dotted string, args [][]token, ok bool) {
	for i, x := range t {
		if x.is("(") {
			in, after := bracketed(t[i:], "(")
			return joined(t[:i]), split(in, ","), len(after) == 0 && i > 0
		}
	}
	return "", nil, false
}

// class resolves a class whose fields are annotated.
func (r *resolver) class(n string, b *binding, depth int) (plan.Type, error) {
	kind, err := r.file.classKind(b, map[*binding]bool{})
	switch {
	case err != nil:
		return plan.Type{}, fmt.Errorf("%s is a class that %w", n, err)
	case kind == "enum":
		return r.file.enum(n, b)
	}
	fields, err := r.fields(n, b, depth)
	if err == nil && len(fields) == 0 {
		err = fmt.Errorf("%s has no fields", n)
	}
	if err != nil {
		return plan.Type{}, err
	}
	return plan.Type{Kind: plan.KindRecord, Name: n, Fields: fields}, nil
}

// recordBases are the classes whose subclasses hold their annotated fields.
var recordBases = map[string]string{
	"typing.NamedTuple": "record", "typing.TypedDict": "record", "pydantic.BaseModel": "record", "pydantic.main.BaseModel": "record",
	"enum.Enum": "enum", "enum.StrEnum": "enum", "enum.IntEnum": "enum",
}

// classKind tells what a class is by its decorators and bases: "record", "enum", or an error.
func (f *File) classKind(b *binding, seen map[*binding]bool) (string, error) {
	seen[b] = true
	for _, d := range b.decorators {
		dotted, _, ok := called(d)
		if !ok {
			dotted = joined(d)
		}
		switch f.canonical(dotted) {
		case "dataclasses.dataclass", "pydantic.dataclasses.dataclass":
			return "record", nil
		}
	}
	for _, base := range split(b.bases, ",") {
		n := joined(base)
		if kind := recordBases[f.full(n)]; kind != "" {
			return kind, nil
		}
		if own := f.own(n); own != nil && own.kind == class && !seen[own] && len(seen) < maxTypeParts {
			if kind, err := f.classKind(own, seen); err == nil {
				return kind, nil
			}
		}
	}
	return "", errors.New("isn't a dataclass, NamedTuple, TypedDict or pydantic model")
}

// fields returns a class's fields, with those of its bases in the file first.
func (r *resolver) fields(n string, b *binding, depth int) ([]plan.Field, error) {
	if r.parts++; depth > maxTypeDepth || r.parts > maxTypeParts {
		return nil, errors.New("the type is too large")
	}
	var fields []plan.Field
	for _, base := range split(b.bases, ",") {
		own := r.file.own(joined(base))
		if own == nil || own.kind != class || r.open[joined(base)] {
			continue
		}
		r.open[joined(base)] = true
		inherited, err := r.fields(joined(base), own, depth+1)
		delete(r.open, joined(base))
		if err != nil {
			return nil, err
		}
		fields = append(fields, inherited...)
	}
	for _, l := range b.fields {
		field, ok, err := r.field(l.tokens, depth)
		if err != nil {
			return nil, fmt.Errorf("field %s of %s: %w", l.tokens[0].text, n, err)
		}
		if ok {
			fields = replaced(fields, field)
		}
	}
	return fields, nil
}

// replaced adds a field, in place of one of its name.
func replaced(fields []plan.Field, field plan.Field) []plan.Field {
	for i := range fields {
		if fields[i].Name == field.Name {
			fields[i] = field
			return fields
		}
	}
	return append(fields, field)
}

// field reads "name: type = default" of a class's body; false if the line is something else.
func (r *resolver) field(t []token, depth int) (plan.Field, bool, error) {
	if len(t) < 3 || t[0].kind != name || !t[1].is(":") {
		return plan.Field{}, false, nil
	}
	if compound[t[0].text] {
		return plan.Field{}, false, nil
	}
	ann, value, _ := cut(t[2:], "=")
	if within, ok := quotedTokens(ann); ok {
		ann = within
	}
	if dotted, _, ok := subscripted(ann); ok {
		switch r.file.full(dotted) {
		case "typing.ClassVar", "dataclasses.KW_ONLY":
			return plan.Field{}, false, nil
		}
	}
	typ, err := r.typ(ann, depth+1)
	if err != nil {
		return plan.Field{}, false, err
	}
	if !plan.ValidParam(t[0].text) {
		return plan.Field{}, false, errors.New("its name can't name a field")
	}
	return plan.Field{Name: t[0].text, Type: typ, Default: r.file.fieldDefault(value, typ)}, true, nil
}

// fieldDefault returns the default of a record's field, encoded; nil if there is none, or if it isn't
// a literal of the type: then callers give the field.
func (f *File) fieldDefault(value []token, typ plan.Type) json.RawMessage {
	if len(value) == 0 {
		return nil
	}
	v, err := f.literal(value, 1)
	if dotted, args, ok := called(value); ok && strings.HasSuffix(strings.ToLower(dotted), "field") {
		v, err = f.fieldCall(args)
	}
	if err != nil {
		return nil
	}
	if v, err = plan.Conform(v, typ); err != nil {
		return nil
	}
	data, err := plan.MarshalValue(v)
	if err != nil {
		return nil
	}
	return data
}

// fieldCall returns the default of field(default=…) or field(default_factory=list).
func (f *File) fieldCall(args [][]token) (plan.Value, error) {
	for _, a := range args {
		key, value, ok := cut(a, "=")
		switch k := joined(key); {
		case !ok && len(args) > 0 && !a[0].is("..."): // pydantic's Field(1, …)
			return f.literal(a, 1)
		case ok && k == "default":
			return f.literal(value, 1)
		case ok && k == "default_factory" && joined(value) == "list":
			return []plan.Value{}, nil
		case ok && k == "default_factory" && joined(value) == "dict":
			return map[string]plan.Value{}, nil
		}
	}
	return nil, errNotLiteral
}

// shown returns tokens as a message has them.
func shown(t []token) string {
	s := joined(t)
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
