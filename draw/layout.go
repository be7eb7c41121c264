package draw

import (
	"cmp"
	"slices"

	"github.com/flytestar/flytestar/plan"
)

// SVG lays a graph out from left to right, after Sugiyama, Tagawa and Toda (1981):
//
//   - layer.go puts each environment into a column to the right of all that lead to it. Edges that
//     close a cycle of calls run backwards. A column that would be too high is split. Environments
//     without edges are below the columns.
//   - An edge that passes a column gets a bend there, in a lane that nothing else takes. Edges of
//     the same look and from the same place share their bends, so they look like a trunk with
//     branches. Boxes stand within their columns, and edges change height only between columns, so
//     no edge runs through a box.
//   - order.go orders each column so that few edges cross, by barycentres.
//   - place.go gives every box and bend its height in the picture, near those that it is connected
//     to, by isotonic regression.
//
// All numbers are integers, so every machine draws the same picture.

// edgeKind tells edges of different look apart.
type edgeKind int

const (
	dependsOn edgeKind = iota
	calls
	mayCall
)

// edge is an edge between two environments. The ends of a call are at its tasks.
type edge struct {
	kind     edgeKind
	from, to int // nodes
	fromAt   int // pixels below the node's top
	toAt     int
	source   int // where it begins: a task, or an environment
	call     int // index into picture.calls; -1 for depends_on
	mark     plan.ChangeKind
	back     bool // it runs from a column to one further left
	over     bool // it is drawn straight and behind the boxes, because the bends ran out
}

// node is the box of an environment or, after the boxes, a bend. A bend has no height.
type node struct {
	column, x, y  int
	width, height int
	links         [2][]int32 // to the left, and to the right; indices into layout.links
}

// link is a part of one or more edges, between two neighbouring columns.
type link struct {
	ends [2]int // nodes: left, right
	at   [2]int // pixels below their tops
	edge int    // one of the edges that it is part of; if it leads to an end, the edge that ends there
	last bool   // it leads to the edge's end
}

// layout has the place of everything.
type layout struct {
	*picture
	nodes   []node
	boxes   int // the number of nodes that are boxes
	edges   []edge
	links   []link
	columns [][]int // nodes, from top to bottom
	apart   []int   // boxes without edges, in rows below the columns
	lefts   []int   // x of each column, and of the end of the last
	widths  []int   // of the columns
	width   int
	height  int
}

func newLayout(p *picture) *layout {
	l := &layout{picture: p, boxes: len(p.Environments)}
	l.nodes = make([]node, l.boxes)
	for e := range l.nodes {
		l.nodes[e].column = -1
		l.nodes[e].width, l.nodes[e].height = p.boxSize(e)
	}
	l.findEdges()
	l.layers()
	l.route()
	l.order()
	l.place()
	return l
}

// findEdges collects the edges between environments.
func (l *layout) findEdges() {
	row := make([]int, len(l.Tasks)) // each task's row in its box
	for _, tasks := range l.tasks {
		for i, t := range tasks {
			row[t] = i
		}
	}
	type pair struct{ from, to int }
	known := map[pair]bool{}
	for e := range l.Environments {
		for _, d := range l.Environments[e].DependsOn {
			if !known[pair{e, d}] && e != d {
				known[pair{e, d}] = true
				l.edges = append(l.edges, edge{kind: dependsOn, from: e, to: d, fromAt: headerMiddle, toAt: headerMiddle, source: e, call: -1, mark: l.dependsOnMark(e, d)})
			}
		}
	}
	for i, c := range l.calls {
		from, to := l.Tasks[c.Caller].Env, l.Tasks[c.Callee].Env
		if from == to {
			continue // drawn within the box
		}
		kind := calls
		if c.Possible {
			kind = mayCall
		}
		l.edges = append(l.edges, edge{kind: kind, from: from, to: to, fromAt: l.rowMiddle(from, row[c.Caller]), toAt: l.rowMiddle(to, row[c.Callee]), source: c.Caller, call: i, mark: l.callMark(&l.calls[i])})
	}
}

// maxBends bounds the number of bends, and so the work for edges that pass many columns. The
// longest edges do without.
const maxBends = 200_000

// route cuts edges into links.
func (l *layout) route() {
	byLength := make([]int, len(l.edges))
	for i := range byLength {
		byLength[i] = i
	}
	length := func(i int) int {
		return max(l.nodes[l.edges[i].to].column-l.nodes[l.edges[i].from].column, l.nodes[l.edges[i].from].column-l.nodes[l.edges[i].to].column)
	}
	slices.SortStableFunc(byLength, func(a, b int) int { return cmp.Compare(length(a), length(b)) })
	trunks := map[trunk]*bends{}
	for _, i := range byLength {
		e := &l.edges[i]
		t := trunk{e.kind, e.source, e.back, e.mark}
		b, ok := trunks[t]
		if !ok {
			b = &bends{end: e.from, at: e.fromAt}
			trunks[t] = b
		}
		if more := length(i) - 1 - b.passed; len(l.nodes)-l.boxes+max(0, more) > maxBends {
			e.over = true
			continue
		}
		l.branch(i, b, length(i)-1)
	}
	for i := range l.links {
		for side, n := range l.links[i].ends {
			l.nodes[n].links[1-side] = append(l.nodes[n].links[1-side], int32(i))
		}
	}
}

// trunk identifies edges that share their bends: they look alike and come from the same place.
type trunk struct {
	kind   edgeKind
	source int
	back   bool
	mark   plan.ChangeKind
}

// bends are the bends of a trunk so far, in order of distance from its source.
type bends struct {
	nodes   []int
	passed  int // columns, with a bend in each
	end, at int // where its last link ends; at first, the source itself
}

// branch leads an edge along its trunk for n columns, and then to its end.
func (l *layout) branch(i int, b *bends, n int) {
	e := &l.edges[i]
	step := 1
	if e.back {
		step = -1
	}
	for b.passed < n {
		b.passed++
		bend := len(l.nodes)
		column := l.nodes[e.from].column + step*b.passed
		l.nodes = append(l.nodes, node{column: column})
		l.columns[column] = append(l.columns[column], bend)
		l.connect(e.back, link{edge: i, ends: [2]int{b.end, bend}, at: [2]int{b.at, 0}})
		b.nodes = append(b.nodes, bend)
		b.end, b.at = bend, 0
	}
	from, at := e.from, e.fromAt
	if n > 0 {
		from, at = b.nodes[n-1], 0
	}
	l.connect(e.back, link{edge: i, ends: [2]int{from, e.to}, at: [2]int{at, e.toAt}, last: true})
}

// connect adds a link from its first end to its second. It swaps the ends if the second is further
// left.
func (l *layout) connect(back bool, k link) {
	if back {
		k.ends[0], k.ends[1] = k.ends[1], k.ends[0]
		k.at[0], k.at[1] = k.at[1], k.at[0]
	}
	l.links = append(l.links, k)
}

// isBend reports whether a node is a bend.
func (l *layout) isBend(n int) bool { return n >= l.boxes }

// rounds returns how often to repeat a pass over all links: at most most, and fewer times in large
// graphs.
func (l *layout) rounds(most int) int {
	const budget = 4_000_000 // links to look at
	return max(2, min(most, budget/(len(l.links)+len(l.nodes)+1)))
}
