package workspace_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/workspace"
)

// TestWrite: all files are written or none, each with its mode, and nothing else is left.
func TestWrite(t *testing.T) {
	change := func(name string) workspace.Change {
		return workspace.Change{File: name, Before: []byte("before"), After: []byte("after, and longer")}
	}
	tests := []struct {
		name    string
		prepare func(t *testing.T, b string) // makes the second file, b
		want    string                       // of the error; empty: none
	}{
		{"both", func(t *testing.T, b string) { write(t, b, "before") }, ""},
		{"changed since", func(t *testing.T, b string) { write(t, b, "befor3") }, "it has changed since it was read"},
		{"longer", func(t *testing.T, b string) { write(t, b, "before and more") }, "it has changed since it was read"},
		{"gone", func(*testing.T, string) {}, "no such file"},
		{"symbolic link", func(t *testing.T, b string) {
			write(t, b+".target", "before")
			if err := os.Symlink(b+".target", b); err != nil {
				t.Fatal(err)
			}
		}, "it isn't a regular file"},
		{"directory", func(t *testing.T, b string) {
			if err := os.Mkdir(b, 0o777); err != nil {
				t.Fatal(err)
			}
		}, "it isn't a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
			write(t, a, "before")
			if err := os.Chmod(a, 0o640); err != nil {
				t.Fatal(err)
			}
			tt.prepare(t, b)
			entries := list(t, dir)
			err := workspace.Write([]workspace.Change{change(a), change(b)})
			want := "after, and longer"
			if tt.want != "" {
				want = "before"
				var e *diag.Error
				if !errors.As(err, &e) || e.Class != diag.System || !strings.Contains(e.Msg, "can't write "+b) || !strings.Contains(e.Msg, tt.want) {
					t.Errorf("got %v", err)
				}
			} else if err != nil {
				t.Error(err)
			}
			if got := string(read(t, a)); got != want {
				t.Errorf("a has %q", got)
			}
			if info, err := os.Lstat(a); err != nil || info.Mode() != 0o640 {
				t.Errorf("a is %v, %v", info.Mode(), err)
			}
			if now := list(t, dir); now != entries {
				t.Errorf("there is %s, there was %s", now, entries)
			}
		})
	}
}

// TestWriteNothing: what doesn't change isn't touched, and needn't even be there.
func TestWriteNothing(t *testing.T) {
	if err := workspace.Write([]workspace.Change{{File: filepath.Join(t.TempDir(), "none"), Before: []byte("x"), After: []byte("x")}}); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	return data
}
