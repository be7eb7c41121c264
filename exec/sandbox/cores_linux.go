package sandbox

import (
	"math/rand/v2"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// cores gives the cores of this machine to containers, so that those that may use only some don't
// all use the same ones.
type cores struct {
	mu   sync.Mutex
	used map[int]int // containers by core, for the cores that this process may use
}

// findCores returns the cores that this process may use. If it can't tell, there are none to give.
func findCores() *cores {
	c := &cores{used: map[int]int{}}
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return c
	}
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			c.used[cpu] = 0
		}
	}
	return c
}

// take returns as many cores as a limit in thousandths of a core needs, the least used ones, in
// order. It returns none if there is no limit, or if all are needed. The caller calls release.
func (c *cores) take(limit int64) (taken []int, release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := (limit + 999) / 1000
	if n <= 0 || n >= int64(len(c.used)) {
		return nil, func() {}
	}
	var all []int
	for cpu := range c.used {
		all = append(all, cpu)
	}
	// Other processes that do the same should not begin with the same core.
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b int) int { return c.used[a] - c.used[b] })
	taken = all[:n]
	slices.Sort(taken)
	for _, cpu := range taken {
		c.used[cpu]++
	}
	return taken, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, cpu := range taken {
			c.used[cpu]--
		}
	}
}
