package draw_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/draw"
	"github.com/flytestar/flytestar/plan"
)

// workflow returns a graph of n environments in layers. Each has about two tasks, dependencies and
// calls, most of them to the layer below. The graph is made from a seed, and is valid.
func workflow(n, layers int, seed uint64) *plan.Graph {
	random := rand.New(rand.NewPCG(seed, 1))
	words := []string{"align", "fold", "score", "train", "embed", "split", "merge", "index", "rank", "normalize", "annotate", "filter"}
	word := func() string { return words[random.IntN(len(words))] }
	g := &plan.Graph{Version: plan.Version, Entry: "flow.star"}
	for i, packages := range [][]string{nil, {"numpy>=2", "pandas"}, {"torch", "lightning", "tensorboard", "transformers"}} {
		image := plan.Image{Base: plan.Base{Kind: plan.BaseDebian, Python: i > 0}}
		if packages != nil {
			image.Steps = []plan.Step{{Kind: plan.StepPip, Packages: packages}}
		}
		g.Images = append(g.Images, image)
	}
	byEnv := make([][]int, n)
	for e := range n {
		pos := diag.Position{File: "flow.star", Line: 10 * (e + 1), Col: 1}
		env := plan.Environment{Name: fmt.Sprintf("%s_%d", word(), e), Image: random.IntN(4) - 1, Pos: pos, DependsOnPos: pos}
		layer := e * layers / n
		for range 1 + random.IntN(2) {
			below := layer - 1
			if random.IntN(5) == 0 {
				below = random.IntN(layer + 1)
			}
			if below < 0 || below >= layer {
				continue
			}
			low := (below*n + layers - 1) / layers
			env.DependsOn = append(env.DependsOn, low+random.IntN(max(1, n/layers)))
		}
		for i := range 1 + random.IntN(3) {
			t := len(g.Tasks)
			task := plan.Task{Name: fmt.Sprintf("%s_%d", word(), i), Env: e, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}, Pos: pos, Listed: true}
			if env.Image != plan.NoImage && random.IntN(2) == 0 || len(env.DependsOn) == 0 {
				task.Body = plan.Body{Kind: plan.BodyCommand, Command: []string{"true"}}
			} else {
				for range 1 + random.IntN(2) {
					callees := byEnv[env.DependsOn[random.IntN(len(env.DependsOn))]]
					g.Calls = append(g.Calls, plan.Call{Caller: t, Callee: callees[random.IntN(len(callees))], Pos: pos, Possible: random.IntN(10) == 0})
				}
			}
			g.Tasks = append(g.Tasks, task)
			byEnv[e] = append(byEnv[e], t)
		}
		g.Environments = append(g.Environments, env)
	}
	return g
}

// tangle returns n environments. Each has one task, and ten dependencies and ten calls to any
// earlier environments.
func tangle(n int) *plan.Graph {
	random := rand.New(rand.NewPCG(1, 2))
	g := &plan.Graph{Version: plan.Version, Entry: "flow.star"}
	for e := range n {
		env := plan.Environment{Name: fmt.Sprintf("e%d", e), Image: plan.NoImage}
		for range min(e, 10) {
			d := random.IntN(e)
			env.DependsOn = append(env.DependsOn, d)
			g.Calls = append(g.Calls, plan.Call{Caller: e, Callee: d})
		}
		g.Environments = append(g.Environments, env)
		g.Tasks = append(g.Tasks, plan.Task{Name: "t", Env: e, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}})
	}
	return g
}

// chain returns n environments. Each depends on the one before and on one far before.
func chain(n int) *plan.Graph {
	g := &plan.Graph{Version: plan.Version, Entry: "flow.star"}
	for e := range n {
		env := plan.Environment{Name: fmt.Sprintf("e%d", e), Image: plan.NoImage}
		if e > 0 {
			env.DependsOn = []int{e - 1, e / 2}
		}
		g.Environments = append(g.Environments, env)
	}
	return g
}

// fan returns one task that calls n others, each in its own environment.
func fan(n int) *plan.Graph {
	g := &plan.Graph{Version: plan.Version, Entry: "flow.star"}
	main := plan.Environment{Name: "main", Image: plan.NoImage}
	for e := range n {
		g.Environments = append(g.Environments, plan.Environment{Name: fmt.Sprintf("e%d", e), Image: plan.NoImage})
		g.Tasks = append(g.Tasks, plan.Task{Name: "t", Env: e, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}})
		g.Calls = append(g.Calls, plan.Call{Caller: n, Callee: e})
		main.DependsOn = append(main.DependsOn, e)
	}
	g.Environments = append(g.Environments, main)
	g.Tasks = append(g.Tasks, plan.Task{Name: "main", Env: n, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}, Listed: true})
	return g
}

// crowd returns one environment with n tasks. Each calls the one before and itself.
func crowd(n int) *plan.Graph {
	g := &plan.Graph{Version: plan.Version, Entry: "flow.star", Environments: []plan.Environment{{Name: "all", Image: plan.NoImage}}}
	for t := range n {
		g.Tasks = append(g.Tasks, plan.Task{Name: fmt.Sprintf("t%d", t), Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}})
		g.Calls = append(g.Calls, plan.Call{Caller: t, Callee: max(0, t-1)}, plan.Call{Caller: t, Callee: t})
	}
	return g
}

func BenchmarkSVG(b *testing.B) {
	for _, bm := range []struct {
		name  string
		graph *plan.Graph
	}{
		{"environments=100", workflow(100, 6, 1)},
		{"environments=1000", workflow(1000, 8, 1)},
		{"environments=10000", workflow(10_000, 12, 1)},
		{"environments=10000/edges=200000", tangle(10_000)},
		{"chain=10000", chain(10_000)},
		{"fan=10000", fan(10_000)},
		{"tasks=10000", crowd(10_000)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			for b.Loop() {
				if err := draw.SVG(io.Discard, bm.graph, draw.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
