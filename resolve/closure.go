package resolve

// The check of depends_on asks, for many pairs of environments, whether one reaches the other. A walk
// per environment would be quadratic. Instead:
//
//   - Most calls that depends_on reaches, it reaches in a few steps. A search near each asker answers
//     these. It goes on only as long as it pays.
//   - The environments are put in order, dependencies first. An environment that stands before all
//     that the asker reaches, or after the asker itself, isn't reached.
//   - The remaining targets are taken 64 at a time, in that order. One pass from the lowest target to
//     the highest asker carries a word of 64 bits from each environment to those that depend on it.
//
// Calls that stay near in the order cost little more than one pass together. At worst there is a pass
// for every 64 targets.

// pair is a question: does the node from reach the node to?
type pair struct{ from, to int }

// reaches answers each pair, for a graph of n nodes whose node i has the
// successors next(i). It is meant for acyclic graphs; on others it ends, and may miss paths.
// Pairs with one from should stand together.
func reaches(n int, next func(int) []int32, pairs []pair) []bool {
	answers := make([]bool, len(pairs))
	far := searchNear(n, next, pairs, answers)
	if len(far) == 0 {
		return answers
	}
	rank, below, lowest := ranked(n, next)
	asked := byTarget(rank, pairs, far)
	own, seen := make([]uint64, n), make([]uint64, n) // by rank: a target's bit, and the targets reached
	possible := asked[:0]
	for _, i := range asked {
		if from, to := rank[pairs[i].from], rank[pairs[i].to]; to <= from && lowest[from] <= lowest[to] {
			possible = append(possible, i)
		}
	}
	for asked = possible; len(asked) > 0; {
		batch := batch(asked, pairs)
		asked = asked[len(batch):]
		low, high, bit := rank[pairs[batch[0]].to], 0, uint64(0)
		for _, i := range batch {
			if r := rank[pairs[i].to]; own[r] == 0 {
				bit = max(1, bit<<1)
				own[r] = bit
			}
			high = max(high, rank[pairs[i].from])
		}
		for r := low; r <= high; r++ {
			reached := own[r]
			for _, s := range below[r] {
				if int(s) >= low {
					reached |= seen[s]
				}
			}
			seen[r] = reached
		}
		for _, i := range batch {
			answers[i] = seen[rank[pairs[i].from]]&own[rank[pairs[i].to]] != 0
		}
		for _, i := range batch {
			own[rank[pairs[i].to]] = 0
		}
	}
	return answers
}

// What a search near a node may cost, in edges. Each search takes at most nearEdges, and each pair
// that it finds pays for as many more. So searches that find nothing cost little.
const (
	nearEdges  = 256
	nearCredit = 200_000
)

// searchNear answers the pairs that are few edges apart, and returns the indices of the others.
func searchNear(n int, next func(int) []int32, pairs []pair, answers []bool) (far []int) {
	type mark struct{ seen, wanted int32 } // the search that has been at a node, or that looks for it
	marks := make([]mark, n)
	var queue []int32
	credit := nearCredit
	search := int32(0)
	for start, end := 0, 0; start < len(pairs); start = end {
		search++
		missing := 0
		for end = start; end < len(pairs) && pairs[end].from == pairs[start].from; end++ {
			if m := &marks[pairs[end].to]; m.wanted != search {
				m.wanted = search
				missing++
			}
		}
		budget := min(nearEdges, credit)
		credit -= budget
		queue = append(queue[:0], int32(pairs[start].from))
		for i := 0; i < len(queue) && budget > 0 && missing > 0; i++ {
			successors := next(int(queue[i]))
			for _, s := range successors[:min(len(successors), budget)] {
				if m := &marks[s]; m.seen != search {
					m.seen = search
					queue = append(queue, s)
					if m.wanted == search {
						missing--
					}
				}
			}
			budget -= min(len(successors)+1, budget)
		}
		credit += budget
		for i := start; i < end; i++ {
			if answers[i] = marks[pairs[i].to].seen == search; answers[i] {
				credit += nearEdges
			} else {
				far = append(far, i)
			}
		}
	}
	return far
}

// adjacency puts a graph's edges close together in memory, since walks read them many times.
func adjacency(n int, next func(int) []int) func(int) []int32 {
	start := make([]int32, n+1)
	for i := range n {
		start[i+1] = start[i] + int32(len(next(i)))
	}
	flat := make([]int32, 0, start[n])
	for i := range n {
		for _, s := range next(i) {
			flat = append(flat, int32(s))
		}
	}
	return func(i int) []int32 { return flat[start[i]:start[i+1]] }
}

// ranked puts the nodes in order, successors first. It returns each node's rank. By rank it returns
// the ranks of the node's successors, close together in memory since they are read many times, and
// the lowest rank that the node reaches.
func ranked(n int, next func(int) []int32) (rank []int, below [][]int32, lowest []int) {
	order := successorsFirst(n, next)
	rank, below, lowest = make([]int, n), make([][]int32, n), make([]int, n)
	edges := 0
	for r, i := range order {
		rank[i] = r
		edges += len(next(i))
	}
	flat := make([]int32, 0, edges)
	for r, i := range order {
		start := len(flat)
		lowest[r] = r
		for _, s := range next(i) {
			if below := rank[s]; below < r { // always, but on a cycle
				flat = append(flat, int32(below))
				lowest[r] = min(lowest[r], lowest[below])
			}
		}
		below[r] = flat[start:]
	}
	return rank, below, lowest
}

// byTarget sorts which, indices of pairs, by the ranks of the pairs' targets.
func byTarget(rank []int, pairs []pair, which []int) []int {
	next := make([]int, len(rank)+1) // by rank: where the next pair with that target goes
	for _, i := range which {
		next[rank[pairs[i].to]+1]++
	}
	for r := range rank {
		next[r+1] += next[r]
	}
	sorted := make([]int, len(which))
	for _, i := range which {
		r := rank[pairs[i].to]
		sorted[next[r]] = i
		next[r]++
	}
	return sorted
}

// batch returns the first pairs of asked, which is sorted by target: as many as have 64 targets
// together.
func batch(asked []int, pairs []pair) []int {
	targets, last := 0, -1
	for i, p := range asked {
		if pairs[p].to != last {
			targets, last = targets+1, pairs[p].to
		}
		if targets > 64 {
			return asked[:i]
		}
	}
	return asked
}

// successorsFirst puts each node after its successors.
func successorsFirst(n int, next func(int) []int32) []int {
	type frame struct{ node, next int }
	order, seen := make([]int, 0, n), make([]bool, n)
	var stack []frame
	for root := range n {
		if seen[root] {
			continue
		}
		seen[root] = true
		stack = append(stack, frame{node: root})
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			successors := next(f.node)
			if f.next == len(successors) {
				order = append(order, f.node)
				stack = stack[:len(stack)-1]
				continue
			}
			s := int(successors[f.next])
			f.next++
			if !seen[s] {
				seen[s] = true
				stack = append(stack, frame{node: s})
			}
		}
	}
	return order
}
