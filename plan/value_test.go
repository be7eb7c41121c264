package plan_test

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/plan"
)

var digest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

func TestMarshalValue(t *testing.T) {
	file := plan.File{Name: "a <b>", Digest: plan.Digest(digest), Size: 3}
	tests := []struct {
		value plan.Value
		want  string
	}{
		{nil, `null`},
		{true, `true`},
		{int64(math.MinInt64), `-9223372036854775808`},
		{1.0, `1.0`},
		{1e21, `1e+21`},
		{math.Copysign(0, -1), `-0.0`},
		{"<&> \"é\n", `"<&> \"é\n"`},
		{[]plan.Value{}, `[]`},
		{[]plan.Value{int64(1), "x"}, `[1,"x"]`},
		{map[string]plan.Value{"b": nil, "a": int64(1)}, `{"a":1,"b":null}`},
		{map[string]plan.Value{"$file": "no file"}, `{"$dict":{"$file":"no file"}}`},
		{plan.Struct{"$x": map[string]plan.Value{}}, `{"$struct":{"$x":{}}}`},
		{file, `{"$file":{"name":"a <b>","digest":"` + digest + `","size":3}}`},
		{plan.File{Name: "x", Workspace: "d/x"}, `{"$file":{"name":"x","workspace":"d/x"}}`},
		{plan.Dir{Name: "x", Workspace: "x"}, `{"$dir":{"name":"x","workspace":"x"}}`},
		{plan.Dir(file), `{"$dir":{"name":"a <b>","digest":"` + digest + `","size":3}}`},
	}
	for _, tt := range tests {
		got, err := plan.MarshalValue(tt.value)
		if err != nil || string(got) != tt.want {
			t.Errorf("MarshalValue(%#v) = %s, %v; want %s", tt.value, got, err, tt.want)
			continue
		}
		back, err := plan.UnmarshalValue(got)
		if err != nil || !reflect.DeepEqual(back, tt.value) {
			t.Errorf("UnmarshalValue(%s) = %#v, %v; want %#v", got, back, err, tt.value)
		}
	}
}

func TestMarshalValueRefuses(t *testing.T) {
	shared := plan.Value("0123456789")
	for range 40 { // 2^40 times the string, if written out
		shared = []plan.Value{shared, shared}
	}
	tests := []struct {
		value plan.Value
		want  string
	}{
		{math.NaN(), "isn't finite"},
		{math.Inf(-1), "isn't finite"},
		{"\xff", "isn't valid UTF-8"},
		{map[string]plan.Value{"\xff": nil}, "isn't valid UTF-8"},
		{int(1), "a Go int is no value"},
		{[]plan.Value{plan.Struct{"a": []plan.Value{1}}}, "[0].a[0]: a Go int is no value"},
		{shared, "more than the"},
		{strings.Repeat("x", plan.MaxValue), "more than the"},
		{plan.File{Name: "../x", Digest: plan.Digest(digest)}, "no file name"},
		{plan.File{Name: "x", Digest: "sha256:00"}, "no digest"},
		{plan.File{Name: "x", Digest: plan.Digest(strings.ToUpper(digest))}, "no digest"},
		{plan.Dir{Name: "x", Digest: plan.Digest(digest), Size: -1}, "negative"},
		{plan.File{Name: "x", Workspace: "../x"}, "isn't the path in the workspace"},
		{plan.File{Name: "x", Workspace: "d/y"}, "isn't the path in the workspace"},
		{plan.File{Name: "x", Workspace: "x", Digest: plan.Digest(digest)}, "isn't the path in the workspace"},
	}
	for _, tt := range tests {
		if err := plan.CheckValue(tt.value, 0); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("CheckValue(%.40v): error %v, want %q", tt.value, err, tt.want)
		}
	}
}

func TestUnmarshalValueRefuses(t *testing.T) {
	file := `{"name":"x","digest":"` + digest + `","size":0}`
	tests := []struct{ data, want string }{
		{``, "EOF"},
		{`[1`, "EOF"},
		{`[1}`, "invalid character"},
		{`{"a" 1}`, "invalid character"},
		{`1 2`, "more text after"},
		{`9223372036854775808`, "doesn't fit 64 bits"},
		{`1e999`, "out of range"},
		{"\"\xff\"", "valid UTF-8"},
		{`{"a":1,"a":2}`, `key "a" is given twice`},
		{`{"$struct":{"a":1,"a":2}}`, `key "a" is given twice`},
		{`{"$dict":{"$a":1,"$a":2}}`, `key "$a" is given twice`},
		{`{"$dict":{"a":1}}`, "without a key that begins with $"},
		{`{"$struct":[]}`, "wants an object"},
		{`{"$struct":{},"a":1}`, "among other keys"},
		{`{"a":1,"$struct":{}}`, "among other keys"},
		{`{"$nothing":{}}`, `unknown tag "$nothing"`},
		{`{"$file":null}`, "wants an object"},
		{`{"$file":{}}`, "want a name, a digest and a size"},
		{`{"$file":{"NAME":"x","digest":"` + digest + `","size":0}}`, "want a name"},
		{`{"$file":{"name":"x","digest":"` + digest + `","size":0.5}}`, "want a name"},
		{`{"$file":{"name":"x","digest":"` + digest + `","size":0,"more":1}}`, "want a name"},
		{`{"$file":{"name":"x","name":"y","digest":"` + digest + `","size":0}}`, "is given twice"},
		{`{"$file":{"name":"a/b","digest":"` + digest + `","size":0}}`, "no file name"},
		{`{"$file":{"name":"..","digest":"` + digest + `","size":0}}`, "no file name"},
		{`{"$dir":{"name":"x","digest":"sha256:../../etc/passwd","size":0}}`, "no digest"},
		{`{"$file":{"name":"x","workspace":""}}`, "want a name"},
		{`{"$file":{"name":"x","workspace":"/x"}}`, "isn't the path in the workspace"},
		{`{"$file":{"name":"x","workspace":"x","size":0}}`, "want a name"},
		{`{"$file":` + file + `,"$dir":` + file + `}`, "among other keys"},
	}
	for _, tt := range tests {
		if v, err := plan.UnmarshalValue([]byte(tt.data)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("UnmarshalValue(%.60s) = %v, %v; want error %q", tt.data, v, err, tt.want)
		}
	}
}

// TestDepth: a value that may be written may be read. One level more can neither be written nor
// read.
func TestDepth(t *testing.T) {
	wraps := map[string]struct {
		wrap        func(plan.Value) plan.Value
		open, close string
	}{
		"list":   {func(v plan.Value) plan.Value { return []plan.Value{v} }, `[`, `]`},
		"dict":   {func(v plan.Value) plan.Value { return map[string]plan.Value{"k": v} }, `{"k":`, `}`},
		"$dict":  {func(v plan.Value) plan.Value { return map[string]plan.Value{"$k": v} }, `{"$dict":{"$k":`, `}}`},
		"struct": {func(v plan.Value) plan.Value { return plan.Struct{"k": v} }, `{"$struct":{"k":`, `}}`},
	}
	for name, w := range wraps {
		v := plan.Value(int64(1))
		for range plan.MaxDepth {
			v = w.wrap(v)
		}
		data, err := plan.MarshalValue(v)
		if err != nil {
			t.Errorf("%s: %d levels: %v", name, plan.MaxDepth, err)
		}
		if back, err := plan.UnmarshalValue(data); err != nil || !reflect.DeepEqual(back, v) {
			t.Errorf("%s: %d levels back: %v", name, plan.MaxDepth, err)
		}
		if _, err := plan.MarshalValue(w.wrap(v)); err == nil {
			t.Errorf("%s: %d levels were written", name, plan.MaxDepth+1)
		}
		if _, err := plan.UnmarshalValue([]byte(w.open + string(data) + w.close)); err == nil {
			t.Errorf("%s: %d levels were read", name, plan.MaxDepth+1)
		}
	}
	if _, err := plan.UnmarshalValue(bytes.Repeat([]byte(`{"$struct":{"a":`), 600_000)); err == nil {
		t.Error("600,000 levels were read")
	}
}

// values generates every kind of value.
func values(depth int) *rapid.Generator[plan.Value] {
	return rapid.Custom(func(t *rapid.T) plan.Value {
		kinds := 10
		if depth == 0 {
			kinds = 7
		}
		key := rapid.SampledFrom([]string{"", "a", "b", "$a", "$file", "$struct", "é"})
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return rapid.Int64().Draw(t, "int")
		case 3:
			return rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).Draw(t, "float")
		case 4:
			return rapid.String().Draw(t, "str")
		case 5:
			return plan.File{Name: rapid.StringMatching(`[a-z]{1,9}`).Draw(t, "name"), Digest: plan.Digest(digest), Size: rapid.Int64Min(0).Draw(t, "size")}
		case 6:
			return plan.Dir{Name: "d", Digest: plan.Digest(digest)}
		case 7:
			return rapid.SliceOfN(values(depth-1), 0, 3).Draw(t, "list")
		case 8:
			return rapid.MapOfN(key, values(depth-1), 0, 3).Draw(t, "dict")
		}
		return plan.Struct(rapid.MapOfN(key, values(depth-1), 0, 3).Draw(t, "struct"))
	})
}

func TestValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values(4).Draw(t, "value")
		data, err := plan.MarshalValue(v)
		if err != nil {
			t.Fatal(err)
		}
		back, err := plan.UnmarshalValue(data)
		if err != nil || !reflect.DeepEqual(back, v) {
			t.Fatalf("%s came back as %#v, %v", data, back, err)
		}
	})
}

// FuzzUnmarshalValue: an accepted value has one canonical form, and reads back as the same value.
func FuzzUnmarshalValue(f *testing.F) {
	f.Add([]byte(`[1, 2.5, null, true, "x", {"a": {"$struct": {"b": {"$dict": {"$c": []}}}}}]`))
	f.Add([]byte(`{"$file":{"name":"x","digest":"` + digest + `","size":7}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := plan.UnmarshalValue(data)
		if err != nil {
			return
		}
		canonical, err := plan.MarshalValue(v)
		if err != nil {
			t.Fatalf("%s was read but can't be written: %v", data, err)
		}
		back, err := plan.UnmarshalValue(canonical)
		if err != nil || !reflect.DeepEqual(back, v) {
			t.Fatalf("%s is canonically %s, which reads as %#v, %v", data, canonical, back, err)
		}
	})
}
