package sandbox_test

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/exectest"
	"github.com/flytestar/flytestar/exec/sandbox"
)

// TestMain also runs the other roles of the test binary.
func TestMain(m *testing.M) {
	if run, ok := roles[os.Getenv("FLYTESTAR_TEST_ROLE")]; ok {
		run()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// roles are what the test binary does when it is started again: as the probe in a container, or as
// an engine that is to be killed.
var roles = map[string]func(){}

// script returns a container that runs a shell script on the suite's image.
func script(t testing.TB, text string) *exec.Container {
	return &exec.Container{
		Name: "test", Layers: exectest.Image(t).Layers, Env: []string{"PATH=/bin"}, Args: []string{"/bin/sh", "-c", text},
	}
}

// run runs a container that must be able to run, and returns its output.
func run(t testing.TB, s *sandbox.Sandbox, c *exec.Container) (*exec.Exit, string) {
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

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
