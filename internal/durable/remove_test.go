package durable

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRemoveDeep: a tree is removed however deep it is, whatever its modes are, and a link isn't
// followed.
func TestRemoveDeep(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "keep")
	if err := os.WriteFile(keep, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	top := filepath.Join(t.TempDir(), "top")
	dir := filepath.Join(top, "a")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 { // each path is short, since it is below the directory before
		if err := root.Mkdir("d", 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{".moved-1", "file"} {
			f, err := root.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		next, err := root.OpenRoot("d")
		if err != nil {
			t.Fatal(err)
		}
		root.Close()
		root = next
	}
	root.Close()
	for _, name := range []string{".moved-1", "wide/x/y", "wide/z"} {
		if err := os.MkdirAll(filepath.Join(top, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Dir(keep), filepath.Join(top, "wide/x/link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"wide/x/y", "wide/x", "wide"} {
		if err := os.Chmod(filepath.Join(top, name), 0o100); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveTree(top); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(top); !os.IsNotExist(err) {
		t.Errorf("it is there: %v", err)
	}
	if _, err := os.Lstat(keep); err != nil {
		t.Errorf("what a link leads to is gone: %v", err)
	}
}
