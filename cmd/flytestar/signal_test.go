package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sleeping is a workflow with a task that sleeps. The number of seconds marks the task's process.
const sleeping = `
env = task_environment(name = "e", image = image.from_debian_base())
slow = task(env = env, command = ["sleep", "SECONDS"])
top = task_environment(name = "top", depends_on = [env])
def _main():
    gather(slow.start(), slow.start())
main = task(_main, env = top)
`

// mark returns a number of seconds that no other process of this machine sleeps, not even one of
// the same test that somebody else runs.
func mark(n int) string { return fmt.Sprintf("%d.%d", 31415+n, os.Getpid()) }

// startSleeping starts a run of sleeping, and returns when its tasks are running.
func startSleeping(t *testing.T, seconds string) *exec.Cmd {
	t.Helper()
	if m := missing(); len(m) > 0 {
		t.Skipf("this machine can't run containers: %s", strings.Join(m, "; "))
	}
	file := filepath.Join(t.TempDir(), "wf.star")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(sleeping, "SECONDS", seconds)), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("flytestar", "run", file, "main")
	cmd.Env = append(os.Environ(), "FLYTESTAR_HOME="+shared.home)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	var seen strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		seen.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "task e.slow: started") {
			go io.Copy(io.Discard, stderr)
			waitFor(t, "a sleeping process", func() bool { return len(processes(seconds)) >= 2 })
			return cmd
		}
	}
	t.Fatalf("no task started:\n%s", seen.String())
	return nil
}

// TestInterrupt: SIGINT and SIGTERM end and clean up everything under way, and the exit code says
// why.
func TestInterrupt(t *testing.T) {
	for _, test := range []struct {
		signal  syscall.Signal
		seconds string
		code    int
	}{{syscall.SIGINT, mark(1), 130}, {syscall.SIGTERM, mark(2), 143}} {
		cmd := startSleeping(t, test.seconds)
		if err := cmd.Process.Signal(test.signal); err != nil {
			t.Fatal(err)
		}
		checkExit(t, cmd.Wait(), test.code)
		checkNothingLeft(t, test.seconds, cmd.Process.Pid)
	}
}

// TestKill: kill -9 leaves no process and no mount. The next run cleans up the rest.
func TestKill(t *testing.T) {
	killed, interrupted := mark(3), mark(4)
	cmd := startSleeping(t, killed)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	waitFor(t, "the containers' end", func() bool { return len(processes(killed)) == 0 })
	if m := mounts(t); len(m) > 0 {
		t.Errorf("mounts are left: %s", m)
	}
	again := startSleeping(t, interrupted)
	if err := again.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	checkExit(t, again.Wait(), 130)
	checkNothingLeft(t, killed, cmd.Process.Pid)
	checkNothingLeft(t, interrupted, again.Process.Pid)
}

// TestBrokenPipe: it is an error if nobody reads standard output.
func TestBrokenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var stderr bytes.Buffer
	cmd := exec.Command("flytestar", "version")
	cmd.Stdout, cmd.Stderr = w, &stderr
	checkExit(t, cmd.Run(), 5)
	if !strings.Contains(stderr.String(), "broken pipe") {
		t.Errorf("standard error: %q", stderr.String())
	}
}

func checkExit(t *testing.T, err error, code int) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		t.Errorf("ended with %v, want exit code %d", err, code)
	}
}

// checkNothingLeft looks for processes, mounts, cgroups and scratch directories of a run.
func checkNothingLeft(t *testing.T, seconds string, pid int) {
	t.Helper()
	waitFor(t, "the end of all processes", func() bool { return len(processes(seconds)) == 0 })
	if m := mounts(t); len(m) > 0 {
		t.Errorf("mounts are left: %s", m)
	}
	if c := cgroups(t, pid); len(c) > 0 {
		t.Errorf("cgroups are left: %s", c)
	}
	for _, pattern := range []string{"tmp/*/*", "*/tmp/*"} {
		left, err := filepath.Glob(filepath.Join(shared.home, pattern))
		if err != nil || len(left) > 0 {
			t.Errorf("scratch directories are left: %s, %v", left, err)
		}
	}
}

// cgroups lists the control groups of an engine's process. Their paths have flytestar's name and
// the process's id.
func cgroups(t *testing.T, pid int) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just been removed
		}
		if err == nil && d.IsDir() && strings.Contains(path, "flytestar") && strings.Contains(path, strconv.Itoa(pid)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// processes lists the processes of this machine that have a word among their arguments.
func processes(word string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var found []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		for _, arg := range strings.Split(string(data), "\x00") {
			if arg == word {
				found = append(found, f)
			}
		}
	}
	return found
}

// mounts lists this machine's mounts below the shared home.
func mounts(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, shared.home) {
			found = append(found, line)
		}
	}
	return found
}

// patience is longer than any machine needs: what hasn't happened by then doesn't happen.
const patience = 2 * time.Minute

// waitFor waits until a condition holds, and fails when patience ends.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s doesn't come", what)
		}
	}
}
