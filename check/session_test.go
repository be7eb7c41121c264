package check_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/check"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/language"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

func TestMain(m *testing.M) {
	evaluator.Init(language.New, lint.Tools(language.New))
	os.Exit(m.Run())
}

// open opens a session on a workspace with these files.
func open(t *testing.T, files map[string]string) (*check.Session, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	root, err := workspace.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	evaluate := func(ctx context.Context, entry string, source interp.Source) (*plan.Graph, error) {
		e, g, err := evaluator.Start(ctx, evaluator.Options{Source: source, Entry: entry, Predeclared: language.Predeclared(), GraphOnly: true})
		if err != nil {
			return nil, err
		}
		return g, e.Close()
	}
	return check.Open(root, check.Options{Evaluate: evaluate, Platform: "linux/amd64"}), dir
}

// codes returns the codes of the findings in main.star and what it loads. A finding without a code
// has its message.
func codes(t *testing.T, s *check.Session) string {
	t.Helper()
	l, err := s.Lint(t.Context(), []string{"main.star"})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range l.Findings {
		if e.Code == "" {
			out = append(out, strings.ReplaceAll(e.Msg, " ", "_"))
			continue
		}
		out = append(out, e.Code)
	}
	return strings.Join(out, " ")
}

const (
	lib = `env = task_environment(name = "lib")
def _run():
    pass
run = task(_run, env = env)
`
	undeclared = `load("lib.star", "run")
env = task_environment(name = "main")
def _main():
    run()
main = task(_main, env = env)
`
)

// TestUpdate: unsaved sources count until they are taken back, also those of modules that have no
// file, and what was found before doesn't stay.
func TestUpdate(t *testing.T) {
	s, _ := open(t, map[string]string{"main.star": undeclared, "lib.star": lib})
	steps := []struct {
		module, source string // source "": the file's own
		want           string
	}{
		{"", "", "FS101"},
		{"main.star", strings.Replace(undeclared, "    run()\n", "    pass\n", 1), ""},
		{"main.star", "x = ", "got_end_of_file,_want_primary_expression"},
		{"main.star", strings.Replace(undeclared, "lib.star", "new.star", 1), "there_is_no_module_new.star"},
		{"new.star", lib, "FS101"},
		{"new.star", "", "there_is_no_module_new.star"},
		{"main.star", "", "FS101"},
	}
	for _, step := range steps {
		if step.source != "" {
			s.Update(step.module, []byte(step.source))
		} else if step.module != "" {
			s.Update(step.module, nil)
		}
		if got := codes(t, s); got != step.want {
			t.Errorf("after %s = %.60q: found %q, want %q", step.module, step.source, got, step.want)
		}
	}
}

// TestFixLeavesOverlay: Fix returns its edits, of unsaved sources too, and changes neither the
// session nor a file.
func TestFixLeavesOverlay(t *testing.T) {
	s, dir := open(t, map[string]string{"main.star": "x = 1\n", "lib.star": lib})
	s.Update("main.star", []byte(undeclared))
	for range 2 {
		fixed, err := s.Fix(t.Context(), []string{"main.star"})
		if err != nil {
			t.Fatal(err)
		}
		if fixed.Mended != 1 || len(fixed.Changes) != 1 || string(fixed.Changes[0].Before) != undeclared || !strings.Contains(string(fixed.Changes[0].After), "depends_on") {
			t.Errorf("mended %d, changes %q", fixed.Mended, fixed.Changes)
		}
	}
	if got := codes(t, s); got != "FS101" {
		t.Errorf("after Fix the session finds %q", got)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "main.star")); err != nil || string(data) != "x = 1\n" {
		t.Errorf("after Fix the file is %q, %v", data, err)
	}
}

// TestSettings: what flytestar.toml disables isn't found; codes that can't be disabled, or that
// don't exist, are an error.
func TestSettings(t *testing.T) {
	s, dir := open(t, map[string]string{"main.star": undeclared, "lib.star": lib})
	set := func(text string) error {
		if err := os.WriteFile(filepath.Join(dir, workspace.Marker), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := s.Lint(t.Context(), []string{"main.star"})
		return err
	}
	for text, want := range map[string]string{
		`lint.disable = ["FS101"]`:   "FS101, an error, and these can't be disabled",
		`lint.disable = ["FS208x"]`:  "which is no code of a finding",
		`lint.disabled = []`:         "there is no such setting",
		`lint.fail-on = "sometimes"`: "want error, warning, info or never",
	} {
		if err := set(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	s.Update("main.star", []byte("def _f(x):\n    pass\n    y = 1\n"))
	if err := set(""); err != nil {
		t.Fatal(err)
	}
	if got := codes(t, s); !slices.Contains(strings.Fields(got), "unused-variable") {
		t.Errorf("found %q", got)
	}
	if err := set(`lint.disable = ["unused-variable"]`); err != nil {
		t.Fatal(err)
	}
	if got := codes(t, s); slices.Contains(strings.Fields(got), "unused-variable") {
		t.Errorf("found %q, though unused-variable is disabled", got)
	}
}
