package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// BenchmarkCheck measures `check examples/af2.star` from start to exit, with the evaluator process.
// The goal is a p50 of 15 ms or less.
func BenchmarkCheck(b *testing.B) {
	benchmarkCommand(b, "check", "../../examples/af2.star")
}

// BenchmarkBuildNothing measures `build` when every image exists. The goal is 30 ms or less.
func BenchmarkBuildNothing(b *testing.B) {
	if m := missing(); len(m) > 0 {
		b.Skipf("this machine can't build images: %v", m)
	}
	benchmarkCommand(b, "build", "../../examples/af2.star", "main")
}

// benchmarkCommand runs flytestar once for the effects, then b.N times. It reports the median and
// the slowest tenth.
func benchmarkCommand(b *testing.B, args ...string) {
	run := func() time.Duration {
		cmd := exec.Command("flytestar", args...)
		cmd.Env = append(os.Environ(), "FLYTESTAR_HOME="+shared.home)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		return time.Since(start)
	}
	run()
	var times []time.Duration
	for b.Loop() {
		times = append(times, run())
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*9/10].Microseconds())/1000, "p90-ms")
}
