package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Conform returns v as a value of type t. An int becomes a float where float is declared. A dict or
// struct becomes a Struct where a record is declared. The error names the place within v, such as
// "[3].name: want str, got int".
//
// A union takes the first member that has the value as it is, or else the first that it can become.
func Conform(v Value, t Type) (Value, error) { return conform(v, t, false) }

// conform is Conform. If it is exact, no int becomes a float and no dict a Struct.
func conform(v Value, t Type, exact bool) (Value, error) {
	switch t.Kind {
	case KindAny:
		return v, nil
	case KindOptional:
		if v == nil {
			return nil, nil
		}
		return conform(v, *t.Elem, exact)
	case KindUnion:
		return conformUnion(v, t, exact)
	case KindEnum:
		return conformEnum(v, t)
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
			if !exact {
				return exactly(n)
			}
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
			return conformList(l, *t.Elem, exact)
		}
	case KindDict:
		if m, ok := v.(map[string]Value); ok {
			return conformDict(m, *t.Elem, exact)
		}
	case KindRecord:
		switch m := v.(type) {
		case Struct:
			return conformRecord(m, t.Fields, exact)
		case map[string]Value:
			if !exact {
				return conformRecord(m, t.Fields, exact)
			}
		}
	}
	return nil, fmt.Errorf("want %s, got %s", t, TypeName(v))
}

func conformUnion(v Value, t Type, exact bool) (Value, error) {
	for _, m := range t.Members {
		if x, err := conform(v, m, true); err == nil {
			return x, nil
		}
	}
	if exact {
		return nil, fmt.Errorf("want %s, got %s", t, TypeName(v))
	}
	var only error // what is wrong, if only one member has the value's form
	for _, m := range t.Members {
		x, err := conform(v, m, false)
		if err == nil {
			return x, nil
		}
		if _, deeper := err.(*placed); deeper && only == nil {
			only = err
		} else if deeper {
			only = fmt.Errorf("want %s: what the %s holds fits none of them", t, TypeName(v))
		}
	}
	if only != nil {
		return nil, only
	}
	return nil, fmt.Errorf("want %s, got %s", t, TypeName(v))
}

func conformEnum(v Value, t Type) (Value, error) {
	text, kind := "", KindStr
	switch v := v.(type) {
	case string:
		text = v
	case int64:
		text, kind = strconv.FormatInt(v, 10), KindInt
	default:
		return nil, fmt.Errorf("want %s, got %s", t, TypeName(v))
	}
	if kind != t.Elem.Kind {
		return nil, fmt.Errorf("want %s, got %s", t, TypeName(v))
	}
	if !slices.Contains(t.Values, text) {
		if kind == KindStr {
			text = strconv.Quote(text)
		}
		return nil, fmt.Errorf("want %s, got %.100s", t, text)
	}
	return v, nil
}

// exactly returns an int as a float that is the same number.
func exactly(n int64) (Value, error) {
	if f := float64(n); f < 1<<63 && int64(f) == n {
		return f, nil
	}
	return nil, fmt.Errorf("a float can't hold the int %d exactly", n)
}

func conformList(l []Value, elem Type, exact bool) (Value, error) {
	out := make([]Value, len(l))
	for i, x := range l {
		y, err := conform(x, elem, exact)
		if err != nil {
			return nil, inside(fmt.Sprintf("[%d]", i), err)
		}
		out[i] = y
	}
	return out, nil
}

func conformDict(m map[string]Value, elem Type, exact bool) (Value, error) {
	out := make(map[string]Value, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) { // sorted, so that the same value gives the same error
		y, err := conform(m[k], elem, exact)
		if err != nil {
			return nil, inside(fmt.Sprintf("[%q]", k), err)
		}
		out[k] = y
	}
	return out, nil
}

func conformRecord(m map[string]Value, fields []Field, exact bool) (Value, error) {
	out := make(Struct, len(fields))
	for _, f := range fields {
		x, ok := m[f.Name]
		switch {
		case ok:
		case f.Default != nil:
			var err error
			if x, err = UnmarshalValue(f.Default); err != nil {
				return nil, inside("."+f.Name, err)
			}
		case f.Type.Kind != KindOptional:
			return nil, fmt.Errorf("field %q is missing", f.Name)
		}
		y, err := conform(x, f.Type, exact && ok)
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
