package workspace_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// TestLeftOutByRule: what tools make isn't selected, unless a pattern or the ignore file names it.
func TestLeftOutByRule(t *testing.T) {
	all := []string{
		"a.py", "pkg/.venv/x.py", "pkg/b.py", "pkg/my/env/pyvenv.cfg", "pkg/my/env/y.py", "conda/conda-meta/history", "conda/z.py",
		"pkg/__pycache__/b.py", "web/node_modules/m/n.py", ".git", ".#a.py -> nobody@example.1", "drafts/d.py", "pkg/drafts/e.py", "pkg/keep.tmp",
	}
	tests := []struct {
		ignore, pattern string
		want            string // paths, or what the error has
	}{
		{"", "**/*.py", "a.py drafts/d.py pkg/b.py pkg/drafts/e.py"},
		{"", "**", "a.py drafts/d.py pkg/b.py pkg/drafts/e.py pkg/keep.tmp"},
		{"", "pkg/.venv/**", "pkg/.venv/x.py"},
		{"", "pkg/my/env/*.py", "pkg/my/env/y.py"},
		{"", "**/.venv/*.py", "pkg/.venv/x.py"},
		{"", "web/*/*/*.py", "matches no file; web/node_modules is left out, unless a pattern names it"},
		{"\ufeffdrafts/\r\n# all\r\n*.tmp\r\n", "**", ".flytestarignore a.py pkg/b.py"},
		{"/drafts", "**/*.py", "a.py pkg/b.py pkg/drafts/e.py"},
		{"drafts", "drafts/*", "drafts/d.py"},
		{"drafts", "drafts/d.py", "drafts/d.py"},
		{"drafts", "draft?/*", "matches no file; drafts is left out"},
		{"*\n!pkg/b.py", "**", "pkg/b.py"},
		{"!.venv/\n!/conda", "**/*.py", "a.py conda/z.py drafts/d.py pkg/.venv/x.py pkg/b.py pkg/drafts/e.py"},
		{"[z-a]", "a.py", ".flytestarignore: pattern \"[z-a]\": invalid range"},
		{"\xff", "a.py", ".flytestarignore: not valid UTF-8"},
		{"a\rb", "a.py", ".flytestarignore: line 1 has a carriage return"},
	}
	for _, tt := range tests {
		files := tree(all...)
		if tt.ignore != "" {
			files[workspace.IgnoreFile] = &fstest.MapFile{Data: []byte(tt.ignore)}
		}
		got, err := workspace.Include(files, ".", []string{tt.pattern})
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if text != tt.want && (err == nil || !strings.Contains(text, tt.want)) {
			t.Errorf("with %q, %q selects %s; want %s", tt.ignore, tt.pattern, text, tt.want)
		}
	}
}

// TestFolderLeavesOut: a source folder has the same rule, and patterns take things back in.
func TestFolderLeavesOut(t *testing.T) {
	files := tree("f/a", "f/.git/x", "f/venv/pyvenv.cfg", "f/venv/y", "f/__pycache__/z", "f/.#a -> nobody@example.1")
	for _, tt := range []struct {
		ignore []string
		want   string
	}{
		{nil, "a"},
		{[]string{"!venv/"}, "a venv/ venv/pyvenv.cfg venv/y"},
		{[]string{"!.git", "x"}, ".git/ a"},
	} {
		if got, err := workspace.Folder(files, "f", tt.ignore); err != nil || paths(got) != tt.want {
			t.Errorf("ignore %q: %s, %v; want %s", tt.ignore, paths(got), err, tt.want)
		}
	}
}

// TestBesidePython: what lies beside a task's file and can't be carried is left out, and said. A
// pattern of the user's that selects the same is refused.
func TestBesidePython(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"p/run.py", "p/good.py", "p/new\nline.py", "p/caf\xe9/x.py", "p/\xe9.py", "p/d.py/x.txt"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"gone.py": "nowhere", "out.py": "/etc/passwd", "loop.py": "loop.py", "dir.py": "d.py", "ok.py": "good.py"} {
		if err := os.Symlink(to, filepath.Join(dir, "p", link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "p", "pipe.py"), 0o666); err != nil {
		t.Fatal(err)
	}
	root, err := workspace.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r := workspace.NewReader(root.FS())
	task := &plan.Task{Dir: ".", Body: plan.Body{Kind: plan.BodyPython, File: "p/run.py"}}
	got, err := r.Carried(task)
	if want := []string{"p/good.py", "p/new\nline.py", "p/ok.py", "p/run.py"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("carried %q, %v; want %q", got, err, want)
	}
	var left []string
	for _, l := range r.LeftOut(task) {
		left = append(left, l.Path)
	}
	if want := []string{`"p/caf\xe9"`, "p/dir.py", "p/gone.py", "p/loop.py", "p/out.py", "p/pipe.py", `"p/\xe9.py"`}; !slices.Equal(left, want) {
		t.Errorf("left out %q; want %q", left, want)
	}
	for pattern, want := range map[string]string{
		"p/gone.*": "p/gone.py is a symbolic link to what isn't there", "p/gone.py": "p/gone.py is a symbolic link to what isn't there",
		"p/out.py": "p/out.py can't be read: it leads out of the workspace", "p/pipe.py": "p/pipe.py is neither a file nor a directory",
		"p/dir.py": "p/dir.py is a symbolic link to a directory", "p/**/*.txt": `the name "p/caf\xe9" isn't UTF-8`,
	} {
		if got, err := r.Include(".", []string{pattern}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v; want %q", pattern, got, err, want)
		}
	}
}

// TestOnlyWhatLeads: a pattern doesn't look into directories that can't have a match, so that what is
// in there is no error.
func TestOnlyWhatLeads(t *testing.T) {
	files := closed{tree("data/a.csv", "data/private/x", "runs-1/out", "other/y"), "data/private", "other"}
	for pattern, want := range map[string]string{"data/*.csv": "data/a.csv", "runs-*/*": "runs-1/out", "runs-*/**": "runs-1/out"} {
		got, err := workspace.Include(files, ".", []string{pattern})
		if text := strings.Join(got, " "); err != nil || text != want {
			t.Errorf("%s selects %s, %v; want %s", pattern, text, err, want)
		}
	}
	if _, err := workspace.Include(files, ".", []string{"data/**"}); err == nil || !strings.Contains(err.Error(), "data/private can't be read") {
		t.Errorf("got %v", err)
	}
}

// closed is a file system in which two directories can't be read.
type closed struct {
	fs.FS
	one, two string
}

func (c closed) Open(name string) (fs.File, error) {
	if name == c.one || name == c.two {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return c.FS.Open(name)
}
