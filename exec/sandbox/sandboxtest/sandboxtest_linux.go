package sandboxtest

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/internal/home"
)

// Need skips a test if this machine can't run containers, and says why.
func Need(t testing.TB) {
	t.Helper()
	for _, f := range sandbox.Probe() {
		if f.Needed && !f.OK {
			t.Skipf("needs %s: %s", f.Name, f.Detail)
		}
	}
}

// New returns a sandbox. At the end of the test it checks that no container has left anything.
func New(t testing.TB, opts sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	Need(t)
	if opts.Home == "" {
		opts.Home = t.TempDir()
	}
	s, err := sandbox.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left := Left(t, opts.Home, os.Getpid()); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	return s
}

// Left lists what containers have left: scratch directories in the home directory dir, mounts
// of it, and cgroups and child processes of the process engine, which ran the containers.
func Left(t testing.TB, dir string, engine int) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(home.Dir(dir).Sandbox(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{
		fmt.Sprintf("/sys/fs/cgroup/*/flytestar-%d-*", engine),
		fmt.Sprintf("/sys/fs/cgroup/*/*/flytestar-%d-*", engine),
		fmt.Sprintf("/sys/fs/cgroup/*/*/*/flytestar-%d-*", engine),
	} {
		groups, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, groups[:min(len(groups), 3)]...)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			left = append(left, line)
		}
	}
	return append(left, children(t, engine)...)
}

// children lists the child processes of a process, without zombies that it hasn't waited for yet.
func children(t testing.TB, engine int) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		if f := strings.Fields(rest); f[1] == fmt.Sprint(engine) && f[0] != "Z" {
			found = append(found, string(data))
		}
	}
	return found
}

// CanLimit reports whether this machine can limit a container's memory and processor time.
func CanLimit() bool {
	for _, f := range sandbox.Probe() {
		if f.Name == "cgroups" {
			return f.OK
		}
	}
	return false
}

// Program returns the path of this program, for a container to run. It skips the test if the
// program isn't statically linked: containers have no loader for it.
func Program(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Section(".interp") != nil {
		t.Skip("needs a statically linked test program: CGO_ENABLED=0 go test")
	}
	return exe
}
