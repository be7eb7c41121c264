package draw

import (
	"cmp"
	"slices"
)

// order orders the nodes of each column so that few links cross. It sweeps to and fro, and orders
// each column by the places of its nodes' neighbours in the column before. It keeps the best order
// that it sees.
func (l *layout) order() {
	at := make([]int, len(l.nodes)) // of each node in its column
	l.initial(at)
	best, fewest := l.copyOrder(), l.crossings(at)
	for round := range l.rounds(24) {
		if fewest == 0 {
			break
		}
		side := round % 2 // 0: from the left, by left neighbours
		for i := range l.columns {
			c := i
			if side == 1 {
				c = len(l.columns) - 1 - i
			}
			l.sortColumn(c, side, at)
		}
		if n := l.crossings(at); n < fewest {
			best, fewest = l.copyOrder(), n
		}
	}
	l.columns = best
	for c := range l.columns {
		l.centre(c)
	}
}

// centre moves nodes that lead on into the middle of the neighbours that come from the same place
// and lead nowhere. No link crosses another because of that, and columns don't drift away from each
// other.
func (l *layout) centre(c int) {
	column := l.columns[c]
	for start := 0; start < len(column); {
		end := start + 1
		for end < len(column) && l.sameOrigin(column[start], column[end]) {
			end++
		}
		var on, nowhere []int
		for _, n := range column[start:end] {
			if len(l.nodes[n].links[1]) > 0 {
				on = append(on, n)
			} else {
				nowhere = append(nowhere, n)
			}
		}
		half := len(nowhere) / 2
		copy(column[start:], slices.Concat(nowhere[:half], on, nowhere[half:]))
		start = end
	}
}

// sameOrigin reports whether two nodes each have one link to the left, and both lead to the same
// place.
func (l *layout) sameOrigin(a, b int) bool {
	as, bs := l.nodes[a].links[0], l.nodes[b].links[0]
	if len(as) != 1 || len(bs) != 1 {
		return false
	}
	ka, kb := &l.links[as[0]], &l.links[bs[0]]
	return ka.ends[0] == kb.ends[0] && ka.at[0] == kb.at[0]
}

// initial orders columns by a walk in depth from left to right. The walk keeps connected nodes near
// each other.
func (l *layout) initial(at []int) {
	seen := make([]bool, len(l.nodes))
	rank, next := make([]int, len(l.nodes)), 0
	for _, nodes := range l.columns {
		for _, root := range nodes {
			if seen[root] {
				continue
			}
			seen[root] = true
			for stack := []int{root}; len(stack) > 0; {
				n := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				rank[n] = next
				next++
				links := l.nodes[n].links[1]
				for i := len(links) - 1; i >= 0; i-- {
					if m := l.links[links[i]].ends[1]; !seen[m] {
						seen[m] = true
						stack = append(stack, m)
					}
				}
			}
		}
	}
	for c := range l.columns {
		slices.SortStableFunc(l.columns[c], func(a, b int) int { return cmp.Compare(rank[a], rank[b]) })
		l.number(c, at)
	}
}

func (l *layout) number(c int, at []int) {
	for i, n := range l.columns[c] {
		at[n] = i
	}
}

func (l *layout) copyOrder() [][]int {
	order := make([][]int, len(l.columns))
	for c := range l.columns {
		order[c] = slices.Clone(l.columns[c])
	}
	return order
}

// spot returns the place of one end of a link, as a number that grows from the top of a column to
// its bottom.
func (l *layout) spot(k *link, end int, at []int) int {
	n := k.ends[end]
	return at[n]<<10 + k.at[end]<<10/(l.nodes[n].height+1)
}

// sortColumn orders a column by the mean spot of each node's neighbours on one side. Nodes without
// neighbours stay.
func (l *layout) sortColumn(c, side int, at []int) {
	type keyed struct{ node, mean int }
	var movable []keyed
	var places []int
	for i, n := range l.columns[c] {
		links := l.nodes[n].links[side]
		if len(links) == 0 {
			continue
		}
		sum := 0
		for _, k := range links {
			sum += l.spot(&l.links[k], side, at)
		}
		movable = append(movable, keyed{n, sum / len(links)})
		places = append(places, i)
	}
	slices.SortStableFunc(movable, func(a, b keyed) int { return cmp.Compare(a.mean, b.mean) })
	for i, m := range movable {
		l.columns[c][places[i]] = m.node
	}
	l.number(c, at)
}

// crossings counts the pairs of links that cross, gap by gap.
func (l *layout) crossings(at []int) int {
	total := 0
	type ends struct{ left, right int }
	var gap []ends
	for c := range l.columns {
		gap = gap[:0]
		for _, n := range l.columns[c] {
			for _, k := range l.nodes[n].links[1] {
				gap = append(gap, ends{l.spot(&l.links[k], 0, at), l.spot(&l.links[k], 1, at)})
			}
		}
		slices.SortFunc(gap, func(a, b ends) int { return cmp.Or(cmp.Compare(a.left, b.left), cmp.Compare(a.right, b.right)) })
		rights := make([]int, len(gap))
		for i, e := range gap {
			rights[i] = e.right
		}
		total += inversions(rights)
	}
	return total
}

// inversions counts the pairs of list that are in the wrong order. It uses a binary indexed tree
// over their ranks.
func inversions(list []int) int {
	ranks := slices.Compact(slices.Sorted(slices.Values(list)))
	tree := make([]int, len(ranks)+1)
	total := 0
	for seen, v := range list {
		rank, _ := slices.BinarySearch(ranks, v)
		notAbove := 0
		for i := rank + 1; i > 0; i -= i & -i {
			notAbove += tree[i]
		}
		total += seen - notAbove
		for i := rank + 1; i < len(tree); i += i & -i {
			tree[i]++
		}
	}
	return total
}
