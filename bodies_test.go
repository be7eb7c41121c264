package flytestar_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestBodyKinds: no code decides by asking whether a body is, or isn't, an orchestrator's: a kind
// that is added would silently pass for a container's. Code asks BodyKind.InContainer, or switches
// over all kinds, and .ci/run has a linter that finds a switch without one of them.
func TestBodyKinds(t *testing.T) {
	compares := regexp.MustCompile(`[!=]=\s*(plan\.)?BodyStarlark\b|\bBodyStarlark\s*[!=]=`)
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if found := compares.Find(source); found != nil {
			t.Errorf("%s has %q: ask InContainer, or switch over all kinds", name, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
