package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkCheck measures `check examples/af2.star` from start to exit, the
// evaluator process included. Goal: p50 of 15 ms or less.
func BenchmarkCheck(b *testing.B) {
	benchmarkCommand(b, "check", "../../examples/af2.star")
}

// BenchmarkCheckGenerated measures `check` of generated files: with no compiled
// module kept (cold) and with one (warm). Goals: 150 ms and 30 ms for 5,000 tasks.
func BenchmarkCheckGenerated(b *testing.B) {
	for _, tasks := range []string{"20", "5000"} {
		source, err := exec.Command("go", "run", "../../bench/generate", tasks).Output()
		if err != nil {
			b.Fatal(err)
		}
		file := filepath.Join(b.TempDir(), tasks+".star")
		if err := os.WriteFile(file, source, 0o666); err != nil {
			b.Fatal(err)
		}
		b.Run(tasks+"/cold", func(b *testing.B) {
			benchmark(b, func() { os.RemoveAll(filepath.Join(shared.home, "programs")) }, "check", file)
		})
		b.Run(tasks+"/warm", func(b *testing.B) { benchmark(b, func() {}, "check", file) })
	}
}

// BenchmarkBuildNothing measures `build` where every image is there. Goal: 30 ms or less.
func BenchmarkBuildNothing(b *testing.B) {
	if m := missing(); len(m) > 0 {
		b.Skipf("this machine can't build images: %v", m)
	}
	benchmarkCommand(b, "build", "../../examples/af2.star", "main")
}

// benchmarkCommand measures a command, without anything to prepare.
func benchmarkCommand(b *testing.B, args ...string) { benchmark(b, func() {}, args...) }

// benchmark runs flytestar once for the effects, then b.N times, each after
// prepare, and reports the median and the slowest tenth.
func benchmark(b *testing.B, prepare func(), args ...string) {
	run := func() time.Duration {
		prepare()
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
