package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// summary writes a difference in short lines.
func summary(d *plan.Diff) []string {
	var lines []string
	for _, c := range d.Changes {
		lines = append(lines, fmt.Sprintf("%s %s %s", c.Change, c.What, c.Name))
		for _, f := range c.Fields {
			lines = append(lines, fmt.Sprintf("  %s: %s -> %s", f.Field, f.Old, f.New))
		}
	}
	return lines
}

func TestCompare(t *testing.T) {
	tests := map[string]struct {
		change func(*plan.Graph)
		want   string
	}{
		"nothing": {func(*plan.Graph) {}, ""},
		"positions": {func(g *plan.Graph) {
			p := diag.Position{File: "b.star", Line: 7}
			g.Environments[0].Pos, g.Images[0].Pos, g.Images[0].Steps[0].Pos, g.Calls[0].Pos, g.Tasks[0].Body.Pos = p, p, p, p, p
			g.Environments[1].Global, g.Environments[1].Module = "other", "b.star"
		}, ""},
		"the same image once more": {func(g *plan.Graph) {
			g.Images = append([]plan.Image{{Base: plan.Base{Kind: plan.BaseScratch}}}, g.Images...)
			g.Environments[0].Image = 1
		}, ""},
		"resources": {func(g *plan.Graph) { g.Environments[0].Resources = plan.Resources{Memory: 3 << 29} },
			"changed environment low|  resources: 1Mi memory -> 1536Mi memory"},
		"network": {func(g *plan.Graph) { g.Environments[0].Network = true }, "changed environment low|  network:  -> true"},
		"a step": {func(g *plan.Graph) { g.Images[0].Steps[0].Packages = []string{"pytest", "numpy"} },
			"changed image low|  step: pip pytest -> |  step:  -> pip pytest numpy"},
		"a step's order": {func(g *plan.Graph) { slices.Reverse(g.Images[0].Steps) },
			"changed image low|  step: pip pytest -> |  step: file data/x.txt -> /x.txt -> |  step:  -> file data/x.txt -> /x.txt|  step:  -> pip pytest"},
		"an image": {func(g *plan.Graph) { g.Environments[1].Image = 0 },
			"added image high|  base:  -> debian with python|  step:  -> pip pytest|  step:  -> file data/x.txt -> /x.txt"},
		"no image": {func(g *plan.Graph) { g.Environments[0].Image = plan.NoImage },
			"removed image low|  base: debian with python -> |  step: pip pytest -> |  step: file data/x.txt -> /x.txt -> "},
		"depends_on": {func(g *plan.Graph) { g.Environments[1].DependsOn = nil }, "removed depends_on high -> low"},
		"a task": {func(g *plan.Graph) { g.Tasks[1].Name = "start" },
			"removed task high.main|added task high.start|removed call high.main -> low.run|added call high.start -> low.run"},
		"a default": {func(g *plan.Graph) { g.Tasks[0].Inputs[0].Default = json.RawMessage("2") },
			"changed task low.run|  inputs.x: float = 1 -> float = 2"},
		"an input": {func(g *plan.Graph) {
			g.Tasks[0].Inputs = append(g.Tasks[0].Inputs, plan.Param{Name: "y", Type: kind(plan.KindInt)})
		}, "changed task low.run|  inputs: x -> x, y|  inputs.y:  -> int"},
		"a timeout": {func(g *plan.Graph) { g.Tasks[0].Timeout = 90 * 60e9 }, "changed task low.run|  timeout:  -> 1h30m"},
		"a body":    {func(g *plan.Graph) { g.Tasks[0].Body.Function = "go" }, "changed task low.run|  body.function: run -> go"},
		"a call":    {func(g *plan.Graph) { g.Calls[0].Possible = true }, "changed call high.main -> low.run|  possible:  -> true"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := sample()
			tt.change(g)
			if err := g.Validate(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(summary(plan.Compare(sample(), g)), "|"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestCompareForgetsNothing changes every field below a graph's parts, one at a time, and wants to
// see it.
func TestCompareForgetsNothing(t *testing.T) {
	// Where things stand, what only names or refers to other parts, and what a declaration of
	// another kind ignores.
	ignored := map[string]bool{
		"Version": true, "Entry": true, "Modules": true, "Pos": true, "DependsOnPos": true, "Global": true, "Module": true, "Images.Name": true, "Calls.Sites": true,
	}
	full := func() *plan.Graph {
		data, err := json.Marshal(sample())
		if err != nil {
			t.Fatal(err)
		}
		g := &plan.Graph{}
		if err := json.Unmarshal(data, g); err != nil { // a deep copy
			t.Fatal(err)
		}
		fill(reflect.ValueOf(g).Elem(), 0)
		g.Environments[0].Name, g.Environments[1].Name = "low", "high"
		g.Environments[0].Image, g.Environments[1].Image = 0, 0
		g.Environments[0].DependsOn, g.Environments[1].DependsOn = nil, []int{0}
		g.Tasks[0].Env, g.Tasks[1].Env = 0, 1
		g.Tasks[0].Name, g.Tasks[1].Name = "run", "main"
		g.Calls[0] = plan.Call{Caller: 1, Callee: 0}
		return g
	}
	checked := 0
	for _, part := range []string{"Images", "Environments", "Tasks", "Calls"} {
		field := reflect.ValueOf(full()).Elem().FieldByName(part)
		for i := range field.Index(0).NumField() {
			name := field.Type().Elem().Field(i).Name
			if ignored[name] || ignored[part+"."+name] {
				continue
			}
			g := full()
			f := reflect.ValueOf(g).Elem().FieldByName(part).Index(0).Field(i)
			switch part + "." + name {
			case "Environments.Image":
				f.SetInt(plan.NoImage)
			case "Environments.DependsOn":
				f.Set(reflect.ValueOf([]int{1}))
			case "Tasks.Env", "Calls.Callee":
				f.SetInt(1)
			case "Calls.Caller":
				f.SetInt(0)
			default:
				change(f)
			}
			checked++
			if d := plan.Compare(full(), g); len(d.Changes) == 0 {
				t.Errorf("a change of %s.%s isn't seen", part, name)
			}
		}
	}
	if checked < 25 {
		t.Errorf("only %d fields were looked at", checked)
	}
}

// fill sets what is zero below v to something, but what refers to other parts.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth)
		}
	case reflect.Slice:
		if v.Len() == 0 && depth < 4 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			fill(v.Index(i), depth+1)
		}
	case reflect.Pointer:
		if v.IsNil() && depth < 4 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth+1)
		}
	default:
		if v.IsZero() && v.Kind() != reflect.Map {
			change(v)
		}
	}
}

// change changes v to another value.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8:
		v.SetUint('1')
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"new": "1"}))
	case reflect.Slice:
		change(v.Index(0))
	case reflect.Pointer:
		change(v.Elem())
	case reflect.Struct:
		change(v.Field(0))
	}
}

// graphs generates valid graphs of few names, so that two of them have much in common.
func graphs(t *rapid.T, label string) *plan.Graph {
	g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
	for i := range 3 {
		g.Images = append(g.Images, plan.Image{Base: plan.Base{Kind: plan.BaseDebian}, Steps: []plan.Step{{Kind: plan.StepPip, Packages: []string{fmt.Sprint("p", i)}}}})
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 1, 5, rapid.ID).Draw(t, label) {
		n := len(g.Environments)
		e := plan.Environment{Name: name, Image: rapid.IntRange(-1, 2).Draw(t, "image"), Network: rapid.Bool().Draw(t, "network")}
		if n > 0 {
			e.DependsOn = rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, n, rapid.ID).Draw(t, "depends_on")
		}
		g.Environments = append(g.Environments, e)
		for _, task := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"t", "u"}), 0, 2, rapid.ID).Draw(t, "tasks") {
			g.Tasks = append(g.Tasks, plan.Task{Name: task, Env: n, Dir: ".", Retries: rapid.IntRange(0, 1).Draw(t, "retries"), Body: plan.Body{Kind: plan.BodyStarlark}})
		}
	}
	if n := len(g.Tasks); n > 0 {
		type pair struct{ caller, callee int }
		for _, p := range rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) pair {
			return pair{rapid.IntRange(0, n-1).Draw(t, "caller"), rapid.IntRange(0, n-1).Draw(t, "callee")}
		}), 0, 6, rapid.ID).Draw(t, "calls") {
			g.Calls = append(g.Calls, plan.Call{Caller: p.caller, Callee: p.callee, Possible: rapid.Bool().Draw(t, "possible")})
		}
	}
	return g
}

// facts are what a graph says, by name: a slow and obvious way to compare graphs.
func facts(g *plan.Graph) map[string]string {
	all := map[string]string{}
	for _, e := range g.Environments {
		image := "none"
		if e.Image != plan.NoImage {
			image = g.Images[e.Image].Steps[0].Packages[0]
		}
		all["environment "+e.Name] = fmt.Sprint(e.Network)
		all["image "+e.Name] = image
		for _, d := range e.DependsOn {
			all["depends_on "+e.Name+" -> "+g.Environments[d].Name] = ""
		}
	}
	for i, t := range g.Tasks {
		all["task "+g.FullName(i)] = fmt.Sprint(t.Retries)
	}
	for _, c := range g.Calls {
		all["call "+g.FullName(c.Caller)+" -> "+g.FullName(c.Callee)] = fmt.Sprint(c.Possible)
	}
	return all
}

// TestCompareProperty: the changes are the facts that differ.
func TestCompareProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, new := graphs(t, "old"), graphs(t, "new")
		want := map[string]bool{}
		was, is := facts(old), facts(new)
		for name, v := range was {
			now, ok := is[name]
			if _, kept := is[strings.Replace(name, "image ", "environment ", 1)]; strings.HasPrefix(name, "image ") && !kept {
				continue // gone with its environment
			}
			if !ok || now != v {
				want[name] = true
			}
		}
		for name := range is {
			if _, ok := was[name]; !ok && !strings.HasPrefix(name, "image ") {
				want[name] = true
			}
		}
		got := map[string]bool{}
		for _, c := range plan.Compare(old, new).Changes {
			for _, name := range strings.Split(c.Name, ", ") {
				got[string(c.What)+" "+name] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if d := plan.Compare(old, old); len(d.Changes) > 0 {
			t.Fatalf("a graph differs from itself: %v", summary(d))
		}
		if names, both := slices.Sorted(maps.Keys(facts(plan.Union(old, new)))), merged(was, is); !slices.Equal(names, both) {
			t.Fatalf("the union has %v, want %v", names, both)
		}
		if err := conforms(new); err != nil {
			t.Fatal(err)
		}
	})
}

func merged(a, b map[string]string) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// TestCompareLarge: one image of many steps that many environments have, replaced in each by
// another.
func TestCompareLarge(t *testing.T) {
	const n = 20_000
	old, new := chain(n), chain(n)
	old.Images = []plan.Image{{Base: plan.Base{Kind: plan.BaseScratch}}}
	for i := range n {
		old.Images[0].Steps = append(old.Images[0].Steps, plan.Step{Kind: plan.StepWorkdir, Name: fmt.Sprintf("/%d", i)})
		new.Images = append(new.Images, plan.Image{Base: plan.Base{Kind: plan.BaseRef, Ref: fmt.Sprint("r", i)}})
		old.Environments[i].Image, new.Environments[i].Image = 0, i
		old.Environments[i].Name, new.Environments[i].Name = fmt.Sprint("e", i), fmt.Sprint("e", i)
	}
	d := plan.Compare(old, new)
	if len(d.Changes) != n || len(d.Changes[0].Fields) > 250 {
		t.Errorf("%d changes, the first with %d fields", len(d.Changes), len(d.Changes[0].Fields))
	}
}
