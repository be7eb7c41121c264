package workspace_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/workspace"
)

func TestInclude(t *testing.T) {
	files := tree("a.py", "lib/b.py", "lib/deep/c.py", "lib/data.csv", ".git/hook.py", "lib/.git/x.py", "odd[1].py")
	tests := []struct {
		dir      string
		patterns []string
		want     string // paths, or what the error has
	}{
		{".", []string{"**/*.py"}, "a.py lib/b.py lib/deep/c.py odd[1].py"},
		{"lib", []string{"**/*.py"}, "lib/b.py lib/deep/c.py"},
		{"lib", []string{"*.py", "//a.py", "../a.py", "b.py"}, "a.py lib/b.py"},
		{".", []string{"lib/**"}, "lib/b.py lib/data.csv lib/deep/c.py"},
		{".", []string{"l?b/d*"}, "lib/data.csv"},
		{".", []string{`odd\[1\].py`}, "odd[1].py"},
		{".", nil, ""},
		{".", []string{"*.txt"}, "matches no file"},
		{".", []string{"nowhere/x"}, "matches no file"},
		{".", []string{"a.py", "lib"}, "matches only directories"},
		{"lib", []string{"../../etc/passwd"}, "leads out of the workspace"},
		{".", []string{"///etc/passwd"}, "leads out of the workspace"},
		{".", []string{"[a"}, "a [ without its ]"},
	}
	for _, tt := range tests {
		got, err := workspace.Include(files, tt.dir, tt.patterns)
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if text != tt.want && (err == nil || tt.want == "" || !strings.Contains(text, tt.want)) {
			t.Errorf("Include(%q, %q) = %s; want %s", tt.dir, tt.patterns, text, tt.want)
		}
	}
}

// TestIncludeLinks: through os.Root a link counts as its file, and none leads out.
func TestIncludeLinks(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret.py")
	for _, name := range []string{filepath.Join(dir, "a.py"), outside} {
		if err := os.WriteFile(name, []byte("x = 1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.Symlink("a.py", filepath.Join(dir, "b.py")); err != nil {
		t.Fatal(err)
	}
	got, err := workspace.Include(root.FS(), ".", []string{"*.py"})
	if err != nil || strings.Join(got, " ") != "a.py b.py" {
		t.Errorf("got %q, %v; want the file and the link to it", got, err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "broken.py")); err != nil {
		t.Fatal(err)
	}
	if got, err := workspace.Include(root.FS(), ".", []string{"*.py"}); err == nil {
		t.Errorf("a broken link is passed over: %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "broken.py")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "c.py")); err != nil {
		t.Fatal(err)
	}
	if got, err := workspace.Include(root.FS(), ".", []string{"*.py"}); err == nil {
		t.Errorf("a link out of the workspace is carried: %q", got)
	}
}

// TestGlob: what patterns match. A "**" spans directories wherever it stands.
func TestGlob(t *testing.T) {
	files := tree("a.py", "lib/b.py", "lib/deep/c.py", "lib/x{y}", "lib/[z]", "libx/d.py", "odd\\name")
	tests := []struct{ pattern, want string }{
		{"lib/**.py", "lib/b.py lib/deep/c.py"},
		{"**.py", "a.py lib/b.py lib/deep/c.py libx/d.py"},
		{"***.py", "a.py lib/b.py lib/deep/c.py libx/d.py"},
		{"lib**", "lib/[z] lib/b.py lib/deep/c.py lib/x{y} libx/d.py"},
		{"lib**/d.py", "libx/d.py"},
		{"**/deep/**", "lib/deep/c.py"},
		{"lib/**/*.py", "lib/b.py lib/deep/c.py"},
		{"lib/x{y}", "lib/x{y}"},
		{"lib/{b,c}.py", "matches no file"},
		{"lib/[[]z]", "lib/[z]"},
		{"[a-b].py", "a.py"},
		{"[!b-z].py", "a.py"},
		{"*[!x]*.py", "a.py"}, // not "/"
		{"[^/-].py", "a.py"},
		{"lib/b**", "lib/b.py"},
		{`odd[\]name`, `odd\name`},
		{`odd\\name`, `odd\name`},
		{"a.py/**", "matches no file"},
		{"a**b", "a ** within a name"},
		{"[]", "a [ without its ]"},
		{"[!]", "a [ without its ]"},
		{strings.Repeat("a", 4097), "more than 4096"},
	}
	for _, tt := range tests {
		got, err := workspace.Include(files, ".", []string{tt.pattern})
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if text != tt.want && (err == nil || !strings.Contains(text, tt.want)) {
			t.Errorf("%.100q selects %s; want %s", tt.pattern, text, tt.want)
		}
	}
}

// TestBudget: patterns that would take for ever are an error, over all questions to one reader.
func TestBudget(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, strings.Repeat("aa/", 100)+fmt.Sprint(i))
	}
	r := workspace.NewReader(tree(names...))
	hostile := strings.Repeat("*a", 2000)
	var err error
	for i := range 200 {
		_, err = r.Include(".", []string{fmt.Sprintf("**/%s%d", hostile, i)})
		if err != nil && !strings.Contains(err.Error(), "matches no file") {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "too many patterns for so many files") {
		t.Errorf("got %v", err)
	}
	if _, err := r.Folder("aa", []string{"**/" + hostile}); err == nil || !strings.Contains(err.Error(), "too many patterns") {
		t.Errorf("another question: %v", err)
	}
}
