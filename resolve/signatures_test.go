package resolve

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/plan"
)

// TestSignatures: what of a task's inputs and output contradicts its function's signature.
func TestSignatures(t *testing.T) {
	of := func(k plan.Kind) plan.Type { return plan.Type{Kind: k} }
	list := func(elem plan.Type) plan.Type { return plan.Type{Kind: plan.KindList, Elem: &elem} }
	optional := func(elem plan.Type) plan.Type { return plan.Type{Kind: plan.KindOptional, Elem: &elem} }
	str, integer, float, boolean, file, dir, anything := of(plan.KindStr), of(plan.KindInt), of(plan.KindFloat), of(plan.KindBool), of(plan.KindFile), of(plan.KindDir), of(plan.KindAny)
	record := plan.Type{Kind: plan.KindRecord, Fields: []plan.Field{{Name: "a", Type: integer}}}
	needs := func(name string, typ plan.Type) plan.Parameter { return plan.Parameter{Name: name, Type: &typ} }
	tests := []struct {
		name   string
		sig    plan.Signature
		inputs []plan.Param
		output *plan.Type
		want   []string
	}{
		{"fits", plan.Signature{Params: []plan.Parameter{needs("a", integer), {Name: "b", Optional: true}}}, []plan.Param{{Name: "a", Type: integer}}, nil, nil},
		{"missing", plan.Signature{Params: []plan.Parameter{needs("a", file)}}, nil, nil, []string{`needs "a"`}},
		{"missing with keywords", plan.Signature{Keywords: true, Params: []plan.Parameter{needs("a", file)}}, nil, nil, []string{`needs "a"`}},
		{"unknown", plan.Signature{}, []plan.Param{{Name: "a", Type: integer}}, nil, []string{`doesn't take the input "a"`}},
		{"keywords", plan.Signature{Keywords: true}, []plan.Param{{Name: "a", Type: integer}}, nil, nil},
		{"positional", plan.Signature{Params: []plan.Parameter{{Name: "a", PositionalOnly: true}}}, []plan.Param{{Name: "a", Type: integer}}, nil, []string{"by position only"}},
		{"positional with a default", plan.Signature{Params: []plan.Parameter{{Name: "a", PositionalOnly: true, Optional: true}}}, nil, nil, nil},
		{"str for int", plan.Signature{Params: []plan.Parameter{needs("a", integer)}}, []plan.Param{{Name: "a", Type: str}}, nil, []string{`takes "a" as int, and the task declares str`}},
		{"float for int", plan.Signature{Params: []plan.Parameter{needs("a", integer)}}, []plan.Param{{Name: "a", Type: float}}, nil, []string{`takes "a" as int`}},
		{"int for float", plan.Signature{Params: []plan.Parameter{needs("a", float)}}, []plan.Param{{Name: "a", Type: integer}}, nil, nil},
		{"bool for int", plan.Signature{Params: []plan.Parameter{needs("a", integer)}}, []plan.Param{{Name: "a", Type: boolean}}, nil, nil},
		{"int for bool", plan.Signature{Params: []plan.Parameter{needs("a", boolean)}}, []plan.Param{{Name: "a", Type: integer}}, nil, []string{`takes "a" as bool`}},
		{"Dir for Path", plan.Signature{Params: []plan.Parameter{needs("a", file)}}, []plan.Param{{Name: "a", Type: dir}}, nil, nil},
		{"str for Path", plan.Signature{Params: []plan.Parameter{needs("a", file)}}, []plan.Param{{Name: "a", Type: str}}, nil, []string{`takes "a" as File`}},
		{"File for str", plan.Signature{Params: []plan.Parameter{needs("a", str)}}, []plan.Param{{Name: "a", Type: file}}, nil, nil},
		{"elements", plan.Signature{Params: []plan.Parameter{needs("a", list(integer))}}, []plan.Param{{Name: "a", Type: list(str)}}, nil, []string{`takes "a" as list[int], and the task declares list[str]`}},
		{"optional", plan.Signature{Params: []plan.Parameter{needs("a", integer)}}, []plan.Param{{Name: "a", Type: optional(integer)}}, nil, nil},
		{"list for one", plan.Signature{Params: []plan.Parameter{needs("a", str)}}, []plan.Param{{Name: "a", Type: list(str)}}, nil, []string{`takes "a" as str`}},
		{"any", plan.Signature{Params: []plan.Parameter{needs("a", anything), needs("b", str)}}, []plan.Param{{Name: "a", Type: str}, {Name: "b", Type: anything}}, nil, nil},
		{"record", plan.Signature{Params: []plan.Parameter{needs("a", record)}}, []plan.Param{{Name: "a", Type: of(plan.KindDict)}}, nil, nil},
		{"returns", plan.Signature{Returns: &str}, nil, &integer, []string{"returns str, and the task declares output = int"}},
		{"returns a path", plan.Signature{Returns: &str}, nil, &file, nil},
		{"returns an int for float", plan.Signature{Returns: &integer}, nil, &float, nil},
		{"returns nothing", plan.Signature{Returns: &plan.Type{Kind: plan.KindNone}}, nil, &str, []string{"returns None"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			task := plan.Task{Name: "t", Dir: ".", Inputs: tt.inputs, Body: plan.Body{Kind: plan.BodyPython, File: "p.py", Function: "f", Signature: &tt.sig}}
			if tt.output != nil {
				task.Single, task.Outputs = true, []plan.Param{{Name: "output", Type: *tt.output}}
			}
			g := &plan.Graph{Tasks: []plan.Task{task}, Environments: []plan.Environment{{Name: "e", Image: 0}}, Images: []plan.Image{{Base: plan.Base{Kind: plan.BaseDebian}}}}
			found := newChecker(g, fstest.MapFS{}, "linux/amd64").run(everything(g), []func(*checker){(*checker).signatures})
			var got []string
			for _, e := range found {
				got = append(got, e.Msg)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) || found[i].Code != "FS111" || found[i].Hint == "" {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}
