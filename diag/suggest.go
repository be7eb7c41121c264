package diag

import "strings"

// maxSuggest is the longest name that is compared, in bytes. It is bounded because distance is
// quadratic.
const maxSuggest = 200

// Suggest returns the candidate that is nearest to name by edit distance. Of several it returns the
// first. It returns "" if none is near enough to be a misspelling: the distance may be a third of
// the longer name, but at least one edit. Names that differ only in case are near.
func Suggest(name string, candidates []string) string {
	best, bestDist := "", maxSuggest
	for _, c := range candidates {
		longer := max(len(name), len(c))
		limit := min(max(1, longer/3), bestDist-1)
		if c == name || longer > maxSuggest || longer-min(len(name), len(c)) > limit {
			continue
		}
		d := 0
		if !strings.EqualFold(name, c) {
			d = distance(name, c)
		}
		if d <= limit && (d == 0 || d < len(name)) {
			best, bestDist = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes. A swap of neighbours counts as one edit.
func distance(a, b string) int {
	before := make([]int, len(b)+1) // the row before prev, for swaps
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
