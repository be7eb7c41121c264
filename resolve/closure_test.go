package resolve

import (
	"testing"

	"pgregory.net/rapid"
)

// TestDiamondVisits counts how often a graph's nodes are looked at: a diamond of 12 levels is where
// Flyte's SDK makes 12,287 visits of 26 environments.
func TestDiamondVisits(t *testing.T) {
	const levels = 12
	n := 2*levels + 2 // two on each level, below them one, above them one
	next := func(node int) []int32 {
		switch level := (node - 1) / 2; {
		case node == 0:
			return nil
		case level == 0:
			return []int32{0}
		case node == n-1:
			return []int32{int32(n - 3), int32(n - 2)}
		default:
			return []int32{int32(2*level - 1), int32(2 * level)}
		}
	}
	visits := 0
	counted := func(node int) []int32 { visits++; return next(node) }
	if order := successorsFirst(n, counted); len(order) != n {
		t.Errorf("%d nodes in order, want %d", len(order), n)
	}
	if visits > 4*n {
		t.Errorf("putting %d nodes in order visits %d", n, visits)
	}
	visits = 0
	if answers := reaches(n, counted, []pair{{n - 1, 0}, {1, 2}, {0, n - 1}}); !answers[0] || answers[1] || answers[2] {
		t.Errorf("answers %v", answers)
	}
	if visits > 12*n {
		t.Errorf("three questions about %d nodes visit %d", n, visits)
	}
}

// TestReachesWithoutNearby: what a search near a node can't answer, the passes do, in batches,
// whatever the order of the pairs.
func TestReachesWithoutNearby(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 12).Draw(t, "nodes")
		chain := 300 // below each node, so that another is hundreds of edges away
		edges := map[int][]int32{}
		for i := 1; i < n; i++ {
			for _, to := range rapid.SliceOfN(rapid.IntRange(max(0, i-5), i-1), 0, 2).Draw(t, "to") {
				first := n + len(edges)*chain
				edges[i] = append(edges[i], int32(first))
				for k := range chain {
					edges[first+k] = []int32{int32(first + k + 1)}
				}
				edges[first+chain-1] = []int32{int32(to)}
			}
		}
		total := n + (len(edges)+1)*chain
		want := make([][]bool, n)
		for i := range n {
			want[i] = make([]bool, total)
			for todo := []int32{int32(i)}; len(todo) > 0; todo = todo[1:] {
				if !want[i][todo[0]] {
					want[i][todo[0]] = true
					todo = append(todo, edges[int(todo[0])]...)
				}
			}
		}
		pairs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) pair {
			return pair{rapid.IntRange(0, n-1).Draw(t, "from"), rapid.IntRange(0, n-1).Draw(t, "to")}
		}), 1, 200).Draw(t, "pairs")
		for i, got := range reaches(total, func(i int) []int32 { return edges[i] }, pairs) {
			if p := pairs[i]; got != want[p.from][p.to] {
				t.Fatalf("%d reaches %d: %v", p.from, p.to, got)
			}
		}
	})
}
