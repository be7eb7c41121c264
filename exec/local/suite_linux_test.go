package local_test

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/artifact"
	"github.com/flytestar/flytestar/exec/exectest"
	"github.com/flytestar/flytestar/exec/local"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/exec/sandbox/sandboxtest"
)

// TestExecutorSuite runs the suite that every executor passes on the real sandbox.
func TestExecutorSuite(t *testing.T) {
	home := t.TempDir()
	suite(t, sandboxtest.New(t, sandbox.Options{Home: home}), home)
}

// TestExecutorSuiteRuntimes runs it on OCI runtimes that are installed.
func TestExecutorSuiteRuntimes(t *testing.T) {
	for _, name := range []string{"runc", "crun"} {
		t.Run(name, func(t *testing.T) {
			if _, err := osexec.LookPath(name); err != nil {
				t.Skip(err)
			}
			sandboxtest.Program(t)
			home := t.TempDir()
			s := sandboxtest.New(t, sandbox.Options{Home: home, Runtime: name})
			c := &exec.Container{Name: "test", Layers: exectest.Image(t).Layers, Args: []string{"/bin/true"}}
			if _, err := s.Run(t.Context(), c); err != nil {
				t.Skipf("%s can't work here: %v", name, err)
			}
			suite(t, s, home)
		})
	}
}

func suite(t *testing.T, s *sandbox.Sandbox, home string) {
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
		Limits:   sandboxtest.CanLimit(),
		Left: func(t testing.TB) []string {
			left, err := filepath.Glob(filepath.Join(home, "artifacts", "tmp", "*", "*"))
			if err != nil {
				t.Fatal(err)
			}
			return append(left, sandboxtest.Left(t, home, os.Getpid())...)
		},
	})
}
