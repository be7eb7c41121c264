package draw

import (
	"cmp"
	"slices"

	"github.com/flytestar/flytestar/plan"
)

// How SVG lays a graph out, after Sugiyama, Tagawa and Toda (1981), from left to right:
//
//   - layer.go puts each environment into a column right of all that lead to it. Edges that close a
//     cycle of calls run backwards. Columns that would be too high are split. What has no edges stands below them.
//   - An edge that passes columns gets a bend in each, a lane that nothing else takes; edges that look alike, from one
//     place, share their bends, and so look like a trunk with branches. Since boxes stand within their columns and
//     edges change their height only between columns, no edge runs through a box.
//   - order.go orders each column so that few edges cross, by barycentres.
//   - place.go gives every box and bend its height in the picture, near those that it is
//     connected with, by isotonic regression.
//
// All numbers are integers, so that every machine draws the same.

// edgeKind tells edges apart as they look.
type edgeKind int

const (
	dependsOn edgeKind = iota
	calls
	mayCall
)

// edge is an edge between two environments. A call begins and ends at its tasks.
type edge struct {
	kind     edgeKind
	from, to int // nodes
	fromAt   int // below the node's top, in pixels
	toAt     int
	source   int // what it begins at: a task, or an environment
	call     int // into picture.calls; -1 for depends_on
	mark     plan.ChangeKind
	back     bool // from a column to one further left
	over     bool // drawn straight and behind the boxes, since bends ran out
}

// node is an environment's box, or after those a bend, which has no height.
type node struct {
	column, x, y  int
	width, height int
	links         [2][]int32 // to the left, and to the right; into layout.links
}

// link is the part of an edge, or of several, between two neighbouring columns.
type link struct {
	ends [2]int // nodes: left, right
	at   [2]int // below their tops
	edge int    // one of those that it is part of: whose end it is, if it leads to one
	last bool   // it leads to the edge's end
}

// layout is where everything is.
type layout struct {
	*picture
	nodes   []node
	boxes   int // how many nodes are boxes
	edges   []edge
	links   []link
	columns [][]int // nodes, from top to bottom
	apart   []int   // boxes without edges, which stand in rows below the columns
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
	row := make([]int, len(l.Tasks)) // of each task in its box
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

// maxBends bounds the bends, and so the work for edges that pass many columns. The longest edges go without.
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

// trunk names edges that share their bends: those that look alike, from one place.
type trunk struct {
	kind   edgeKind
	source int
	back   bool
	mark   plan.ChangeKind
}

// bends are those of a trunk so far, ever further from its source.
type bends struct {
	nodes   []int
	passed  int // columns, with a bend in each
	end, at int // where its last link ends: the source itself at first
}

// branch leads an edge along its trunk for n columns, and from there to its end.
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

// connect adds a link that leads from its first end to its second, turning it where that is further left.
func (l *layout) connect(back bool, k link) {
	if back {
		k.ends[0], k.ends[1] = k.ends[1], k.ends[0]
		k.at[0], k.at[1] = k.at[1], k.at[0]
	}
	l.links = append(l.links, k)
}

// isBend reports whether a node is a bend.
func (l *layout) isBend(n int) bool { return n >= l.boxes }

// rounds is how often a pass over all links is repeated: at most most, fewer in large graphs.
func (l *layout) rounds(most int) int {
	const budget = 4_000_000 // links looked at
	return max(2, min(most, budget/(len(l.links)+len(l.nodes)+1)))
}
