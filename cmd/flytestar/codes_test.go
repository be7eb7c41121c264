package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/diag"
)

// TestCodes has a folder for each rule with a number. testdata/codes/CODE/bad.star is a file in
// which only that rule finds something. want is what check prints about it (lint, from FS200 on).
// In its twin good.star lint finds nothing. UPDATE=1 writes want.
func TestCodes(t *testing.T) {
	for _, r := range flytestar.Rules() {
		if !strings.HasPrefix(r.Code, "FS") {
			continue // the rules of buildtools have their tests there
		}
		t.Run(r.Code, func(t *testing.T) {
			want, err := filepath.Abs(filepath.Join("testdata", "codes", r.Code, "want"))
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(filepath.Dir(want))
			verb := "check"
			if r.Code >= "FS200" {
				verb = "lint"
			}
			golden(t, want, runCode(t, verb, "bad.star"))
			only(t, r, jsonFindings(t, verb, "bad.star"))
			if got := runCode(t, "lint", "good.star"); !strings.HasPrefix(got, "exit code 0\n-- stdout --\n-- stderr --\n") {
				t.Errorf("good.star has findings:\n%s", got)
			}
		})
	}
}

// only checks that there are findings, all by one rule.
func only(t *testing.T, r diag.Rule, findings []diag.Error) {
	t.Helper()
	if len(findings) == 0 {
		t.Error("nothing is found")
	}
	for _, e := range findings {
		if e.Code != r.Code {
			t.Errorf("found %s", e.Error())
		}
		if e.Fix != nil && !r.Fixable {
			t.Errorf("%s has a fix, though its rule says that it isn't fixable", e.Error())
		}
	}
}

// runCode runs a command line and returns its exit code and what it prints.
func runCode(t *testing.T, args ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	code := execute(args, &out, &errOut)
	return fmt.Sprintf("exit code %d\n-- stdout --\n%s-- stderr --\n%s", code, out.String(), errOut.String())
}

// jsonFindings returns the findings of a verb, from its JSON.
func jsonFindings(t *testing.T, verb, file string) []diag.Error {
	t.Helper()
	var out, errOut bytes.Buffer
	execute([]string{verb, "-o", "json", file}, &out, &errOut)
	var report struct{ Findings []diag.Error }
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v in %s%s", err, out.String(), errOut.String())
	}
	return report.Findings
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(name, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
