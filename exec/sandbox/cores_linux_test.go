package sandbox

import "testing"

// TestCores: containers that may use only some cores get the ones that are used least.
func TestCores(t *testing.T) {
	c := &cores{used: map[int]int{0: 0, 2: 0, 5: 0, 7: 0}}
	for limit, want := range map[int64]int{0: 0, 1: 1, 1000: 1, 1001: 2, 2500: 3, 4000: 0, 64000: 0} {
		got, release := c.take(limit)
		if release(); len(got) != want {
			t.Errorf("%d thousandths: %d cores, want %d", limit, len(got), want)
		}
	}
	var releases []func()
	for range 6 { // of two cores each: three rounds
		_, release := c.take(2000)
		releases = append(releases, release)
	}
	for cpu, n := range c.used {
		if n != 3 {
			t.Errorf("core %d is used by %d, want 3: %v", cpu, n, c.used)
		}
	}
	for _, release := range releases {
		release()
	}
	for cpu, n := range c.used {
		if n != 0 {
			t.Errorf("core %d is still used by %d", cpu, n)
		}
	}
}
