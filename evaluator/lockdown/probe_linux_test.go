package lockdown_test

import (
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/evaluator/lockdown/locktest"
)

// init keeps the probe on the process's first thread. A thread that asks to be traced only ends
// once the parent has waited for it, and the parent only waits for the first one.
func init() {
	if os.Getenv(probeVariable) != "" {
		runtime.LockOSThread()
	}
}

func TestMain(m *testing.M) {
	if layer := os.Getenv(probeVariable); layer != "" {
		beProbe(layer)
		return
	}
	if n, err := strconv.Atoi(os.Getenv(lockedVariable)); err == nil {
		beLocked(n)
	}
	os.Exit(m.Run())
}

// probeVariable, if set, is the name of a layer, or "bare". The test binary then prints what it is
// able to do under that layer, or without any.
const probeVariable = "LOCKDOWN_TEST_PROBE"

// beProbe is the process that probeVariable asks for.
func beProbe(layer string) {
	var l lockdown.Layer
	switch layer {
	case "landlock":
		l = lockdown.DenyFiles()
	case "seccomp":
		l = lockdown.FilterCalls()
	}
	if l.Missing != "" {
		fmt.Print(l)
		return
	}
	fmt.Print(locktest.Able(os.Getppid()))
}

// TestProbe makes the attempts in processes without a lockdown, or with one layer of it. So what is
// refused to an evaluator is possible elsewhere; it isn't that the attempt is wrong.
func TestProbe(t *testing.T) {
	bare := bareProbe(t, "bare")
	for _, name := range locktest.Attempts() {
		switch {
		case slices.Contains(bare, name):
		case os.Geteuid() != 0:
			t.Logf("without root it can't be shown that one could: %s", name)
		default:
			t.Errorf("the probe can't %s: so that an evaluator can't shows nothing", name)
		}
	}
	if left := bareProbe(t, "seccomp"); len(left) > 0 {
		t.Errorf("the filter alone leaves %q", left)
	}
	left := bareProbe(t, "landlock")
	for _, name := range []string{"read a file", "list a directory", "write a file", "execute"} {
		if slices.Contains(left, name) {
			t.Errorf("landlock alone leaves %q", name)
		}
	}
}

// bareProbe returns what a process can do that has one layer of the lockdown, or no layer.
func bareProbe(t *testing.T, layer string) []string {
	t.Helper()
	var out []byte
	var err error
	for range 3 { // a signal that comes while it is traced, or in the process that it forks, stops it for good
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := osexec.CommandContext(ctx, "/proc/self/exe")
		cmd.Env = append(os.Environ(), probeVariable+"="+layer, "GODEBUG=asyncpreemptoff=1")
		out, err = cmd.Output()
		stuck := ctx.Err() != nil
		cancel()
		if !stuck {
			break
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", layer, err)
	}
	if strings.Contains(string(out), "is missing") {
		t.Skipf("%s", out)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}
