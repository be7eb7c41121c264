package plan_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// sample is a graph with every part filled.
func sample() *plan.Graph {
	pos := diag.Position{File: "a.star", Line: 1, Col: 1}
	return &plan.Graph{
		Version: plan.Version,
		Entry:   "a.star",
		Modules: []plan.Module{{Path: "lib/b.star"}, {Path: "a.star", Loads: []plan.Load{{Path: "lib/b.star", Pos: pos}}}},
		Images: []plan.Image{{Base: plan.Base{Kind: plan.BaseDebian, Python: true}, Pos: pos, Steps: []plan.Step{
			{Kind: plan.StepPip, Packages: []string{"pytest"}}, {Kind: plan.StepFile, Src: "data/x.txt", Dst: "/x.txt"},
		}}},
		Environments: []plan.Environment{
			{Name: "low", Image: 0, Pos: pos, Resources: plan.Resources{Memory: 1 << 20}},
			{Name: "high", Image: plan.NoImage, DependsOn: []int{0}, Pos: pos, DependsOnPos: pos, Global: "high_env"},
		},
		Tasks: []plan.Task{
			{Name: "run", Env: 0, Dir: "lib", Body: plan.Body{Kind: plan.BodyPython, File: "lib/run.py", Function: "run"}, Pos: pos,
				Inputs:  []plan.Param{{Name: "x", Type: kind(plan.KindFloat), Default: json.RawMessage("1")}},
				Outputs: []plan.Param{{Name: "output", Type: person}}, Single: true},
			{Name: "main", Env: 1, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark, Function: "_main"}, Pos: pos, Listed: true},
		},
		Calls: []plan.Call{{Caller: 1, Callee: 0, Pos: pos}},
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*plan.Graph)
		want   string // "" for a graph
	}{
		"sample":                 {func(*plan.Graph) {}, ""},
		"version":                {func(g *plan.Graph) { g.Version = 9 }, "version 9"},
		"entry":                  {func(g *plan.Graph) { g.Entry = "../a.star" }, "no path in the workspace"},
		"module path":            {func(g *plan.Graph) { g.Modules[0].Path = "/etc/passwd" }, "module 0"},
		"load path":              {func(g *plan.Graph) { g.Modules[1].Loads[0].Path = ".." }, "module 1"},
		"base":                   {func(g *plan.Graph) { g.Images[0].Base.Kind = "x" }, `image 0: base of kind "x"`},
		"step":                   {func(g *plan.Graph) { g.Images[0].Steps[1].Kind = "x" }, `step 1: kind "x"`},
		"step out of workspace":  {func(g *plan.Graph) { g.Images[0].Steps[1].Src = "data/../../x" }, "no path in the workspace"},
		"environment's image":    {func(g *plan.Graph) { g.Environments[0].Image = 1 }, "environment 0: no image 1"},
		"negative image":         {func(g *plan.Graph) { g.Environments[0].Image = -2 }, "no image -2"},
		"environment's name":     {func(g *plan.Graph) { g.Environments[0].Name = "Low" }, `name "Low"`},
		"depends_on":             {func(g *plan.Graph) { g.Environments[0].DependsOn = []int{-1} }, "no environment -1"},
		"cycle":                  {func(g *plan.Graph) { g.Environments[0].DependsOn = []int{1} }, "cycle"},
		"own dependency":         {func(g *plan.Graph) { g.Environments[0].DependsOn = []int{0} }, "cycle"},
		"double dependency":      {func(g *plan.Graph) { g.Environments[1].DependsOn = []int{0, 0} }, ""},
		"environment's module":   {func(g *plan.Graph) { g.Environments[0].Module = "../x" }, "no path in the workspace"},
		"negative memory":        {func(g *plan.Graph) { g.Environments[0].Resources.Memory = -1 }, "negative resources"},
		"task's environment":     {func(g *plan.Graph) { g.Tasks[0].Env = 7 }, "task 0: no environment 7"},
		"task's name":            {func(g *plan.Graph) { g.Tasks[0].Name = "a.b" }, `name "a.b"`},
		"task's directory":       {func(g *plan.Graph) { g.Tasks[0].Dir = "" }, "no path in the workspace"},
		"retries":                {func(g *plan.Graph) { g.Tasks[0].Retries = -1 }, "retries -1"},
		"timeout":                {func(g *plan.Graph) { g.Tasks[0].Timeout = -1 }, "timeout -1"},
		"single":                 {func(g *plan.Graph) { g.Tasks[0].Outputs[0].Name = "o" }, "single"},
		"task's resources":       {func(g *plan.Graph) { g.Tasks[0].Resources = &plan.Resources{GPU: -1} }, "negative resources"},
		"body":                   {func(g *plan.Graph) { g.Tasks[0].Body.Kind = "" }, `body: kind ""`},
		"python out of it":       {func(g *plan.Graph) { g.Tasks[0].Body.File = "../run.py" }, "no path in the workspace"},
		"python function":        {func(g *plan.Graph) { g.Tasks[0].Body.Function = "os.system" }, "no function's name"},
		"command":                {func(g *plan.Graph) { g.Tasks[0].Body = plan.Body{Kind: plan.BodyCommand} }, "empty command"},
		"script":                 {func(g *plan.Graph) { g.Tasks[0].Body = plan.Body{Kind: plan.BodyScript, Script: "x"} }, `begin with "#!"`},
		"input out of its place": {func(g *plan.Graph) { g.Tasks[0].Inputs[0].Name = "../x" }, `inputs: name "../x"`},
		"input twice":            {func(g *plan.Graph) { g.Tasks[0].Inputs = append(g.Tasks[0].Inputs, g.Tasks[0].Inputs[0]) }, `name "x"`},
		"default's type":         {func(g *plan.Graph) { g.Tasks[0].Inputs[0].Default = json.RawMessage(`"a"`) }, "default: want float, got str"},
		"default":                {func(g *plan.Graph) { g.Tasks[0].Inputs[0].Default = json.RawMessage(`{`) }, "default: EOF"},
		"type":                   {func(g *plan.Graph) { g.Tasks[0].Inputs[0].Type = kind("x") }, `unknown type "x"`},
		"list of nothing":        {func(g *plan.Graph) { g.Tasks[0].Inputs[0].Type = kind(plan.KindList) }, "without an element type"},
		"record's field": {func(g *plan.Graph) {
			g.Tasks[0].Outputs[0].Type = plan.Type{Kind: plan.KindRecord, Fields: []plan.Field{{Name: "a/b", Type: person}}}
		}, `field "a/b"`},
		"deep type": {func(g *plan.Graph) {
			deep := kind(plan.KindStr)
			for range 100 {
				deep = of(plan.KindList, deep)
			}
			g.Tasks[0].Outputs[0].Type = deep
		}, "nests deeper"},
		"caller":            {func(g *plan.Graph) { g.Calls[0].Caller = 2 }, "call 0: no such task"},
		"callee":            {func(g *plan.Graph) { g.Calls[0].Callee = -1 }, "call 0: no such task"},
		"artifact":          {func(g *plan.Graph) { g.Artifacts = []plan.Artifact{{Path: "../x"}} }, "artifact 0: \"../x\" is no path"},
		"workspace":         {func(g *plan.Graph) { g.Artifacts = []plan.Artifact{{Path: ".", Dir: true}} }, "is no path of a file"},
		"artifact twice":    {func(g *plan.Graph) { g.Artifacts = []plan.Artifact{{Path: "x"}, {Path: "x", Dir: true}, {Path: "x"}} }, "artifact 2: x is there twice"},
		"position":          {func(g *plan.Graph) { g.Calls[0].Pos.File = "/etc/shadow" }, "position"},
		"negative position": {func(g *plan.Graph) { g.Environments[0].Pos.Line = -1 }, "position"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := sample()
			tt.change(g)
			err := g.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Validate() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestGraphRoundTrip(t *testing.T) {
	data, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	var g plan.Graph
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&g, sample()) {
		t.Errorf("came back as %+v", g)
	}
}

// FuzzValidate: no JSON makes Validate panic. No graph that it accepts makes its readers panic.
func FuzzValidate(f *testing.F) {
	data, err := json.Marshal(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var g plan.Graph
		if json.Unmarshal(data, &g) != nil || g.Validate() != nil {
			return
		}
		for i := range g.Environments {
			g.Closure(i)
		}
		for i := range g.Tasks {
			g.FullName(i)
			for _, p := range g.Tasks[i].Inputs {
				_, _ = p.Type.String(), p.Type.HasFile()
			}
		}
	})
}

func TestClosure(t *testing.T) {
	// 3 -> 1 -> 0, 3 -> 2 -> 0, and 4 apart.
	g := &plan.Graph{Environments: []plan.Environment{{}, {DependsOn: []int{0}}, {DependsOn: []int{0}}, {DependsOn: []int{1, 2, 1}}, {}}}
	if got, want := g.Closure(3), []int{0, 1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("Closure(3) = %v, want %v", got, want)
	}
	if got, want := g.Closure(4), []int{4}; !slices.Equal(got, want) {
		t.Errorf("Closure(4) = %v, want %v", got, want)
	}
}

// chain returns n environments. Each depends on the one before, except the first.
func chain(n int) *plan.Graph {
	g := &plan.Graph{Version: plan.Version, Entry: "a.star", Environments: make([]plan.Environment, n)}
	for i := range g.Environments {
		g.Environments[i] = plan.Environment{Name: "e", Image: plan.NoImage}
		if i > 0 {
			g.Environments[i].DependsOn = []int{i - 1}
		}
	}
	return g
}

func TestLongChain(t *testing.T) {
	g := chain(100_000)
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := len(g.Closure(99_999)); got != 100_000 {
		t.Errorf("closure has %d environments", got)
	}
}

func TestNames(t *testing.T) {
	tests := []struct {
		valid func(string) bool
		good  []string
		bad   []string
	}{
		{plan.ValidName, []string{"a", "msa_env", "a-b_c9"}, []string{"", "A", "a__b", "-a", "a-", "a.b", strings.Repeat("a", 129)}},
		{plan.ValidTaskName, []string{"a", "_A-b"}, []string{"", "9a", "a.b", "a b"}},
		{plan.ValidParam, []string{"x", "_x9", "größe"}, []string{"", "9x", "a/b", "..", "a-b", "a b", "\xff", "x\x00"}},
		{plan.ValidFileName, []string{"x", "...", "a b"}, []string{"", ".", "..", "a/b", "\x00", "\xff", strings.Repeat("a", 256)}},
	}
	for i, tt := range tests {
		for _, s := range tt.good {
			if !tt.valid(s) {
				t.Errorf("%d: %q was refused", i, s)
			}
		}
		for _, s := range tt.bad {
			if tt.valid(s) {
				t.Errorf("%d: %q was accepted", i, s)
			}
		}
	}
}
