package main

import (
	"os"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/interp"
)

// TestLimitsAreShown: the script of limits exceeds every limit, and spec.md lists it.
func TestLimitsAreShown(t *testing.T) {
	script, err := os.ReadFile("testdata/script/limits.txtar")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := os.ReadFile("../../spec.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range new(interp.Limits).All() {
		name := string(l.Name)
		if !strings.Contains(string(script), `\[`+name+`\]`) || strings.Count(string(script), "--"+name+" ") < 2 {
			t.Errorf("limits.txtar doesn't exceed and raise %s", name)
		}
		if !strings.Contains(string(spec), "| `"+name+"` |") {
			t.Errorf("spec.md doesn't list %s", name)
		}
	}
}
