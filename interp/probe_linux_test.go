package interp

import (
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// probe tries, in the evaluator, what it must not be able to do, and names what succeeded.
func probe() string {
	var able []string
	try := func(what string, err error) {
		if err == nil {
			able = append(able, what)
		}
	}
	_, err := os.ReadFile("/proc/self/status")
	try("read a file", err)
	_, err = os.ReadDir("/")
	try("list a directory", err)
	written := filepath.Join(os.TempDir(), fmt.Sprintf("flytestar-probe-%d", os.Getpid()))
	try("write a file", os.WriteFile(written, nil, 0o600))
	try("remove a file", os.Remove(written))
	_, err = os.Stat("/")
	try("stat", err)
	_, err = net.Dial("tcp", "127.0.0.1:1")
	try("connect", allowed(err))
	_, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	try("make a socket", err)
	_, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	try("make a local socket", err)
	try("execute", osexec.Command("/bin/true").Run())
	try("signal the parent", syscall.Kill(os.Getppid(), 0))
	try("raise a limit", unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 16, Max: 1 << 16}))
	try("fork", fork())
	return strings.Join(able, ", ")
}

// allowed is nil if a connection was tried at all.
func allowed(err error) error {
	if strings.Contains(fmt.Sprint(err), "refused") {
		return nil
	}
	return err
}

// fork makes a process that ends at once.
func fork() error {
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	switch {
	case errno != 0:
		return errno
	case pid == 0:
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// TestLockdown runs what tries to get out in the evaluator.
func TestLockdown(t *testing.T) {
	e := startFile(t, "def try_all(): return probe()\ndef env(): return environ()\n", Limits{})
	got, err := e.Body(t.Context(), "try_all", nil, testHost{})
	if err != nil {
		t.Fatal(err)
	}
	if got != "" {
		if e.Lockdown().Level != Full {
			t.Skipf("this machine's kernel can't: %v; so the evaluator can: %s", e.Lockdown(), got)
		}
		t.Errorf("the evaluator can: %s", got)
	}
	env, err := e.Body(t.Context(), "env", nil, testHost{})
	if err != nil || env != fmt.Sprintf("GOTRACEBACK=none GOMAXPROCS=%d", runtime.GOMAXPROCS(0)) {
		t.Errorf("environment is %q, %v", env, err)
	}
}

// TestProbe runs the probe in a process that isn't locked down: what it tries is possible there.
func TestProbe(t *testing.T) {
	cmd := osexec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), probeVariable+"=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"read a file", "list a directory", "write a file", "remove a file", "stat", "connect", "make a socket", "make a local socket", "execute", "signal the parent", "fork"} {
		if !slices.Contains(strings.Split(string(out), ", "), want) {
			t.Errorf("the probe can't %s; it can: %s", want, out)
		}
	}
}
