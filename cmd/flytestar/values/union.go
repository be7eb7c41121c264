package values

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

// fromEnum reads an argument as a value of an enum.
func fromEnum(s string, t plan.Type) (plan.Value, error) {
	if !slices.Contains(t.Values, s) {
		return nil, fmt.Errorf("want one of %s, got %q", strings.Join(t.Values, ", "), s)
	}
	return fromText(s, *t.Elem)
}

// fromUnion reads an argument as a value of a union: of the first member that it can be. str comes
// last, since every text is a str.
func fromUnion(s string, t plan.Type) (plan.Value, error) {
	for _, m := range t.Members {
		if m.Kind == plan.KindStr {
			continue
		}
		if v, err := fromText(s, m); err == nil && fits(v, m) {
			return v, nil
		}
	}
	if t.Has(plan.KindStr) {
		return fromText(s, plan.Type{Kind: plan.KindStr})
	}
	return nil, fmt.Errorf("want %s, got %q", t, s)
}

// fits reports whether v is a value of type t. Paths aren't values yet, so a type with Files is taken
// on trust.
func fits(v plan.Value, t plan.Type) bool {
	if t.HasFile() {
		return true
	}
	_, err := plan.Conform(v, t)
	return err == nil
}

// member returns the member of a union that a result of decodeJSON is read as: the first that has
// its form, and to which an int isn't a float.
func member(raw any, union plan.Type) plan.Type {
	for _, loose := range []bool{false, true} {
		for _, m := range union.Members {
			if formed(raw, m, loose) {
				return m
			}
		}
	}
	return plan.Type{Kind: plan.KindAny} // plan.Conform refuses it
}

// formed reports whether a result of decodeJSON has the form of a type. If it is loose, an int may be
// a float.
func formed(raw any, t plan.Type, loose bool) bool {
	switch t.Kind {
	case plan.KindAny:
		return true
	case plan.KindOptional:
		return raw == nil || formed(raw, *t.Elem, loose)
	case plan.KindUnion:
		return slices.ContainsFunc(t.Members, func(m plan.Type) bool { return formed(raw, m, loose) })
	}
	switch raw := raw.(type) {
	case nil:
		return t.Kind == plan.KindNone
	case bool:
		return t.Kind == plan.KindBool
	case string:
		return t.Kind == plan.KindStr || t.Kind == plan.KindFile || t.Kind == plan.KindDir ||
			t.Kind == plan.KindEnum && t.Elem.Kind == plan.KindStr && slices.Contains(t.Values, raw)
	case json.Number:
		return formedNumber(raw.String(), t, loose)
	case []any:
		return t.Kind == plan.KindList && !slices.ContainsFunc(raw, func(x any) bool { return !formed(x, *t.Elem, loose) })
	case map[string]any:
		return formedObject(raw, t, loose)
	}
	return false
}

func formedNumber(s string, t plan.Type, loose bool) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	switch t.Kind {
	case plan.KindInt:
		return err == nil
	case plan.KindEnum:
		return t.Elem.Kind == plan.KindInt && slices.Contains(t.Values, s)
	}
	return t.Kind == plan.KindFloat && (err != nil || loose)
}

func formedObject(object map[string]any, t plan.Type, loose bool) bool {
	if t.Kind == plan.KindDict {
		for _, x := range object {
			if !formed(x, *t.Elem, loose) {
				return false
			}
		}
		return true
	}
	known := 0
	for _, f := range t.Fields {
		x, ok := object[f.Name]
		if ok {
			known++
		}
		if ok && !formed(x, f.Type, loose) || !ok && f.Default == nil && f.Type.Kind != plan.KindOptional {
			return false
		}
	}
	return t.Kind == plan.KindRecord && known == len(object)
}
