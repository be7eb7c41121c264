package sandbox_test

import (
	"io"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/exec/sandbox/sandboxtest"
	"github.com/flytestar/flytestar/plan"
)

// BenchmarkAction measures the time from start to exit of busybox's true: in our container, in
// runc's with Docker's default filter, in bwrap's without a filter, and without a container. The
// goal is half of runc's time or less.
func BenchmarkAction(b *testing.B) {
	b.Run("flytestar", func(b *testing.B) {
		s := sandboxtest.New(b, sandbox.Options{})
		c := script(b, "exec true")
		for i, l := range c.Layers {
			c.Layers[i] = known{l, l.DiffID()}
		}
		median(b, func(int) { run(b, s, c) })
	})
	b.Run("runc", func(b *testing.B) {
		dir := bundle(b, []string{"/bin/sh", "-c", "exec true"}, nil, nil)
		median(b, func(n int) { runc(b, dir, n, io.Discard) })
	})
	b.Run("bwrap", func(b *testing.B) {
		if _, err := osexec.LookPath("bwrap"); err != nil {
			b.Skip("needs bwrap: apt-get install bubblewrap")
		}
		root := filepath.Join(bundle(b, []string{"true"}, nil, nil), "rootfs")
		median(b, func(int) {
			must(b, osexec.Command("bwrap", "--unshare-all", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "/bin/sh", "-c", "exec true").Run())
		})
	})
	b.Run("bare", func(b *testing.B) {
		median(b, func(int) { must(b, osexec.Command("busybox", "sh", "-c", "exec true").Run()) })
	})
}

// known is a layer that knows its digest, as those of a store do. The suite's layers compute it
// each time.
type known struct {
	exec.Layer
	id plan.Digest
}

func (k known) DiffID() plan.Digest { return k.id }

// median runs f once, and then b.N times. It reports the median of these, and the time that a tenth
// of them exceeds.
func median(b *testing.B, f func(n int)) {
	f(-1)
	var times []time.Duration
	for b.Loop() {
		start := time.Now()
		f(len(times))
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*9/10].Microseconds())/1000, "p90-ms")
}
