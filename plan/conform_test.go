package plan_test

import (
	"reflect"
	"testing"

	"github.com/flytestar/flytestar/plan"
)

func kind(k plan.Kind) plan.Type               { return plan.Type{Kind: k} }
func of(k plan.Kind, elem plan.Type) plan.Type { return plan.Type{Kind: k, Elem: &elem} }

var person = plan.Type{Kind: plan.KindRecord, Fields: []plan.Field{
	{Name: "name", Type: kind(plan.KindStr)},
	{Name: "age", Type: of(plan.KindOptional, kind(plan.KindFloat))},
}}

func TestConform(t *testing.T) {
	type list = []plan.Value
	type dict = map[string]plan.Value
	str, integer, float := kind(plan.KindStr), kind(plan.KindInt), kind(plan.KindFloat)
	level, _ := plan.EnumOf("low", "high")
	numbers, _ := plan.EnumOf(int64(1), int64(2))
	tests := []struct {
		value plan.Value
		typ   plan.Type
		want  plan.Value
		err   string
	}{
		{"x", str, "x", ""},
		{int64(1), integer, int64(1), ""},
		{int64(1), float, 1.0, ""},
		{int64(1 << 53), float, float64(1 << 53), ""},
		{int64(-1 << 63), float, float64(-1 << 63), ""},
		{int64(1<<53 + 1), float, nil, "a float can't hold the int 9007199254740993 exactly"},
		{int64(1<<63 - 1), float, nil, "a float can't hold the int 9223372036854775807 exactly"},
		{1.5, integer, nil, "want int, got float"},
		{true, integer, nil, "want int, got bool"},
		{nil, str, nil, "want str, got None"},
		{nil, kind(plan.KindNone), nil, ""},
		{"x", kind(plan.KindNone), nil, "want None, got str"},
		{nil, of(plan.KindOptional, str), nil, ""},
		{int64(2), of(plan.KindOptional, float), 2.0, ""},
		{"x", of(plan.KindOptional, integer), nil, "want int, got str"},
		{dict{"x": int64(1)}, kind(plan.KindAny), dict{"x": int64(1)}, ""},
		{list{int64(1), 2.0}, of(plan.KindList, float), list{1.0, 2.0}, ""},
		{list{"x", nil}, of(plan.KindList, str), nil, "[1]: want str, got None"},
		{"x", of(plan.KindList, str), nil, "want list[str], got str"},
		{dict{"b": "x", "a": "x"}, of(plan.KindDict, integer), nil, `["a"]: want int, got str`},
		{plan.Struct{"a": "x"}, of(plan.KindDict, str), nil, "want dict[str, str], got struct"},
		{dict{"name": "n", "age": int64(3)}, person, plan.Struct{"name": "n", "age": 3.0}, ""},
		{plan.Struct{"name": "n"}, person, plan.Struct{"name": "n", "age": nil}, ""},
		{plan.Struct{"age": 1.0}, person, nil, `field "name" is missing`},
		{dict{"name": "n", "z": nil, "y": nil}, person, nil, `there is no field "y"`},
		{list{dict{"name": int64(1)}}, of(plan.KindList, person), nil, "[0].name: want str, got int"},
		{"low", level, "low", ""},
		{"none", level, nil, `want enum("low", "high"), got "none"`},
		{int64(1), level, nil, `want enum("low", "high"), got int`},
		{int64(2), numbers, int64(2), ""},
		{int64(3), numbers, nil, "want enum(1, 2), got 3"},
		{2.0, numbers, nil, "want enum(1, 2), got float"},
		{int64(1), plan.UnionOf(float, integer), int64(1), ""},
		{int64(1), plan.UnionOf(float, str), 1.0, ""},
		{nil, plan.UnionOf(float, plan.UnionOf(str, kind(plan.KindNone))), nil, ""},
		{true, plan.UnionOf(float, str), nil, "want float | str, got bool"},
		{dict{"name": "n"}, plan.UnionOf(str, person), plan.Struct{"name": "n", "age": nil}, ""},
		{dict{"name": "n"}, plan.UnionOf(person, of(plan.KindDict, str)), dict{"name": "n"}, ""},
		{plan.Struct{"name": int64(1)}, plan.UnionOf(person, str), nil, ".name: want str, got int"},
		{list{int64(1), "x"}, of(plan.KindList, plan.UnionOf(str, integer)), list{int64(1), "x"}, ""},
		{plan.Struct{}, plan.Type{Kind: plan.KindRecord, Fields: []plan.Field{{Name: "n", Type: float, Default: []byte("1")}}}, plan.Struct{"n": 1.0}, ""},
		{plan.File{Name: "f"}, kind(plan.KindFile), plan.File{Name: "f"}, ""},
		{plan.File{Name: "f"}, kind(plan.KindDir), nil, "want Dir, got File"},
		{plan.Dir{Name: "f"}, kind(plan.KindDir), plan.Dir{Name: "f"}, ""},
	}
	for _, tt := range tests {
		got, err := plan.Conform(tt.value, tt.typ)
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("Conform(%v, %s): error %v, want %q", tt.value, tt.typ, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("Conform(%v, %s) = %v, %v; want %v", tt.value, tt.typ, got, err, tt.want)
		}
	}
}

func TestTypeString(t *testing.T) {
	got := of(plan.KindDict, of(plan.KindOptional, of(plan.KindList, person))).String()
	if want := "dict[str, list[record(name = str, age = float | None)] | None]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
