package workspace_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/workspace"
)

func TestLocate(t *testing.T) {
	root := t.TempDir()
	inner := filepath.Join(root, "a", "b")
	must(t, os.MkdirAll(inner, 0o777))
	file := filepath.Join(inner, "wf.star")
	if _, _, err := workspace.LocateFile("", file); err == nil {
		t.Error("a file that isn't there is taken")
	}
	must(t, os.WriteFile(file, nil, 0o666))
	check := func(asked, wantDir, wantModule string) {
		t.Helper()
		if dir, module, err := workspace.LocateFile(asked, file); err != nil || dir != wantDir || module != wantModule {
			t.Errorf("LocateFile(%q) = %q, %q, %v; want %q, %q", asked, dir, module, err, wantDir, wantModule)
		}
	}
	check("", inner, "wf.star")
	check(root, root, "a/b/wf.star")
	must(t, os.WriteFile(filepath.Join(root, workspace.Marker), nil, 0o666))
	check("", root, "a/b/wf.star")
	must(t, os.WriteFile(filepath.Join(root, "a", workspace.Marker), nil, 0o666))
	check("", filepath.Join(root, "a"), "b/wf.star")
	if _, _, err := workspace.LocateFile(t.TempDir(), file); err == nil {
		t.Error("a file out of the workspace is taken")
	}
}

// TestRoot: the files of a workspace are those of its directory, but for the home directory.
func TestRoot(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.py", "lib/b.py", "lib/home/images/c.py"} {
		file := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o777))
		must(t, os.WriteFile(file, []byte(name), 0o666))
	}
	must(t, os.Symlink("a.py", filepath.Join(dir, "link.py")))
	root, err := workspace.Open(dir, filepath.Join(dir, "lib", "home"))
	must(t, err)
	defer root.Close()
	if err := fstest.TestFS(root.FS(), "a.py", "lib/b.py"); err != nil {
		t.Error(err)
	}
	if got, err := workspace.Include(root.FS(), ".", []string{"**/*.py"}); err != nil || len(got) != 3 {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := workspace.Folder(root.FS(), "lib", nil); err != nil || paths(got) != "b.py" {
		t.Errorf("got %s, %v", paths(got), err)
	}
	if _, err := fs.Stat(root.FS(), "../x"); err == nil {
		t.Error("a path leads out of the workspace")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
