package plan

import (
	"fmt"
	"strings"
)

// Type is the type of a value that passes between tasks.
type Type struct {
	Kind   Kind    `json:"kind"`
	Elem   *Type   `json:"elem,omitempty"`   // list, dict (of its values), optional
	Fields []Field `json:"fields,omitempty"` // record, in order of declaration
}

// Field is a field of a record.
type Field struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
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
	KindAny      Kind = "any"
)

// maxTypeDepth is the deepest nesting of types. Values nest no deeper than MaxDepth.
const maxTypeDepth = MaxDepth

// String returns the type as it is written in a workflow file.
func (t Type) String() string {
	switch t.Kind {
	case KindList:
		return "list[" + t.Elem.String() + "]"
	case KindDict:
		return "dict[str, " + t.Elem.String() + "]"
	case KindOptional:
		return t.Elem.String() + " | None"
	case KindRecord:
		fields := make([]string, len(t.Fields))
		for i, f := range t.Fields {
			fields[i] = f.Name + " = " + f.Type.String()
		}
		return "record(" + strings.Join(fields, ", ") + ")"
	}
	return string(t.Kind)
}

// HasFile reports whether the type itself names a File or Dir that its values can hold.
func (t Type) HasFile() bool {
	switch t.Kind {
	case KindFile, KindDir:
		return true
	case KindList, KindDict, KindOptional:
		return t.Elem.HasFile()
	}
	for _, f := range t.Fields {
		if f.Type.HasFile() {
			return true
		}
	}
	return false
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
	}
	return fmt.Errorf("unknown type %q", t.Kind)
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
	}
	return nil
}
