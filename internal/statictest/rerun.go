// Package statictest runs tests as a program that is linked statically, as flytestar is.
//
// Containers have no loader, so a program that is linked dynamically can't start in them. A test
// program is such a program wherever there is a C compiler and CGO_ENABLED isn't 0.
package statictest

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// again marks the program that Rerun starts, so that it isn't started once more.
const again = "FLYTESTAR_TEST_STATIC"

// Rerun runs the tests as a static program and exits with its code. Call it in TestMain. It returns
// where this program is static itself. It also returns, and says why, where no other can be built:
// tests that need one skip then.
func Rerun() {
	if os.Getenv(again) != "" || !dynamic() {
		return
	}
	code, err := rerun()
	if err != nil {
		fmt.Fprintf(os.Stderr, "the tests run in a program that is linked dynamically: %v\n", err)
		return
	}
	os.Exit(code)
}

// dynamic reports whether this program needs a loader.
func dynamic() bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	f, err := elf.Open(self)
	if err != nil {
		return false // another system's program
	}
	defer f.Close()
	return f.Section(".interp") != nil
}

// rerun builds the program, runs it with the arguments of this one and returns its exit code.
func rerun() (int, error) {
	build, err := buildArgs(os.Args[1:])
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "flytestar-statictest-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, filepath.Base(os.Args[0]))
	cmd := exec.Command("go", append(build, "-o", program, ".")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	cmd = exec.Command(program, os.Args[1:]...)
	cmd.Env = append(os.Environ(), again+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	runtime.LockOSThread() // what ends with this one ends with the thread that started it
	endTogether(cmd)
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 2, nil // a signal ended it
}

// buildArgs returns the arguments with which go builds the tests as it built these, but without cgo.
// Some ways to build need cgo, or what only this program has.
func buildArgs(args []string) ([]string, error) {
	for _, flag := range []string{"-test.coverprofile", "-test.gocoverdir", "-test.fuzz"} {
		if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, flag) }) {
			return nil, fmt.Errorf("they are run with %s", flag)
		}
	}
	build := []string{"test", "-c"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("it doesn't say how it was built")
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "-race" || s.Key == "-msan" || s.Key == "-asan":
			return nil, fmt.Errorf("it was built with %s", s.Key)
		case s.Key == "-tags":
			build = append(build, "-tags="+s.Value)
		}
	}
	return build, nil
}
