package resolve

// The check of depends_on asks, for many pairs of environments, whether one reaches the other. A walk
// per environment would be quadratic. Instead, the environments are put in order, dependencies
// first, and the targets of all questions are taken 64 at a time, in that order: one pass
// from the lowest target to the highest asker carries a word of 64 bits from each
// environment to those that depend on it. Calls that stay near in the order cost
// little more than one pass altogether; at worst there is a pass for each 64 targets.

// pair is a question: does from reach to?
type pair struct{ from, to int }

// reaches answers each pair, for a graph of n nodes whose node i has the
// successors next(i). It is meant for acyclic graphs; on others it ends, and may miss paths.
func reaches(n int, next func(int) []int, pairs []pair) []bool {
	rank, below := ranked(n, next)
	asked := byTarget(rank, pairs)
	answers := make([]bool, len(pairs))
	own, seen := make([]uint64, n), make([]uint64, n) // by rank: a target's bit, and the targets reached
	for len(asked) > 0 {
		batch := batch(asked, pairs)
		asked = asked[len(batch):]
		low, high, bit := rank[pairs[batch[0]].to], 0, uint64(0)
		for _, p := range batch {
			if r := rank[pairs[p].to]; own[r] == 0 {
				bit = max(1, bit<<1)
				own[r] = bit
			}
			high = max(high, rank[pairs[p].from])
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
		for _, p := range batch {
			from, to := rank[pairs[p].from], rank[pairs[p].to]
			answers[p] = from >= low && seen[from]&own[to] != 0
		}
		for _, p := range batch {
			own[rank[pairs[p].to]] = 0
		}
	}
	return answers
}

// ranked puts the nodes in order, successors first. It returns each node's rank, and
// by rank the ranks of its successors, close together in memory: they are read many times.
func ranked(n int, next func(int) []int) (rank []int, below [][]int32) {
	order := successorsFirst(n, next)
	rank, below = make([]int, n), make([][]int32, n)
	edges := 0
	for r, i := range order {
		rank[i] = r
		edges += len(next(i))
	}
	flat := make([]int32, 0, edges)
	for r, i := range order {
		start := len(flat)
		for _, s := range next(i) {
			if rank[s] < r { // always, but on a cycle
				flat = append(flat, int32(rank[s]))
			}
		}
		below[r] = flat[start:]
	}
	return rank, below
}

// byTarget returns the indices of pairs in the order of their targets' ranks.
func byTarget(rank []int, pairs []pair) []int {
	next := make([]int, len(rank)+1) // by rank: where the next pair with that target goes
	for _, p := range pairs {
		next[rank[p.to]+1]++
	}
	for r := range rank {
		next[r+1] += next[r]
	}
	sorted := make([]int, len(pairs))
	for i, p := range pairs {
		r := rank[p.to]
		sorted[next[r]] = i
		next[r]++
	}
	return sorted
}

// batch returns the longest start of asked, which is sorted by target, that has no more than 64 targets.
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

// successorsFirst returns the nodes, each after its successors.
func successorsFirst(n int, next func(int) []int) []int {
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
			s := successors[f.next]
			f.next++
			if !seen[s] {
				seen[s] = true
				stack = append(stack, frame{node: s})
			}
		}
	}
	return order
}
