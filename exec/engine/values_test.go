package engine_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec/engine"
	"github.com/flytestar/flytestar/plan"
)

func TestExpand(t *testing.T) {
	inputs := map[string]any{
		"s": "a b", "n": int64(3), "b": true, "none": nil, "l": []any{"x", int64(1), []any{"y"}},
		"d": map[string]any{"k": "<v>"}, "empty": []any{}, "nul": "a\x00b",
	}
	tests := []struct {
		command, want string // separated by "|"; an error after "!"
	}{
		{"echo|{{.inputs.s}}|--n={{.inputs.n}}{{.inputs.b}}", "echo|a b|--n=3true"},
		{"echo|{{.inputs.l}}|{{.inputs.none}}|{{.inputs.empty}}|end", `echo|x|1|["y"]|end`},
		{"echo|{{.inputs.d}}|is {{.inputs.d}}", `echo|{"k":"<v>"}|is {"k":"<v>"}`},
		{"cp|a|{{.outputs.o}}", "cp|a|/var/outputs/o"},
		{"echo|$HOME; {{x}} {{ .inputs.s }}", "echo|$HOME; {{x}} {{ .inputs.s }}"},
		{"echo|x={{.inputs.l}}", "!the list \"l\" stands within"},
		{"echo|{{.inputs.t}}", "!there is no input \"t\""},
		{"echo|a{{.inputs.t}}", "!there is no input \"t\""},
		{"sort|--parallel={{.resources.cpu}}|-S|{{.resources.memory}}b", "sort|--parallel=2|-S|1048576b"},
		{"echo|{{.resources.shm}}", "!no limit of shm"},
		{"{{.inputs.none}}", "!no arguments left"},
		{"echo|{{.inputs.nul}}", "!has a NUL"},
	}
	for _, tt := range tests {
		args, err := engine.Expand(strings.Split(tt.command, "|"), inputs, plan.Resources{MilliCPU: 1500, Memory: 1 << 20})
		got := strings.Join(args, "|")
		if err != nil {
			got = "!" + err.Error()
		}
		if got != tt.want && (!strings.HasPrefix(tt.want, "!") || !strings.Contains(got, tt.want[1:])) {
			t.Errorf("%s: got %s, want %s", tt.command, got, tt.want)
		}
	}
}

var (
	outFile = plan.File{Name: "flytestar.0", Digest: plan.Digest("sha256:" + strings.Repeat("0", 64)), Size: 1}
	outDir  = plan.Dir{Name: "flytestar.1", Digest: plan.Digest("sha256:" + strings.Repeat("1", 64)), Size: 2}
	outputs = map[string]plan.Value{"flytestar.0": outFile, "flytestar.1": outDir}
)

func TestReadResult(t *testing.T) {
	named := outFile
	named.Name = "a.txt"
	tests := []struct {
		data string
		want plan.Value // an error's text after "!"
	}{
		{`{"value": [1, 1.0, "x", null, true]}`, []plan.Value{int64(1), 1.0, "x", nil, true}},
		{`{"value": {"$struct": {"a": {"$dict": {"$file": 1}}}}}`, plan.Struct{"a": map[string]plan.Value{"$file": int64(1)}}},
		{`{"value": {"$file": {"entry": "flytestar.0", "name": "a.txt"}}}`, named},
		{`{"value": {"$dir": {"entry": "flytestar.1", "name": "flytestar.1"}}}`, outDir},
		{`{"value": {"$dir": {"entry": "flytestar.0", "name": "x"}}}`, "!isn't among the outputs"},
		{`{"value": {"$file": {"entry": "flytestar.0", "name": "../x"}}}`, "!can't be a file's name"},
		{`{"value": {"$file": {"entry": "flytestar.7", "name": "x"}}}`, "!isn't among the outputs"},
		{`{"value": {"a": 1}}`, "!something else"},
		{`{"value": {"$struct": {}, "$dict": {}}}`, "!something else"},
		{`{"value": 1, "error": "x"}`, "!something else"},
		{`{"error": 1}`, "!something else"},
		{`{"error": "ValueError: x"}`, "!ValueError: x"},
		{`[]`, "!something else"},
		{``, "!something else"},
		{`{"value": 1} 2`, "!something else"},
		{"{\"value\": \"\xff\"}", "!something else"},
		{`{"value": 1e999}`, "!out of range"},
		{`{"value": 9223372036854775808}`, "!doesn't fit"},
		{`{"value": ` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, "!deeper than 64"},
		{`{"value": ` + strings.Repeat("[", 20000), "!something else"},
	}
	for _, tt := range tests {
		v, err := engine.ReadResult([]byte(tt.data), outputs)
		if want, ok := tt.want.(string); ok && strings.HasPrefix(want, "!") {
			if err == nil || !strings.Contains(err.Error(), want[1:]) {
				t.Errorf("%.80s: got %v, %v; want %s", tt.data, v, err, want)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(v, tt.want) {
			t.Errorf("%.80s: got %#v, %v; want %#v", tt.data, v, err, tt.want)
		}
	}
}

// known refuses an artifact that isn't one of outputs, whatever its name.
func known(v plan.Value) error {
	switch a := v.(type) {
	case plan.File:
		if a.Name = outFile.Name; a == outFile {
			return nil
		}
	case plan.Dir:
		if a.Name = outDir.Name; a == outDir {
			return nil
		}
	}
	return fmt.Errorf("%+v isn't an output", v)
}

// FuzzReadResult: whatever a task leaves as its result, the value made of it is
// one that can pass between tasks, and names no artifact but the attempt's outputs.
func FuzzReadResult(f *testing.F) {
	f.Add([]byte(`{"value": {"$struct": {"a": {"$file": {"entry": "flytestar.0", "name": "x"}}}}}`))
	f.Add([]byte(`{"value": {"$dict": {"$dir": {"$dir": {"entry": "flytestar.1", "name": "y"}}}}}`))
	f.Add([]byte(`{"error": "x"}`))
	f.Add([]byte(`{"value": [1.5, -0.0, 1e5, "\ud800"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := engine.ReadResult(data, outputs)
		if err != nil {
			return
		}
		enc, err := plan.MarshalValue(v)
		if err != nil && len(data) <= plan.MaxValue/16 && !strings.Contains(err.Error(), "nests deeper") {
			t.Fatalf("%q: %v", data, err)
		}
		if err != nil {
			return
		}
		if back, err := plan.UnmarshalValue(enc); err != nil || !reflect.DeepEqual(back, v) {
			t.Fatalf("%q: %#v comes back as %#v, %v", data, v, back, err)
		}
		if err := plan.EachArtifact(v, known); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
	})
}
