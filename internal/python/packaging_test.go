package python_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/internal/python"
)

// judge reads [clauses, version] and answers [whether it is in, whether anything can be], with the
// library that pip has.
const judge = `
import json, sys
from packaging.specifiers import SpecifierSet
out = []
for clauses, version in json.load(sys.stdin):
    s = SpecifierSet(",".join(clauses), prereleases=True)
    out.append([s.contains(version), not s.is_unsatisfiable()])
json.dump(out, sys.stdout)
`

// TestSpecifiersAgainstPackaging compares with Python's packaging, from the version on that decides
// on sets.
func TestSpecifiersAgainstPackaging(t *testing.T) {
	if err := exec.Command("python3", "-c", "from packaging.specifiers import SpecifierSet; SpecifierSet.is_unsatisfiable").Run(); err != nil {
		t.Skip("needs python3 with packaging 26 or later:", err)
	}
	draw := rapid.SliceOfN(rapid.Custom(drawClause), 1, 4)
	questions := make([][2]any, 5000)
	for i := range questions {
		questions[i] = [2]any{draw.Example(i), everyVersion[i*7919%len(everyVersion)]}
	}
	in, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", judge)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers [][2]bool
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(questions) {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	for i, want := range answers {
		clauses, version := questions[i][0].([]string), questions[i][1].(string)
		s := python.ParseSpecifiers(strings.Join(clauses, ","))
		if got := [2]bool{s.Contains(version), python.Satisfiable(s)}; got != want {
			t.Errorf("%q, %s: got %v, want %v", clauses, version, got, want)
		}
	}
}
