package draw

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/plan"
)

// graphs generates graphs that may be invalid: calls go anywhere, and depends_on may be cyclic.
func graphs(t *rapid.T) *plan.Graph {
	g := &plan.Graph{Version: plan.Version, Entry: "a.star", Images: []plan.Image{{Base: plan.Base{Kind: plan.BaseDebian}}}}
	envs := rapid.IntRange(0, 25).Draw(t, "environments")
	for e := range envs {
		env := plan.Environment{Name: fmt.Sprintf("%0*d", rapid.IntRange(1, 60).Draw(t, "name"), e), Image: rapid.IntRange(-1, 0).Draw(t, "image")}
		env.DependsOn = rapid.SliceOfN(rapid.IntRange(0, envs-1), 0, 3).Draw(t, "depends_on")
		g.Environments = append(g.Environments, env)
		for i := range rapid.IntRange(0, 4).Draw(t, "tasks") {
			g.Tasks = append(g.Tasks, plan.Task{Name: fmt.Sprintf("t%0*d", rapid.IntRange(1, 60).Draw(t, "name"), i), Env: e, Body: plan.Body{Kind: plan.BodyStarlark}, Listed: rapid.Bool().Draw(t, "listed")})
		}
	}
	if n := len(g.Tasks); n > 0 {
		for range rapid.IntRange(0, 40).Draw(t, "calls") {
			g.Calls = append(g.Calls, plan.Call{Caller: rapid.IntRange(0, n-1).Draw(t, "caller"), Callee: rapid.IntRange(0, n-1).Draw(t, "callee"), Possible: rapid.Bool().Draw(t, "possible")})
		}
	}
	return g
}

// TestLayout: boxes and lanes keep their distance, so no edge runs through a box. Everything is in
// the picture, and every edge leads from its source to its end.
func TestLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLayout(newPicture(graphs(t), Options{}))
		placed := 0
		for c, column := range l.columns {
			placed += len(column)
			for i, n := range column {
				node := l.nodes[n]
				if node.column != c || node.x != l.lefts[c] || node.y < margin || node.y+node.height > l.height || node.width > l.widths[c] {
					t.Fatalf("node %d at %+v is out of its column %d or of the picture", n, node, c)
				}
				if i > 0 {
					above := column[i-1]
					if gap := node.y - l.nodes[above].y - l.nodes[above].height; gap < l.gap(above, n) {
						t.Fatalf("nodes %d and %d are %d apart", above, n, gap)
					}
				}
			}
			if c > 0 && l.lefts[c] < l.columnRight(c-1)+leastGap || l.columnRight(c) > l.width {
				t.Fatalf("column %d at %d..%d", c, l.lefts[c], l.columnRight(c))
			}
		}
		if placed+len(l.apart) != len(l.nodes) {
			t.Fatalf("%d of %d nodes are in a column, %d apart", placed, len(l.nodes), len(l.apart))
		}
		checkApart(t, l)
		checkLinks(t, l)
	})
}

// checkApart compares each box without edges with all other boxes.
func checkApart(t *rapid.T, l *layout) {
	for _, i := range l.apart {
		a := l.nodes[i]
		if len(a.links[0])+len(a.links[1]) > 0 || a.x < margin || a.x+a.width > l.width || a.y < margin || a.y+a.height > l.height {
			t.Fatalf("box %d at %+v has edges, or isn't in the picture", i, a)
		}
		for j, b := range l.nodes {
			if i != j && a.x < b.x+b.width && b.x < a.x+a.width && a.y < b.y+b.height && b.y < a.y+a.height {
				t.Fatalf("boxes %d and %d overlap", i, j)
			}
		}
	}
}

// checkLinks follows each edge back from its end to its source.
func checkLinks(t *rapid.T, l *layout) {
	last := map[int]*link{}
	for i := range l.links {
		k := &l.links[i]
		if l.nodes[k.ends[0]].column+1 != l.nodes[k.ends[1]].column {
			t.Fatalf("link %+v isn't between neighbouring columns", k)
		}
		if k.last {
			last[k.edge] = k
		}
	}
	for i := range l.edges {
		e := &l.edges[i]
		k := last[i]
		if k == nil {
			t.Fatalf("edge %+v has no end", e)
		}
		towards := 0 // the side of its source
		if e.back {
			towards = 1
		}
		if k.ends[1-towards] != e.to || k.at[1-towards] != e.toAt {
			t.Fatalf("edge %+v ends with %+v", e, k)
		}
		for l.isBend(k.ends[towards]) {
			links := l.nodes[k.ends[towards]].links[towards]
			if len(links) != 1 {
				t.Fatalf("a bend has %d links towards its source", len(links))
			}
			k = &l.links[links[0]]
		}
		if k.ends[towards] != e.from || k.at[towards] != e.fromAt {
			t.Fatalf("edge %+v begins with %+v", e, k)
		}
	}
}

// TestOnlyCallsRunBack: if depends_on isn't cyclic, no edge of it runs backwards.
func TestOnlyCallsRunBack(t *testing.T) {
	g := &plan.Graph{
		Environments: []plan.Environment{{Name: "low"}, {Name: "high", DependsOn: []int{0}}},
		Tasks:        []plan.Task{{Name: "a", Env: 0}, {Name: "b", Env: 1}},
		Calls:        []plan.Call{{Caller: 0, Callee: 1}, {Caller: 1, Callee: 0}},
		Images:       []plan.Image{{}},
	}
	l := newLayout(newPicture(g, Options{}))
	for _, e := range l.edges {
		if e.back != (e.kind == calls && e.from == 0) {
			t.Errorf("edge %+v", e)
		}
	}
	if l.nodes[1].column != 0 || l.nodes[0].column != 1 {
		t.Errorf("high in column %d, low in %d", l.nodes[1].column, l.nodes[0].column)
	}
}

// TestInversions compares inversions with a count over every pair.
func TestInversions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.IntRange(0, 9)).Draw(t, "list")
		want := 0
		for i := range list {
			for _, v := range list[i+1:] {
				if v < list[i] {
					want++
				}
			}
		}
		if got := inversions(list); got != want {
			t.Fatalf("inversions(%v) = %d, want %d", list, got, want)
		}
	})
}

// TestOrderUncrosses: a graph that can be drawn without crossings is drawn without them, whatever
// the order of its parts.
func TestOrderUncrosses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A tree: one of the environments before environment i depends on it.
		n := rapid.IntRange(1, 30).Draw(t, "n")
		g := &plan.Graph{Environments: make([]plan.Environment, n)}
		names := rapid.Permutation(slices.Collect(count(n))).Draw(t, "permutation")
		for i := 1; i < n; i++ {
			parent := &g.Environments[names[rapid.IntRange(max(0, i-5), i-1).Draw(t, "parent")]]
			parent.DependsOn = append(parent.DependsOn, names[i])
		}
		for i := range g.Environments {
			g.Environments[i].Image = plan.NoImage
		}
		l := newLayout(newPicture(g, Options{}))
		at := make([]int, len(l.nodes))
		for c := range l.columns {
			l.number(c, at)
		}
		if n := l.crossings(at); n > 0 {
			t.Fatalf("a tree is drawn with %d crossings", n)
		}
	})
}

func count(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// TestShape: environments without any edges are drawn in about the shape of a screen, and so is a
// wide fan.
func TestShape(t *testing.T) {
	apart := &plan.Graph{Environments: make([]plan.Environment, 200)}
	fan := &plan.Graph{Environments: make([]plan.Environment, 201)}
	for i := range 200 {
		apart.Environments[i] = plan.Environment{Name: fmt.Sprint("e", i), Image: plan.NoImage}
		fan.Environments[i] = apart.Environments[i]
		fan.Environments[200].DependsOn = append(fan.Environments[200].DependsOn, i)
	}
	fan.Environments[200].Image = plan.NoImage
	for name, g := range map[string]*plan.Graph{"apart": apart, "fan": fan} {
		l := newLayout(newPicture(g, Options{}))
		if ratio := float64(l.width) / float64(l.height); ratio < 0.6 || ratio > 3 {
			t.Errorf("%s: %d by %d", name, l.width, l.height)
		}
	}
}
