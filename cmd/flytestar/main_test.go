package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/flytestar/flytestar/internal/statictest"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata/script")

// suite is what all tests in one run of the binary share: a home directory, so that the Debian base
// is bootstrapped only once. $FLYTESTAR_TEST_HOME names a home that outlives the run. Two runs at
// once can't share it: each checks that nothing is left there.
type suite struct {
	m    *testing.M
	home string
}

var shared suite

func TestMain(m *testing.M) {
	flytestar.Init()
	statictest.Rerun()
	shared.m = m
	testscript.Main(&shared, map[string]func(){"flytestar": main, "without": without})
}

// Run implements testscript.TestingM.
func (s *suite) Run() int {
	s.home = os.Getenv("FLYTESTAR_TEST_HOME")
	if s.home == "" {
		dir, err := os.MkdirTemp("", "flytestar-test-home-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		s.home = dir
	}
	return s.m.Run()
}

// TestScripts runs the real main on testdata/script/*.txtar. The first line of each script says
// what it proves. A script that needs containers or the network skips and says so if there are
// none.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Condition:           condition,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "omit": omit},
	})
}

// exits runs a command and checks its exit code. Usage: exits CODE COMMAND ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// omit removes a member that describes the machine from a file with a JSON object. Usage: omit KEY
// FILE
func omit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: omit KEY FILE")
	}
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &object))
	if _, ok := object[args[0]]; !ok {
		ts.Fatalf("%s has no %q", args[1], args[0])
	}
	delete(object, args[0])
	var b bytes.Buffer
	ts.Check(values.WriteJSON(&b, object))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o644))
}

// setup gives a script the shared home, the examples, and the variables of this process that say
// how to reach the network.
func setup(env *testscript.Env) error {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		return err
	}
	env.Setenv("FLYTESTAR_HOME", shared.home)
	env.Setenv("EXAMPLES", examples)
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		lower := strings.ToLower(name)
		if name == "HOME" || strings.HasPrefix(name, "PIP_") || strings.HasSuffix(lower, "_proxy") ||
			strings.HasPrefix(name, "SSL_CERT_") || strings.HasSuffix(name, "_CA_BUNDLE") {
			env.Setenv(name, value)
		}
	}
	return nil
}

// condition decides [root] and [containers]. The latter means that this machine can run containers
// and build images: doctor finds nothing missing.
func condition(name string) (bool, error) {
	switch name {
	case "containers":
		return len(missing()) == 0, nil
	case "root":
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// missing lists what this machine lacks for building and running. It asks only once.
var missing = sync.OnceValue(func() []string {
	var names []string
	for _, f := range flytestar.Examine(context.Background(), flytestar.Options{Home: shared.home}) {
		if f.Needed && !f.OK {
			names = append(names, f.Name+": "+f.Detail)
		}
	}
	return names
})

// TestHooks: the hooks for pre-commit call existing verbs, with files as arguments.
func TestHooks(t *testing.T) {
	data, err := os.ReadFile("../../.pre-commit-hooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	entries := regexp.MustCompile(`(?m)^  entry: flytestar (\S+)$`).FindAllStringSubmatch(string(data), -1)
	if len(entries) == 0 || len(entries) != strings.Count(string(data), "- id: ") {
		t.Errorf("entries are %q", entries)
	}
	root := newRoot(&app{})
	for _, m := range entries {
		cmd, _, err := root.Find(m[1:])
		if err != nil || cmd == root || cmd.Args(cmd, []string{"a.star", "b.star"}) != nil {
			t.Errorf("%q is no verb that takes files", m[1])
		}
	}
}
