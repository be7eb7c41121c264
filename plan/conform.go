package plan

import (
	"fmt"
	"maps"
	"slices"
)

// Conform returns v as a value of type t. An int becomes a float where float is declared. A dict or
// struct becomes a Struct where a record is declared. The error names the place within v, such as
// "[3].name: want str, got int".
func Conform(v Value, t Type) (Value, error) {
	switch t.Kind {
	case KindAny:
		return v, nil
	case KindOptional:
		if v == nil {
			return nil, nil
		}
		return Conform(v, *t.Elem)
	case KindNone:
		if v == nil {
			return nil, nil
		}
	case KindBool:
		if _, ok := v.(bool); ok {
			return v, nil
		}
	case KindInt:
		if _, ok := v.(int64); ok {
			return v, nil
		}
	case KindFloat:
		switch n := v.(type) {
		case float64:
			return n, nil
		case int64:
			return float64(n), nil
		}
	case KindStr:
		if _, ok := v.(string); ok {
			return v, nil
		}
	case KindFile:
		if _, ok := v.(File); ok {
			return v, nil
		}
	case KindDir:
		if _, ok := v.(Dir); ok {
			return v, nil
		}
	case KindList:
		if l, ok := v.([]Value); ok {
			return conformList(l, *t.Elem)
		}
	case KindDict:
		if m, ok := v.(map[string]Value); ok {
			return conformDict(m, *t.Elem)
		}
	case KindRecord:
		switch m := v.(type) {
		case Struct:
			return conformRecord(m, t.Fields)
		case map[string]Value:
			return conformRecord(m, t.Fields)
		}
	}
	return nil, fmt.Errorf("want %s, got %s", t, TypeName(v))
}

func conformList(l []Value, elem Type) (Value, error) {
	out := make([]Value, len(l))
	for i, x := range l {
		y, err := Conform(x, elem)
		if err != nil {
			return nil, inside(fmt.Sprintf("[%d]", i), err)
		}
		out[i] = y
	}
	return out, nil
}

func conformDict(m map[string]Value, elem Type) (Value, error) {
	out := make(map[string]Value, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) { // sorted, so that the same value gives the same error
		y, err := Conform(m[k], elem)
		if err != nil {
			return nil, inside(fmt.Sprintf("[%q]", k), err)
		}
		out[k] = y
	}
	return out, nil
}

func conformRecord(m map[string]Value, fields []Field) (Value, error) {
	out := make(Struct, len(fields))
	for _, f := range fields {
		x, ok := m[f.Name]
		if !ok && f.Type.Kind != KindOptional {
			return nil, fmt.Errorf("field %q is missing", f.Name)
		}
		y, err := Conform(x, f.Type)
		if err != nil {
			return nil, inside("."+f.Name, err)
		}
		out[f.Name] = y
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if _, ok := out[k]; !ok {
			return nil, fmt.Errorf("there is no field %q", k)
		}
	}
	return out, nil
}

// placed is an error about a place within a value.
type placed struct {
	path string
	err  error
}

func (e *placed) Error() string { return e.path + ": " + e.err.Error() }
func (e *placed) Unwrap() error { return e.err }

// inside puts a step before the path in err.
func inside(step string, err error) error {
	if p, ok := err.(*placed); ok {
		return &placed{step + p.path, p.err}
	}
	return &placed{step, err}
}

// TypeName returns the name of v's type as a workflow's author would write it.
func TypeName(v Value) string {
	switch v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case []Value:
		return "list"
	case map[string]Value:
		return "dict"
	case Struct:
		return "struct"
	case File:
		return "File"
	case Dir:
		return "Dir"
	}
	return fmt.Sprintf("%T", v)
}
