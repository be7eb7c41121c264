package lockdown_test

import (
	"fmt"
	"os"
	osexec "os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/interp"
)

// lockedVariable, if set, is a number of layers. The test binary then applies so many, loads a
// small module and exits, as an evaluator without a pipe.
const lockedVariable = "LOCKDOWN_TEST_LOCKED"

func beLocked(n int) {
	limits := interp.Limits{}.Defaults()
	for _, f := range lockdown.Layers(limits.Memory)[:n] {
		if l := f(); l.Missing != "" {
			fmt.Fprintln(os.Stderr, l)
			os.Exit(1)
		}
	}
	if _, err := (interp.Loader{Limits: limits}).Load(smallSource(), "main.star"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// small is a Source that has one module.
type small string

func (s small) ReadModule(string) ([]byte, error) { return []byte(s), nil }

// smallSource is a module of 20 functions.
func smallSource() small {
	var b strings.Builder
	for i := range 20 {
		fmt.Fprintf(&b, "def f%d(n):\n    \"\"\"Does it.\"\"\"\n    return [x for x in range(n) if x %% %d]\n", i, i+1)
	}
	return small(b.String())
}

// BenchmarkLockdown measures a process from start to exit: without layers, with the first, with the
// first two and so on, in turns. It prints the median without, and what each layer adds.
func BenchmarkLockdown(b *testing.B) {
	names := append([]string{"nothing"}, lockdown.Names...)
	times := make([][]time.Duration, len(names))
	run := func(n int) time.Duration {
		cmd := osexec.Command("/proc/self/exe")
		cmd.Env = []string{lockedVariable + "=" + strconv.Itoa(n), "GOTRACEBACK=none"}
		cmd.SysProcAttr = lockdown.Attributes(lockdown.Users()[len(lockdown.Users())-1])
		if n >= 2 { // privileges are the second
			cmd.SysProcAttr = lockdown.Attributes(lockdown.Users()[0])
		}
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Skipf("%s can't be had here: %v %s", names[n], err, out)
		}
		return time.Since(start)
	}
	for b.Loop() {
		for n := range names {
			times[n] = append(times[n], run(n))
		}
	}
	median := func(n int) float64 {
		slices.Sort(times[n])
		return float64(times[n][len(times[n])/2].Microseconds()) / 1000
	}
	b.ReportMetric(median(0), names[0]+"-ms")
	for n := 1; n < len(names); n++ {
		b.ReportMetric(median(n)-median(n-1), "+"+names[n]+"-ms")
	}
}
