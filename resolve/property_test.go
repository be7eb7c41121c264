package resolve_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// randomGraph draws environments that depend on earlier ones, with images of a few
// packages, an orchestrator or two in each, and calls between any tasks.
func randomGraph(t *rapid.T) *plan.Graph {
	g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
	for range rapid.IntRange(0, 4).Draw(t, "images") {
		g.Images = append(g.Images, plan.Image{Base: plan.Base{Kind: plan.BaseScratch}, Steps: []plan.Step{
			pip(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b[x]", "b", "C_c>=1", "c.c"}), 0, 3).Draw(t, "pip")...),
			apt(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b=1"}), 0, 2).Draw(t, "apt")...),
		}})
	}
	n := rapid.IntRange(1, 100).Draw(t, "environments")
	for i := range n {
		e := plan.Environment{Name: fmt.Sprintf("e%d", i), Image: rapid.IntRange(plan.NoImage, len(g.Images)-1).Draw(t, "image"), Global: "g"}
		if i > 0 {
			e.DependsOn = rapid.SliceOfN(rapid.IntRange(0, i-1), 0, 3).Draw(t, "depends_on")
		}
		g.Environments = append(g.Environments, e)
		g.Tasks = append(g.Tasks, plan.Task{Name: "t", Env: i, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}})
	}
	for i := range rapid.IntRange(0, 200).Draw(t, "calls") {
		g.Calls = append(g.Calls, plan.Call{
			Caller: rapid.IntRange(0, n-1).Draw(t, "caller"), Callee: rapid.IntRange(0, n-1).Draw(t, "callee"),
			Pos: diag.Position{File: "a.star", Line: i + 1}, Possible: rapid.Bool().Draw(t, "possible"),
		})
	}
	return g
}

// obviousClosure is what depends_on reaches from env, the slow way.
func obviousClosure(g *plan.Graph, env int) map[int]bool {
	closure := map[int]bool{env: true}
	for _, d := range g.Environments[env].DependsOn {
		maps.Copy(closure, obviousClosure(g, d))
	}
	return closure
}

// obviousNames is what an image declares, the slow way, for the packages above.
func obviousNames(image plan.Image) map[string]bool {
	names := map[string]bool{}
	for _, s := range image.Steps {
		for _, p := range s.Packages {
			switch p {
			case "b[x]":
				names["pip b"], names["pip b[x]"] = true, true
			case "C_c>=1", "c.c":
				names["pip c-c"] = true
			default:
				names[string(s.Kind)+" "+strings.TrimSuffix(p, "=1")] = true
			}
		}
	}
	return names
}

// obviousFindings returns "CODE FROM TO" to whether a certain call has it, for the calls of some tasks.
func obviousFindings(g *plan.Graph, callers map[int]bool) map[string]bool {
	want := map[string]bool{}
	for _, c := range g.Calls {
		if !callers[c.Caller] || c.Caller == c.Callee {
			continue
		}
		from, to := g.Environments[c.Caller], g.Environments[c.Callee]
		if !obviousClosure(g, c.Caller)[c.Callee] {
			key := "FS101 " + from.Name + " " + to.Name
			want[key] = want[key] || !c.Possible
		}
		if from.Image == plan.NoImage || to.Image == plan.NoImage {
			continue
		}
		has := obviousNames(g.Images[from.Image])
		for name := range obviousNames(g.Images[to.Image]) {
			if !has[name] {
				key := "FS102 " + from.Name + " " + to.Name
				want[key] = want[key] || !c.Possible
				break
			}
		}
	}
	return want
}

func TestFindingsAgainstTheObvious(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := randomGraph(t)
		task := rapid.IntRange(0, len(g.Tasks)-1).Draw(t, "task")
		every, reach := map[int]bool{}, map[int]bool{}
		for i := range g.Tasks {
			every[i] = true
		}
		for size := -1; size < len(reach); {
			size = len(reach)
			reach[task] = true
			for _, c := range g.Calls {
				reach[c.Callee] = reach[c.Callee] || reach[c.Caller]
			}
			maps.DeleteFunc(reach, func(_ int, in bool) bool { return !in })
		}
		compare(t, resolve.Check(g, fstest.MapFS{}, platform), obviousFindings(g, every))
		compare(t, resolve.CheckTask(g, fstest.MapFS{}, task, platform), obviousFindings(g, reach))
	})
}

func compare(t *rapid.T, got diag.List, want map[string]bool) {
	t.Helper()
	found := map[string]bool{}
	for _, e := range got {
		words := strings.Fields(strings.Replace(e.Msg, "may call", "calls", 1)) // task e1.t calls e2.t, but …
		key := e.Code + " " + strings.TrimSuffix(words[1], ".t") + " " + strings.TrimSuffix(words[3], ".t,")
		if _, twice := found[key]; twice {
			t.Errorf("%s is found twice", key)
		}
		found[key] = !e.IsWarning()
	}
	if !maps.Equal(found, want) {
		t.Errorf("found %v\nwant %v", found, want)
	}
	if !slices.IsSortedFunc(got, func(a, b *diag.Error) int { return a.Pos.Compare(b.Pos) }) {
		t.Error("the findings aren't sorted")
	}
}

func TestPlanAgainstTheObvious(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := randomGraph(t)
		task := rapid.IntRange(0, len(g.Tasks)-1).Draw(t, "task")
		p, err := resolve.Plan(g, fstest.MapFS{}, task, "linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		images := map[string]bool{}
		for e := range obviousClosure(g, g.Tasks[task].Env) {
			want = append(want, g.Environments[e].Name)
			if i := g.Environments[e].Image; i != plan.NoImage {
				images[fmt.Sprintf("%q %q", g.Images[i].Steps[0].Packages, g.Images[i].Steps[1].Packages)] = true
			}
		}
		slices.Sort(want)
		if got := slices.Sorted(slices.Values(p.Environments)); !slices.Equal(got, want) {
			t.Errorf("environments %v, want %v", got, want)
		}
		if len(p.Images) != len(images) {
			t.Errorf("%d images, want %d", len(p.Images), len(images))
		}
		seen := map[string]bool{}
		for _, e := range p.Environments {
			for _, d := range g.Environments[index(e)].DependsOn {
				if !seen[g.Environments[d].Name] {
					t.Errorf("%s comes before its dependency %s", e, g.Environments[d].Name)
				}
			}
			seen[e] = true
		}
	})
}

// index is that of the environment with a name of randomGraph's.
func index(name string) int {
	var i int
	if _, err := fmt.Sscanf(name, "e%d", &i); err != nil {
		panic(err)
	}
	return i
}
