package draw

import (
	"cmp"
	"slices"
)

// Distances, in pixels.
const (
	boxGap    = 22 // between boxes of a column
	bandGap   = 30 // the highest empty band
	laneGap   = 9  // between bends of a column, and between bends and boxes
	margin    = 16 // around the picture
	leastGap  = 44 // between columns
	mostGap   = 180
	perLink   = 1 // what each link adds to the gap that it crosses
	slopeGap  = 7 // a gap is at least this fraction of the greatest height that a link climbs in it
	laneWidth = 12
)

// place gives every node its place in the picture.
func (l *layout) place() {
	for c := range l.columns {
		y := 0
		for i, n := range l.columns[c] {
			if i > 0 {
				y += l.gap(l.columns[c][i-1], n)
			}
			l.nodes[n].y = y
			y += l.nodes[n].height
		}
	}
	for round := range l.rounds(30) {
		for i := range l.columns {
			switch c := len(l.columns) - 1 - i; round % 3 {
			case 0:
				l.settle(i, true, false)
			case 1:
				l.settle(c, false, true)
			default:
				l.settle(i, true, true)
			}
		}
	}
	l.settleRows()
	l.settleColumns()
	l.placeApart()
}

// placeApart puts the boxes without edges into rows below the columns. The rows are as wide as the
// columns, or as the shape of a screen wants.
func (l *layout) placeApart() {
	area := 0
	for _, n := range l.apart {
		area += (l.nodes[n].width + boxGap) * (l.nodes[n].height + boxGap)
	}
	wide := l.width
	for 3*wide*wide < 5*area { // in steps, since floating point roots may differ between machines
		wide += 20
	}
	x, y, below := margin, margin, 0 // the next box's place, and the top of the next row
	if l.height > 0 {
		y = l.height + bandGap
	}
	for _, i := range l.apart {
		n := &l.nodes[i]
		if x > margin && x+n.width > wide {
			x, y = margin, below+boxGap
		}
		n.x, n.y = x, y
		x += n.width + boxGap
		below = max(below, y+n.height)
		l.width, l.height = max(l.width, n.x+n.width), max(l.height, below)
	}
}

// gap returns the smallest distance between two neighbours of a column.
func (l *layout) gap(above, below int) int {
	if l.isBend(above) || l.isBend(below) {
		return laneGap
	}
	return boxGap
}

// block is a run of nodes that are as close together as they may be.
type block struct{ nodes, sum, weight int }

// settle moves the nodes of a column so that links on the given sides become as level as the
// column's order and gaps allow. It minimizes the weighted squares of the distances, by pooling
// adjacent violators.
func (l *layout) settle(c int, left, right bool) {
	column := l.columns[c]
	var blocks []block
	offset := 0
	offsets := make([]int, len(column)) // of each node below the column's first, if all are as close as possible
	for i, n := range column {
		if i > 0 {
			offset += l.nodes[column[i-1]].height + l.gap(column[i-1], n)
		}
		offsets[i] = offset
		want, weight := l.wanted(n, left, right)
		b := block{1, weight * (want - offset), weight}
		for len(blocks) > 0 {
			above := blocks[len(blocks)-1]
			if floorDiv(above.sum, above.weight) < floorDiv(b.sum, b.weight) {
				break
			}
			blocks = blocks[:len(blocks)-1]
			b = block{above.nodes + b.nodes, above.sum + b.sum, above.weight + b.weight}
		}
		blocks = append(blocks, b)
	}
	i := 0
	for _, b := range blocks {
		for range b.nodes {
			l.nodes[column[i]].y = floorDiv(b.sum, b.weight) + offsets[i]
			i++
		}
	}
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// wanted returns the height at which a node's links would be level on average, and the weight of
// this wish. Links between bends weigh most, so that long edges are straight. A node without links
// wants to stay where it is.
func (l *layout) wanted(n int, left, right bool) (y, weight int) {
	sum := 0
	for side, use := range [2]bool{left, right} {
		if !use {
			continue
		}
		for _, i := range l.nodes[n].links[side] {
			k := &l.links[i]
			other := k.ends[side]
			w := 1
			switch {
			case l.isBend(n) && l.isBend(other):
				w = 8
			case l.isBend(n) || l.isBend(other):
				w = 2
			}
			sum += w * (l.nodes[other].y + k.at[side] - k.at[1-side])
			weight += w
		}
	}
	if weight == 0 {
		return l.nodes[n].y, 1
	}
	return floorDiv(sum, weight), weight
}

// settleRows moves everything up to the margin. It also closes bands that are empty across the
// whole picture, which unconnected parts leave between them.
func (l *layout) settleRows() {
	var byTop []int
	for _, column := range l.columns {
		byTop = append(byTop, column...)
	}
	slices.SortStableFunc(byTop, func(a, b int) int { return cmp.Compare(l.nodes[a].y, l.nodes[b].y) })
	up, end := 0, 0 // how far nodes move, and where the lowest one so far ended before it moved
	for i, n := range byTop {
		top := l.nodes[n].y
		switch {
		case i == 0:
			up, end = top-margin, top
		case top > end+bandGap:
			up += top - end - bandGap
		}
		end = max(end, top+l.nodes[n].height)
		l.nodes[n].y -= up
		l.height = max(l.height, l.nodes[n].y+l.nodes[n].height)
	}
}

// settleColumns gives the columns their places. Gaps with many links, or steep ones, are wider.
func (l *layout) settleColumns() {
	x := margin
	for c := range l.columns {
		width, links, climb := 0, 0, 0
		for _, n := range l.columns[c] {
			width = max(width, l.nodes[n].width)
			links += len(l.nodes[n].links[1])
			for _, i := range l.nodes[n].links[1] {
				k := &l.links[i]
				d := l.nodes[k.ends[0]].y + k.at[0] - l.nodes[k.ends[1]].y - k.at[1]
				climb = max(climb, d, -d)
			}
		}
		if width == 0 {
			width = laneWidth // only bends
		}
		l.lefts, l.widths = append(l.lefts, x), append(l.widths, width)
		x += width
		l.width = x
		x += min(max(leastGap+perLink*links, climb/slopeGap), mostGap)
	}
	for c, column := range l.columns {
		for _, n := range column {
			l.nodes[n].x = l.lefts[c]
		}
	}
}

// right returns the x at which a node ends. A bend spans its whole column.
func (l *layout) right(n int) int {
	if l.isBend(n) {
		return l.columnRight(l.nodes[n].column)
	}
	return l.nodes[n].x + l.nodes[n].width
}

func (l *layout) columnRight(c int) int { return l.lefts[c] + l.widths[c] }
