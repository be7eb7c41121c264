package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// shellSignals are the exit codes by which shells, and programs like them, say that a program was
// killed by a signal.
var shellSignals = map[int]string{
	132: "SIGILL", 133: "SIGTRAP", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE", 137: "SIGKILL", 139: "SIGSEGV", 141: "SIGPIPE", 143: "SIGTERM",
}

// defaultShm is the size of /dev/shm without a limit, in bytes.
const defaultShm = 64 << 20

// advice returns what to do about a failure that has its cause in the container, and not in the task:
// empty if nothing points there. res may be nil.
func advice(f *plan.Failure, res *exec.Result, limits plan.Resources) string {
	if f.Kind != plan.FailUser || res == nil {
		return ""
	}
	says := func(texts ...string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(f.Log, text) })
	}
	switch {
	case res.ShmFull || res.Signal == "SIGBUS" || res.Code == 135 || says("Bus error", "bus error", "insufficient shared memory"):
		return fmt.Sprintf("a full /dev/shm ends programs like that; it has %s, and resources(shm = …) raises it", mebibytes(cmp.Or(limits.Shm, defaultShm)))
	case res.Crowded:
		return "a container has a limited number of processes and threads, and it was reached: start fewer workers or threads"
	case says("SOCK_RAW", "raw socket") && says("Operation not permitted", "not permitted"):
		return "no container has the right to raw sockets (CAP_NET_RAW), not even with network = True; a ping in a container's own network works without"
	}
	return ""
}
