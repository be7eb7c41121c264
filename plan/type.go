package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Type is the type of a value that passes between tasks.
type Type struct {
	Kind    Kind     `json:"kind"`
	Name    string   `json:"name,omitempty"`    // record: the global that is bound to it, if any
	Elem    *Type    `json:"elem,omitempty"`    // list, dict (of its values), optional; enum (str or int)
	Fields  []Field  `json:"fields,omitempty"`  // record, in order of declaration
	Members []Type   `json:"members,omitempty"` // union, in order of declaration
	Values  []string `json:"values,omitempty"`  // enum, in order of declaration; ints in decimal
}

// Field is a field of a record.
type Field struct {
	Name    string          `json:"name"`
	Type    Type            `json:"type"`
	Default json.RawMessage `json:"default,omitempty"` // encoded value; nil if the field is required
}

// Kind tells types apart.
type Kind string

// The kinds of type. None is the type of a task without an output.
const (
	KindStr      Kind = "str"
	KindInt      Kind = "int"
	KindFloat    Kind = "float"
	KindBool     Kind = "bool"
	KindNone     Kind = "None"
	KindList     Kind = "list"
	KindDict     Kind = "dict"
	KindOptional Kind = "optional"
	KindFile     Kind = "File"
	KindDir      Kind = "Dir"
	KindRecord   Kind = "record"
	KindEnum     Kind = "enum"
	KindUnion    Kind = "union"
	KindAny      Kind = "any"
)

// maxTypeDepth is the deepest nesting of types. Values nest no deeper than MaxDepth.
const maxTypeDepth = MaxDepth

// ListOf returns list[elem].
func ListOf(elem Type) Type { return Type{Kind: KindList, Elem: &elem} }

// DictOf returns dict[str, elem].
func DictOf(elem Type) Type { return Type{Kind: KindDict, Elem: &elem} }

// EnumOf returns the enum of these values, all strings or all ints of 64 bits, at least one and none
// twice.
func EnumOf(values ...Value) (Type, error) {
	t := Type{Kind: KindEnum}
	for _, v := range values {
		kind, text := KindStr, ""
		switch v := v.(type) {
		case string:
			text = v
		case int64:
			kind, text = KindInt, strconv.FormatInt(v, 10)
		default:
			return t, fmt.Errorf("an enum has strings or ints, not %s", TypeName(v))
		}
		if t.Elem == nil {
			t.Elem = &Type{Kind: kind}
		}
		if t.Elem.Kind != kind {
			return t, fmt.Errorf("an enum has strings or ints, not both")
		}
		t.Values = append(t.Values, text)
	}
	return t, t.validateEnum()
}

// UnionOf returns a | b. It is flat: members of unions become members, and None makes it optional.
// A member that is there already isn't added.
func UnionOf(a, b Type) Type {
	if a.Kind == KindAny || b.Kind == KindAny {
		return Type{Kind: KindAny}
	}
	none := false
	var members []Type
	for _, t := range []Type{a, b} {
		if t.Kind == KindOptional {
			none, t = true, *t.Elem
		}
		switch t.Kind {
		case KindNone:
			none = true
		case KindUnion:
			for _, m := range t.Members {
				members = addMember(members, m)
			}
		default:
			members = addMember(members, t)
		}
	}
	switch len(members) {
	case 0:
		return Type{Kind: KindNone}
	case 1:
		a = members[0]
	default:
		a = Type{Kind: KindUnion, Members: members}
	}
	if none {
		return Type{Kind: KindOptional, Elem: &a}
	}
	return a
}

func addMember(members []Type, t Type) []Type {
	definition := t.Definition()
	if slices.ContainsFunc(members, func(m Type) bool { return m.Definition() == definition }) {
		return members
	}
	return append(members, t)
}

// Has reports whether a value of kind k can be a value of the type.
func (t Type) Has(k Kind) bool {
	switch t.Kind {
	case KindAny, k:
		return true
	case KindOptional:
		return k == KindNone || t.Elem.Has(k)
	case KindEnum:
		return t.Elem.Kind == k
	case KindUnion:
		return slices.ContainsFunc(t.Members, func(m Type) bool { return m.Has(k) })
	}
	return false
}

// String returns the type as it is written in a workflow file. A record that a global is bound to
// is written as its name.
func (t Type) String() string { return t.write(true) }

// Definition returns the type in full, whatever the names of its records.
func (t Type) Definition() string { return t.write(false) }

func (t Type) write(names bool) string {
	switch t.Kind {
	case KindList:
		return "list[" + t.Elem.write(names) + "]"
	case KindDict:
		return "dict[str, " + t.Elem.write(names) + "]"
	case KindOptional:
		return t.Elem.write(names) + " | None"
	case KindUnion:
		members := make([]string, len(t.Members))
		for i, m := range t.Members {
			members[i] = m.write(names)
		}
		return strings.Join(members, " | ")
	case KindEnum:
		return "enum(" + strings.Join(t.Literals(), ", ") + ")"
	case KindRecord:
		if names && t.Name != "" {
			return t.Name
		}
		return t.writeRecord(names)
	}
	return string(t.Kind)
}

// Fieldwise returns a record's type with its own fields written out. Records within are written as
// their names.
func (t Type) Fieldwise() string { return t.writeRecord(true) }

func (t Type) writeRecord(names bool) string {
	fields := make([]string, len(t.Fields))
	for i, f := range t.Fields {
		fields[i] = f.Name + " = " + f.Type.write(names)
		if f.Default != nil {
			fields[i] = fmt.Sprintf("%s = input(%s, default = %s)", f.Name, f.Type.write(names), Literal(f.Default))
		}
	}
	return "record(" + strings.Join(fields, ", ") + ")"
}

// Literals returns an enum's values as a workflow file has them.
func (t Type) Literals() []string {
	if t.Elem.Kind == KindInt {
		return t.Values
	}
	quoted := make([]string, len(t.Values))
	for i, v := range t.Values {
		quoted[i] = strconv.Quote(v)
	}
	return quoted
}

// HasFile reports whether the type itself names a File or Dir that its values can hold.
func (t Type) HasFile() bool {
	switch t.Kind {
	case KindFile, KindDir:
		return true
	case KindList, KindDict, KindOptional:
		return t.Elem.HasFile()
	}
	return slices.ContainsFunc(t.Members, Type.HasFile) ||
		slices.ContainsFunc(t.Fields, func(f Field) bool { return f.Type.HasFile() })
}

// CheckSize returns an error if an enum has too many values, or a union too many members. It doesn't
// look within.
func (t Type) CheckSize() error {
	switch t.Kind {
	case KindOptional:
		return t.Elem.CheckSize()
	case KindEnum:
		return t.validateEnum()
	case KindUnion:
		if n := len(t.Members); n > maxUnion {
			return fmt.Errorf("a union of %d types, more than %d", n, maxUnion)
		}
	}
	return nil
}

func (t Type) validate(depth int) error {
	if depth > maxTypeDepth {
		return fmt.Errorf("type nests deeper than %d", maxTypeDepth)
	}
	switch t.Kind {
	case KindStr, KindInt, KindFloat, KindBool, KindNone, KindFile, KindDir, KindAny:
		return nil
	case KindList, KindDict, KindOptional:
		if t.Elem == nil {
			return fmt.Errorf("type %s without an element type", t.Kind)
		}
		return t.Elem.validate(depth + 1)
	case KindRecord:
		return validateFields(t.Fields, depth+1)
	case KindEnum:
		return t.validateEnum()
	case KindUnion:
		return validateMembers(t.Members, depth+1)
	}
	return fmt.Errorf("unknown type %q", t.Kind)
}

// Bounds of a type that a value may have to be compared with in whole.
const (
	maxEnum  = 256
	maxUnion = 16
)

func (t Type) validateEnum() error {
	if len(t.Values) > maxEnum {
		return fmt.Errorf("the enum has %d values, more than %d", len(t.Values), maxEnum)
	}
	if t.Elem == nil || t.Elem.Kind != KindStr && t.Elem.Kind != KindInt || len(t.Values) == 0 {
		return fmt.Errorf("an enum has strings or ints, at least one")
	}
	seen := make(map[string]bool, len(t.Values))
	for _, v := range t.Values {
		if seen[v] {
			return fmt.Errorf("the enum has %s twice", v)
		}
		seen[v] = true
		if n, err := strconv.ParseInt(v, 10, 64); t.Elem.Kind == KindInt && (err != nil || strconv.FormatInt(n, 10) != v) {
			return fmt.Errorf("enum of ints with %q", v)
		}
	}
	return nil
}

func validateMembers(members []Type, depth int) error {
	if n := len(members); n < 2 || n > maxUnion {
		return fmt.Errorf("a union of %d types, not of 2 to %d", n, maxUnion)
	}
	for _, m := range members {
		switch m.Kind {
		case KindUnion, KindOptional, KindNone, KindAny:
			return fmt.Errorf("a union has a member of kind %q", m.Kind)
		}
		if err := m.validate(depth); err != nil {
			return err
		}
	}
	return nil
}

func validateFields(fields []Field, depth int) error {
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		if !ValidParam(f.Name) || seen[f.Name] {
			return fmt.Errorf("record with a field %q", f.Name)
		}
		seen[f.Name] = true
		if err := f.Type.validate(depth); err != nil {
			return err
		}
		if err := f.validateDefault(); err != nil {
			return fmt.Errorf("field %q: %w", f.Name, err)
		}
	}
	return nil
}

func (f Field) validateDefault() error {
	if f.Default == nil {
		return nil
	}
	v, err := UnmarshalValue(f.Default)
	if err == nil {
		_, err = Conform(v, f.Type)
	}
	if err != nil {
		return fmt.Errorf("the default: %w", err)
	}
	return nil
}
