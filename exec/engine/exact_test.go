package engine_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/plan"
)

// maker makes random types, values of them, and the Python annotations that name them.
type maker struct {
	*rand.Rand
	classes strings.Builder
	names   int
}

// typed is a type, its annotation, and how to make a value of it.
type typed struct {
	plan.Type
	annotation string
	value      func() plan.Value
}

// any returns a type that nests at most that deep.
func (m *maker) any(depth int) typed {
	if depth == 0 {
		return m.scalar()
	}
	switch m.IntN(6) {
	case 0:
		t := m.any(depth - 1)
		return typed{list(t.Type), "List[" + t.annotation + "]", func() plan.Value {
			l := make([]plan.Value, m.IntN(4))
			for i := range l {
				l[i] = t.value()
			}
			return l
		}}
	case 1:
		t := m.any(depth - 1)
		return typed{dict(t.Type), "Dict[str, " + t.annotation + "]", func() plan.Value {
			d := map[string]plan.Value{}
			for range m.IntN(4) {
				d[m.text()] = t.value()
			}
			return d
		}}
	case 2:
		t := m.any(depth - 1)
		if t.Kind == plan.KindOptional {
			return t
		}
		return typed{optional(t.Type), "Optional[" + t.annotation + "]", func() plan.Value {
			if m.IntN(3) == 0 {
				return nil
			}
			return t.value()
		}}
	case 3:
		a, b := m.any(depth-1), m.scalar()
		u := plan.UnionOf(a.Type, b.Type)
		return typed{u, "Union[" + a.annotation + ", " + b.annotation + "]", func() plan.Value {
			if m.IntN(2) == 0 {
				return a.value()
			}
			return b.value()
		}}
	case 4:
		return m.record(depth)
	}
	return m.scalar()
}

func (m *maker) record(depth int) typed {
	var body strings.Builder
	fields := make([]typed, 1+m.IntN(3))
	t := plan.Type{Kind: plan.KindRecord}
	for i := range fields {
		fields[i] = m.any(depth - 1)
		t.Fields = append(t.Fields, plan.Field{Name: fmt.Sprintf("f%d", i), Type: fields[i].Type})
		fmt.Fprintf(&body, "\n  f%d: %s", i, fields[i].annotation)
	}
	m.names++
	name := fmt.Sprintf("C%d", m.names)
	head := []string{"@dataclass\nclass %s:", "@dataclass(frozen=True)\nclass %s:", "class %s(NamedTuple):", "class %s(TypedDict):"}[m.IntN(4)]
	fmt.Fprintf(&m.classes, head+"%s\n", name, body.String())
	return typed{t, name, func() plan.Value {
		v := plan.Struct{}
		for i, f := range fields {
			v[t.Fields[i].Name] = f.value()
		}
		return v
	}}
}

func (m *maker) scalar() typed {
	switch m.IntN(6) {
	case 0:
		return typed{integ, "int", func() plan.Value { return m.integer() }}
	case 1:
		return typed{float, "float", func() plan.Value { return m.float() }}
	case 2:
		return typed{boolean, "bool", func() plan.Value { return m.IntN(2) == 0 }}
	case 3:
		return m.enum([]plan.Value{int64(3), int64(-1)}, "3", "-1")
	case 4:
		return m.enum([]plan.Value{"é", "C.A"}, "'é'", "'C.A'")
	}
	return typed{str, "str", func() plan.Value { return m.text() }}
}

func (m *maker) enum(values []plan.Value, a, b string) typed {
	t, err := plan.EnumOf(values...)
	if err != nil {
		panic(err)
	}
	m.names++
	name := fmt.Sprintf("C%d", m.names)
	base := []string{"Enum", string(t.Elem.Kind) + ", Enum"}[m.IntN(2)]
	fmt.Fprintf(&m.classes, "class %s(%s):\n  A = %s\n  B = %s\n", name, base, a, b)
	return typed{t, name, func() plan.Value { return values[m.IntN(len(values))] }}
}

func (m *maker) integer() int64 {
	return []int64{0, 1, -1, 3, math.MaxInt64, math.MinInt64, 1<<53 + 1, m.Int64()}[m.IntN(8)]
}

func (m *maker) float() float64 {
	return []float64{0, 1, -1.5, 3, 0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, 1e16, 1e22, m.NormFloat64()}[m.IntN(10)]
}

func (m *maker) text() string {
	return []string{"", "a", "é", "$dict", "C.A", "1", "\x00\u2028", "😀", "\"\\", "true"}[m.IntN(10)]
}

// tagged returns a value in the form in which the shim is given it.
func tagged(v plan.Value) any {
	switch v := v.(type) {
	case float64:
		text, err := plan.MarshalValue(v)
		if err != nil {
			panic(err)
		}
		return json.Number(text)
	case []plan.Value:
		l := make([]any, len(v))
		for i, x := range v {
			l[i] = tagged(x)
		}
		return l
	case map[string]plan.Value:
		return map[string]any{"$dict": taggedAll(v)}
	case plan.Struct:
		return map[string]any{"$struct": taggedAll(v)}
	}
	return v
}

func taggedAll(m map[string]plan.Value) map[string]any {
	out := map[string]any{}
	for k, x := range m {
		out[k] = tagged(x)
	}
	return out
}

// TestPythonExact: a value of any type comes back from a function as it was, whether its parameter is
// annotated with classes or not at all, and whether the output is declared or any.
func TestPythonExact(t *testing.T) {
	p := newPython(t)
	for seed := range uint64(12) {
		m := &maker{Rand: rand.New(rand.NewPCG(seed, 9))}
		var output plan.Type
		var parameters, bare, pairs []string
		want := plan.Struct{}
		output.Kind = plan.KindRecord
		for i := range 30 {
			x := m.any(3)
			name := fmt.Sprintf("x%d", i)
			output.Fields = append(output.Fields, plan.Field{Name: name, Type: x.Type})
			parameters, bare = append(parameters, name+": "+x.annotation), append(bare, name)
			pairs = append(pairs, fmt.Sprintf("%q: %s", name, name))
			v, err := plan.Conform(x.value(), x.Type)
			if err != nil {
				t.Fatal(err)
			}
			want[name] = v
		}
		inputs, err := json.Marshal(taggedAll(want))
		if err != nil {
			t.Fatal(err)
		}
		head := "from dataclasses import dataclass\nfrom enum import Enum\nfrom typing import *\n" + m.classes.String()
		for _, list := range [][]string{bare, parameters} {
			source := head + "def run(" + strings.Join(list, ", ") + "): return {" + strings.Join(pairs, ", ") + "}\n"
			v, log, _, err := p.run(t, source, string(inputs), output)
			if err != nil {
				t.Fatalf("seed %d: %v\n%s\n%s\n%s", seed, err, source, inputs, log)
			}
			for _, f := range output.Fields {
				if got := v.(plan.Struct)[f.Name]; !reflect.DeepEqual(got, want[f.Name]) {
					t.Errorf("seed %d: %s: got %#v, want %#v\n%s", seed, f.Type, got, want[f.Name], source)
				}
			}
		}
	}
}
