package statictest

import (
	_ "net" // with cgo, it takes a loader
	"os"
	"slices"
	"testing"
)

func TestMain(m *testing.M) {
	Rerun()
	os.Exit(m.Run())
}

// TestRerun: wherever a static program can be built, the tests run in one.
func TestRerun(t *testing.T) {
	_, err := buildArgs(os.Args[1:])
	switch {
	case dynamic() && err != nil:
		t.Skip("can't be linked statically: ", err)
	case dynamic():
		t.Error("the tests run in a program that needs a loader")
	}
}

// TestBuildArgs: what only the first program has isn't lost without a word.
func TestBuildArgs(t *testing.T) {
	for _, arg := range []string{"-test.coverprofile=c.out", "-test.gocoverdir=d", "-test.fuzz=FuzzX", "-test.fuzzworker"} {
		if got, err := buildArgs([]string{"-test.v", arg}); err == nil {
			t.Errorf("%s: built with %q", arg, got)
		}
	}
	if got, err := buildArgs([]string{"-test.v", "-test.run=TestX"}); err == nil && !slices.Contains(got, "-c") {
		t.Errorf("got %q", got)
	}
}
