package resolve_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// bigGraph is n environments, each with a task, an image of five packages and edges of both
// kinds, depends_on and calls, to earlier environments: per environment n edges in all.
// Every call goes where depends_on reaches, mostly not directly.
func bigGraph(n, edges int) *plan.Graph {
	random := rand.New(rand.NewPCG(1, 2))
	g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
	for i := range 100 {
		packages := []string{"numpy", "pandas", "scipy"}
		g.Images = append(g.Images, plan.Image{Base: plan.Base{Kind: plan.BaseDebian}, Steps: []plan.Step{pip(packages...), apt("curl", "git"), {Kind: plan.StepEnv, EnvVars: map[string]string{"i": fmt.Sprint(i)}}}})
	}
	for i := range n {
		pos := diag.Position{File: "a.star", Line: i + 1, Col: 1}
		e := plan.Environment{Name: fmt.Sprintf("e%d", i), Image: i % 100, Pos: pos, DependsOnPos: pos}
		g.Tasks = append(g.Tasks, plan.Task{Name: "t", Env: i, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}, Pos: pos})
		for range min(i, edges) {
			e.DependsOn = append(e.DependsOn, random.IntN(i))
			callee := e.DependsOn[random.IntN(len(e.DependsOn))]
			if further := g.Environments[callee].DependsOn; len(further) > 0 {
				callee = further[random.IntN(len(further))]
			}
			g.Calls = append(g.Calls, plan.Call{Caller: i, Callee: callee, Pos: pos})
		}
		g.Environments = append(g.Environments, e)
	}
	return g
}

func BenchmarkCheck(b *testing.B) {
	for _, bm := range []struct {
		name  string
		graph *plan.Graph
	}{
		{"environments=10000/edges=100000+100000", bigGraph(10_000, 10)},
		{"environments=20000/edges=200000+200000", bigGraph(20_000, 10)},
		{"environments=40000/edges=400000+400000", bigGraph(40_000, 10)},
		{"chain=10000", chainGraph(10_000, 7)},
		{"chain=100000", chainGraph(100_000, 7)},
		{"chain=100000/far", chainGraph(100_000, 100_000)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			for b.Loop() {
				if l := resolve.Check(bm.graph, fstest.MapFS{}, platform); len(l) != 0 {
					b.Fatal(l)
				}
			}
		})
		b.Run("lint/"+bm.name, func(b *testing.B) {
			for b.Loop() {
				if l := resolve.Lint(bm.graph, fstest.MapFS{}, platform); len(l.Errors()) != 0 {
					b.Fatal(l.Errors())
				}
			}
		})
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		g := chainGraph(n, 7)
		b.Run(fmt.Sprintf("chain=%d", n), func(b *testing.B) {
			for b.Loop() {
				if p, err := resolve.Plan(g, fstest.MapFS{}, n-1, platform); err != nil || len(p.Environments) != n {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestLargeGraphs: what benchmarks time must also be right, and must not recurse.
func TestLargeGraphs(t *testing.T) {
	g := chainGraph(100_000, 7)
	g.Calls = append(g.Calls, plan.Call{Caller: 0, Callee: 99_999})
	if l := resolve.Check(g, fstest.MapFS{}, platform); len(l) != 1 || l[0].Code != "FS101" {
		t.Errorf("got %d findings, want one", len(l))
	}
	if l := resolve.CheckTask(g, fstest.MapFS{}, 99_999, platform); len(l) != 1 {
		t.Errorf("got %d findings, want one", len(l))
	}
	l := resolve.Lint(g, fstest.MapFS{}, platform)
	if n := len(l); n != 1+1000+1+1000+1 || len(l.Errors()) != 1 { // FS202 of 99,993 calls and FS208 of all tasks, with one that counts each
		t.Errorf("got %d findings, %d errors", n, len(l.Errors()))
	}
}
