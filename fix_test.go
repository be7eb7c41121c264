package flytestar_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/diag"
)

// TestFix mends main.star of each of testdata/fix/*.txtar and compares its modules with those in want/, and what is left
// with the file left; UPDATE=1 writes both. What is mended is formatted where it was before, and nothing is mended the second time.
func TestFix(t *testing.T) {
	files, err := filepath.Glob("testdata/fix/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Setenv("FLYTESTAR_HOME", t.TempDir())
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			given := workspaceOf(t, a, dir)
			main := filepath.Join(dir, "main.star")
			pretty := slices.DeleteFunc(slices.Clone(given), func(name string) bool { return !formatted(t, dir, name) })
			left := fixIn(t, main)
			got := &txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				if slices.Contains(given, f.Name) {
					got.Files = append(got.Files, f)
				}
			}
			for _, name := range given {
				before, after := fileOf(got, name), readFile(t, filepath.Join(dir, name))
				if !bytes.Equal(before, after) {
					got.Files = append(got.Files, txtar.File{Name: "want/" + name, Data: after})
				}
				if slices.Contains(pretty, name) && !formatted(t, dir, name) {
					t.Errorf("%s was formatted before", name)
				}
			}
			if len(left) > 0 {
				got.Files = append(got.Files, txtar.File{Name: "left", Data: left})
			}
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(file, txtar.Format(got), 0o666); err != nil {
					t.Fatal(err)
				}
			} else if want := txtar.Format(a); !bytes.Equal(txtar.Format(got), want) {
				t.Errorf("got\n%s\nwant\n%s", txtar.Format(got), want)
			}
			if again := fixIn(t, main); !bytes.Equal(again, left) {
				t.Errorf("the second time, what is left is\n%s\ninstead of\n%s", again, left)
			}
			for _, name := range given {
				if now := readFile(t, filepath.Join(dir, name)); !bytes.Equal(now, cmpOr(fileOf(got, "want/"+name), fileOf(got, name))) {
					t.Errorf("%s changed the second time:\n%s", name, now)
				}
			}
		})
	}
}

// workspaceOf writes the files of an archive that are given, and returns their names.
func workspaceOf(t *testing.T, a *txtar.Archive, dir string) []string {
	t.Helper()
	var names []string
	for _, f := range a.Files {
		if f.Name == "left" || strings.HasPrefix(f.Name, "want/") {
			continue
		}
		names = append(names, f.Name)
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// fixIn mends a file and returns the findings that are left, infos left out.
func fixIn(t *testing.T, main string) []byte {
	t.Helper()
	fixed, err := flytestar.Fix(t.Context(), []string{main}, flytestar.LintOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := flytestar.Write(fixed.Changes); err != nil {
		t.Fatal(err)
	}
	var left diag.List
	for _, e := range fixed.Linted[0].Findings {
		if e.Severity != diag.SeverityInfo {
			left = append(left, e)
		}
	}
	var b bytes.Buffer
	if err := diag.Render(&b, left, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func formatted(t *testing.T, dir, name string) bool {
	t.Helper()
	source := readFile(t, filepath.Join(dir, name))
	out, err := flytestar.Format(t.Context(), name, source, flytestar.Options{})
	return err == nil && bytes.Equal(out, source)
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fileOf returns a file of an archive, or nil.
func fileOf(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func cmpOr(a, b []byte) []byte {
	if a != nil {
		return a
	}
	return b
}
