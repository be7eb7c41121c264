package resolve

import "slices"

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
	order := successorsFirst(n, next)
	rank := make([]int, n)
	for r, i := range order {
		rank[i] = r
	}
	asked := make([]int, len(pairs))
	for i := range asked {
		asked[i] = i
	}
	slices.SortFunc(asked, func(a, b int) int { return rank[pairs[a].to] - rank[pairs[b].to] })

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
			seen[r] = own[r]
			for _, s := range next(order[r]) {
				if low <= rank[s] && rank[s] < r {
					seen[r] |= seen[rank[s]]
				}
			}
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
