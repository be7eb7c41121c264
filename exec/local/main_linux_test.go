package local_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/artifact"
	"github.com/flytestar/flytestar/exec/exectest"
	"github.com/flytestar/flytestar/exec/local"
)

// TestMain is also the probe that runs in containers, and an engine that is to be killed.
func TestMain(m *testing.M) {
	if run, ok := roles[os.Getenv("FLYTESTAR_TEST_ROLE")]; ok {
		run()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// roles are what the test binary does when it is started again.
var roles = map[string]func(){}

// needSandbox skips where containers can't run, and says why.
func needSandbox(t testing.TB) {
	t.Helper()
	for _, f := range local.Probe() {
		if f.Needed && !f.OK {
			t.Skipf("needs %s: %s", f.Name, f.Detail)
		}
	}
}

// newSandbox returns a sandbox, and checks at the test's end that nothing was left behind.
func newSandbox(t testing.TB, opts local.Options) *local.Sandbox {
	t.Helper()
	needSandbox(t)
	if opts.Home == "" {
		opts.Home = t.TempDir()
	}
	s, err := local.NewSandbox(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left := leftBehind(t, opts.Home, os.Getpid()); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	return s
}

// leftBehind lists what containers of an engine have left: scratch directories
// in its home, cgroups, child processes, and mounts of the home's.
func leftBehind(t testing.TB, home string, engine int) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(home, "sandbox", "*"))
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
		if strings.Contains(line, home) {
			left = append(left, line)
		}
	}
	return append(left, mappedProcesses(t, engine)...)
}

// mappedProcesses lists an engine's child processes, other than zombies that nobody has waited for yet.
func mappedProcesses(t testing.TB, engine int) []string {
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

// script is a container that runs a shell script on the suite's image.
func script(t testing.TB, text string) *exec.Container {
	return &exec.Container{
		Name: "test", Layers: exectest.Image(t).Layers, Env: []string{"PATH=/bin"}, Args: []string{"/bin/sh", "-c", text},
	}
}

// run runs a container that must be able to run, and returns its output.
func run(t testing.TB, s *local.Sandbox, c *exec.Container) (*exec.Exit, string) {
	t.Helper()
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	exit, err := s.Run(t.Context(), c)
	if err != nil {
		var e *diag.Error
		if errors.As(err, &e) && e.Hint != "" {
			t.Fatalf("%v (%s)", err, e.Hint)
		}
		t.Fatal(err)
	}
	return exit, out.String()
}

// TestExecutorSuite runs the suite that every executor passes on the real sandbox.
func TestExecutorSuite(t *testing.T) {
	home := t.TempDir()
	suite(t, newSandbox(t, local.Options{Home: home}), home)
}

// TestExecutorSuiteRuntimes runs it on OCI runtimes that are installed.
func TestExecutorSuiteRuntimes(t *testing.T) {
	for _, name := range []string{"runc", "crun"} {
		t.Run(name, func(t *testing.T) {
			if _, err := osexec.LookPath(name); err != nil {
				t.Skip(err)
			}
			staticProgram(t)
			home := t.TempDir()
			s := newSandbox(t, local.Options{Home: home, Runtime: name})
			if _, err := s.Run(t.Context(), script(t, "")); err != nil {
				t.Skipf("%s can't work here: %v", name, err)
			}
			suite(t, s, home)
		})
	}
}

func suite(t *testing.T, s *local.Sandbox, home string) {
	store, err := artifact.Open(filepath.Join(home, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	img := exectest.Image(t)
	exectest.Run(t, exectest.Options{
		Executor: &local.Executor{Sandbox: s, Images: exectest.Images{img.Digest: img}, Store: store, Secrets: exectest.SecretValues},
		Store:    store,
		Image:    img.Digest,
		Limits:   canLimit(),
		Left: func(t testing.TB) []string {
			left, err := filepath.Glob(filepath.Join(home, "artifacts", "tmp", "*", "*"))
			if err != nil {
				t.Fatal(err)
			}
			return append(left, leftBehind(t, home, os.Getpid())...)
		},
	})
}

// canLimit reports whether cgroups can be made here.
func canLimit() bool {
	for _, f := range local.Probe() {
		if f.Name == "cgroups" {
			return f.OK
		}
	}
	return false
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
