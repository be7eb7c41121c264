package interp

import (
	"fmt"
	"net"
	"os"
	osexec "os/exec"
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
	try("write a file", os.WriteFile("/tmp/flytestar-probe", nil, 0o600))
	_, err = os.Stat("/")
	try("stat", err)
	try("make a directory", os.Mkdir("/tmp/flytestar-probe", 0o700))
	_, err = net.Dial("tcp", "127.0.0.1:1")
	try("connect", allowed(err))
	_, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	try("make a socket", err)
	_, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	try("make a local socket", err)
	try("execute", osexec.Command("/bin/true").Run())
	try("signal the parent", syscall.Kill(os.Getppid(), 0))
	try("raise a limit", unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 16, Max: 1 << 16}))
	try("trace", unix.PtraceAttach(os.Getppid()))
	try("unshare", unix.Unshare(unix.CLONE_NEWUSER))
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	try("fork", errnoError(errno))
	return strings.Join(able, ", ")
}

// allowed is nil if a connection was tried at all.
func allowed(err error) error {
	if strings.Contains(fmt.Sprint(err), "refused") {
		return nil
	}
	return err
}

func errnoError(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// TestLockdown runs what tries to get out in the evaluator.
func TestLockdown(t *testing.T) {
	e := startFile(t, "def try_all(): return probe()\ndef env(): return environ()\n", Limits{})
	got, err := e.Body(t.Context(), "try_all", nil, testHost{})
	if err != nil {
		t.Fatal(err)
	}
	if got != "" {
		for _, l := range e.Lockdown() {
			if l.Missing != "" {
				t.Skipf("this machine's kernel can't: %v; so the evaluator can: %s", e.Lockdown(), got)
			}
		}
		t.Errorf("the evaluator can: %s", got)
	}
	env, err := e.Body(t.Context(), "env", nil, testHost{})
	if err != nil || env != "GOTRACEBACK=none" {
		t.Errorf("environment is %q, %v", env, err)
	}
}

// TestProbe shows that the probe finds what is possible, and so that TestLockdown can fail.
func TestProbe(t *testing.T) {
	if got := allowed(fmt.Errorf("connection refused")); got != nil {
		t.Error(got)
	}
	if _, err := os.ReadDir("/"); err != nil {
		t.Error(err)
	}
}
