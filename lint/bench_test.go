package lint_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/lint"
)

// tasks is a formatted module of n container tasks, each with an orchestrator that calls it.
func tasks(n int) []byte {
	var b strings.Builder
	b.WriteString("env = task_environment(name = \"e\", image = image.from_debian_base())\n")
	for i := range n {
		fmt.Fprintf(&b, "t%d = task(command = [\"true\"], env = env, output = str)\n\ndef _f%d(x):\n    y = t%d()\n    return [y, x]\n\nf%d = task(_f%d, env = env, inputs = {\"x\": str}, output = list[str])\n", i, i, i, i, i)
	}
	return []byte(b.String())
}

// BenchmarkLint lints and formats modules of some tasks, the process included: the time is linear,
// a process's start apart.
func BenchmarkLint(b *testing.B) {
	for _, n := range []int{10, 2500, 5000} {
		m := lint.Module{Path: "m.star", Source: tasks(n)}
		run := func(what string, do func() error) {
			b.Run(fmt.Sprintf("%s/%d", what, n), func(b *testing.B) {
				start := time.Now()
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(time.Since(start).Microseconds())/float64(b.N)/1000, "ms")
				b.ReportMetric(float64(len(m.Source))/1024, "KiB")
			})
		}
		run("lint", func() error {
			_, err := lint.Check(b.Context(), []lint.Module{m}, lint.Declared{}, evaluator.Options{})
			return err
		})
		run("fmt", func() error {
			_, err := lint.Format(b.Context(), m, evaluator.Options{})
			return err
		})
	}
}
