package interp

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/flytestar/flytestar/diag"
)

func TestModuleFiles(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret.star"), "x = 'secret'")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "good.star"), "x = 1")
	write(t, filepath.Join(dir, "sub", "good.star"), "x = 2")
	for link, target := range map[string]string{
		"link.star": "good.star", "out.star": filepath.Join(outside, "secret.star"), "outdir": outside, "indir": "sub",
		"zero.star": "/dev/zero",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.star"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "dir.star"), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	w := NewFiles(root)
	for path, want := range map[string]string{"good.star": "x = 1", "sub/good.star": "x = 2"} {
		if got, err := w.ReadModule(path); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
	for path, want := range map[string]string{
		"link.star":          "link.star is a symbolic link, which load doesn't follow",
		"out.star":           "out.star is a symbolic link, which load doesn't follow",
		"zero.star":          "zero.star is a symbolic link, which load doesn't follow",
		"outdir/secret.star": "outdir is a symbolic link, which load doesn't follow",
		"indir/good.star":    "indir is a symbolic link, which load doesn't follow",
		"fifo.star":          "fifo.star isn't a regular file",
		"dir.star":           "dir.star is a directory",
		"../secret.star":     `"../secret.star" isn't a path within the workspace`,
		"/etc/x.star":        `"/etc/x.star" isn't a path within the workspace`,
		"good.star/x.star":   "there is no module good.star/x.star",
		"god.star":           "there is no module god.star",
		"good.json":          `"good.json" isn't a .star file`,
	} {
		data, err := w.ReadModule(path)
		if err == nil || err.Error() != want || data != nil {
			t.Errorf("%s: got %q, %v, want %s", path, data, err, want)
		}
	}
	_, err = w.ReadModule("sub/god.star")
	var d *diag.Error
	if !errors.As(err, &d) || d.Hint != `did you mean "sub/good.star"?` {
		t.Errorf("got %+v", d)
	}
}

// TestPythonFiles: besides modules, only Python files below the workspace can be asked for.
func TestPythonFiles(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "lib/a.py"), "x = 1")
	write(t, filepath.Join(dir, ".env"), "secret")
	write(t, filepath.Join(outside, "secret.py"), "secret")
	if err := os.Symlink(filepath.Join(outside, "secret.py"), filepath.Join(dir, "out.py")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	w := NewFiles(root)
	if got, err := ReadPython(w, "lib/a.py", 5); err != nil || string(got) != "x = 1" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := ReadPython(w, "lib/a.py", 4); err == nil || err.Class != diag.Limit || got != nil {
		t.Errorf("over the limit: got %q, %v", got, err)
	}
	for _, path := range []string{"out.py", ".env", "../secret.py", "/etc/x.py", "lib/b.py", "lib", "lib/../.env", "lib/a.py/"} {
		if got, err := ReadPython(w, path, 100); err == nil || !errors.Is(err, fs.ErrNotExist) || got != nil {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
