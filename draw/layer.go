package draw

import (
	"cmp"
	"slices"
)

// layers puts each environment into a column.
func (l *layout) layers() {
	out := make([][]int32, l.boxes) // indices into l.edges
	for i, e := range l.edges {
		out[e.from] = append(out[e.from], int32(i))
	}
	l.turnBack(out)
	depth := l.depths()
	l.pull(depth)
	l.split(depth)
}

// turnBack marks the edges that close a cycle. It finds them by walking in depth, starting at boxes
// that nothing depends on. So calls run backwards rather than depends_on.
func (l *layout) turnBack(out [][]int32) {
	const (
		unseen = iota
		open
		done
	)
	state := make([]byte, l.boxes)
	walk := func(root int) {
		type frame struct{ node, next int }
		stack := []frame{{node: root}}
		state[root] = open
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			if f.next == len(out[f.node]) {
				state[f.node] = done
				stack = stack[:len(stack)-1]
				continue
			}
			e := &l.edges[out[f.node][f.next]]
			f.next++
			switch state[e.to] {
			case open:
				e.back = true
			case unseen:
				state[e.to] = open
				stack = append(stack, frame{node: e.to})
			}
		}
	}
	dependedOn := make([]bool, l.boxes)
	for _, e := range l.edges {
		dependedOn[e.to] = dependedOn[e.to] || e.kind == dependsOn
	}
	for _, only := range []bool{false, true} {
		for n := range l.boxes {
			if state[n] == unseen && dependedOn[n] == only {
				walk(n)
			}
		}
	}
}

// direction returns the left and right ends of an edge.
func (e *edge) direction() (left, right int) {
	if e.back {
		return e.to, e.from
	}
	return e.from, e.to
}

// depths returns, for each box, the number of edges on the longest path to it.
func (l *layout) depths() []int {
	depth, missing, next := make([]int, l.boxes), make([]int, l.boxes), make([][]int32, l.boxes)
	for i := range l.edges {
		left, right := l.edges[i].direction()
		missing[right]++
		next[left] = append(next[left], int32(right))
	}
	var ready []int
	for n := range l.boxes {
		if missing[n] == 0 {
			ready = append(ready, n)
		}
	}
	for len(ready) > 0 {
		n := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		for _, m := range next[n] {
			depth[m] = max(depth[m], depth[n]+1)
			if missing[m]--; missing[m] == 0 {
				ready = append(ready, int(m))
			}
		}
	}
	return depth
}

// pull moves boxes that no edge leads to next to the boxes that they lead to. Boxes without edges
// get -1, and no column.
func (l *layout) pull(depth []int) {
	nearest := make([]int, l.boxes)
	source := make([]bool, l.boxes)
	for n := range l.boxes {
		nearest[n], source[n] = -1, true
	}
	for i := range l.edges {
		left, right := l.edges[i].direction()
		source[right] = false
		if nearest[left] < 0 || depth[right] < nearest[left] {
			nearest[left] = depth[right]
		}
	}
	for n := range l.boxes {
		switch {
		case source[n] && nearest[n] < 0:
			depth[n] = -1
		case source[n]:
			depth[n] = nearest[n] - 1
		}
	}
}

// split makes columns from the layers. A layer becomes one column, or several if it is so high that
// the picture would be hard to look at. Boxes that lead nowhere come first, near those that lead to
// them.
func (l *layout) split(depth []int) {
	leads := make([]bool, l.boxes)
	for i := range l.edges {
		left, _ := l.edges[i].direction()
		leads[left] = true
	}
	byDepth := map[int][]int{}
	deepest := -1
	for n := range l.boxes {
		byDepth[depth[n]] = append(byDepth[depth[n]], n)
		deepest = max(deepest, depth[n])
	}
	l.apart = byDepth[-1]
	delete(byDepth, -1)
	limit := l.columnLimit(byDepth)
	for d := 0; d <= deepest; d++ {
		layer := byDepth[d]
		slices.SortStableFunc(layer, func(a, b int) int { return cmp.Compare(btoi(leads[a]), btoi(leads[b])) })
		total := l.stacked(layer)
		parts := (total + limit - 1) / limit
		part, height := -1, 0 // parts of similar height, not full ones and a rest
		for _, n := range layer {
			h := l.nodes[n].height + boxGap
			if at := (height + h/2) * parts / total; at > part {
				part = at
				l.columns = append(l.columns, nil)
			}
			height += h
			c := len(l.columns) - 1
			l.columns[c] = append(l.columns[c], n)
			l.nodes[n].column = c
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// stacked returns the height of boxes on top of each other.
func (l *layout) stacked(nodes []int) int {
	height := 0
	for _, n := range nodes {
		height += l.nodes[n].height + boxGap
	}
	return height
}

// columnLimit returns the height of columns at which the picture has about the shape of a screen.
func (l *layout) columnLimit(byDepth map[int][]int) int {
	const column = 300 // roughly, in pixels, with the gap beside it
	highest, tallest := 1, 1
	heights := make([]int, 0, len(byDepth))
	for _, nodes := range byDepth {
		h := l.stacked(nodes)
		heights = append(heights, h)
		highest = max(highest, h)
		for _, n := range nodes {
			tallest = max(tallest, l.nodes[n].height+boxGap)
		}
	}
	best, badness := highest, 0
	for parts := 1; parts <= 64; parts++ {
		limit := max(tallest, highest/parts)
		columns := 0
		for _, h := range heights {
			columns += (h + limit - 1) / limit
		}
		// The distance of 5·height from 3·width, as a ratio in thousandths.
		a, b := 5*limit, 3*max(1, columns)*column
		if bad := 1000 * max(a, b) / min(a, b); badness == 0 || bad < badness {
			best, badness = limit, bad
		}
	}
	return best
}
