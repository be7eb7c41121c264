package values

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/plan"
)

func TestResults(t *testing.T) {
	file := plan.File{Name: "a.txt", Digest: "sha256:00", Size: 3}
	path := func(plan.Value) (string, error) { return "/store/a.txt", nil }
	for _, test := range []struct {
		value      plan.Value
		text, json string
	}{
		{nil, "", "null\n"},
		{"two\nlines", "two\nlines\n", `"two\nlines"` + "\n"},
		{int64(3), "3\n", "3\n"},
		{2.0, "2.0\n", "2.0\n"},
		{true, "true\n", "true\n"},
		{[]plan.Value{"AAGG", "<a, b: c>"}, `["AAGG", "<a, b: c>"]` + "\n", `["AAGG", "<a, b: c>"]` + "\n"},
		{[]plan.Value{`"`, `\`, ","}, `["\"", "\\", ","]` + "\n", `["\"", "\\", ","]` + "\n"},
		{plan.Struct{"b": int64(1), "a": nil}, `{"a": null, "b": 1}` + "\n", `{"a": null, "b": 1}` + "\n"},
		{file, "/store/a.txt\n", `{"file": {"name": "a.txt", "digest": "sha256:00", "size": 3, "path": "/store/a.txt"}}` + "\n"},
		{[]plan.Value{plan.Dir(file)}, `["/store/a.txt"]` + "\n", `[{"dir": {"name": "a.txt", "digest": "sha256:00", "size": 3, "path": "/store/a.txt"}}]` + "\n"},
	} {
		for format, want := range map[string]string{"text": test.text, "json": test.json} {
			var b strings.Builder
			r := Printer{Format: format, Path: path}
			if err := r.Print(&b, test.value); err != nil {
				t.Errorf("%v: %v", test.value, err)
			}
			if b.String() != want {
				t.Errorf("%v in %s: got %q, want %q", test.value, format, b.String(), want)
			}
		}
	}
}

// TestOut: --out copies an artifact to a path that follows its place in the result.
func TestOut(t *testing.T) {
	store, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	source := filepath.Join(store, "blob")
	if err := os.WriteFile(source, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(source, 0o555); err != nil { // whatever the umask
		t.Fatal(err)
	}
	tree := filepath.Join(store, "tree")
	if err := os.MkdirAll(filepath.Join(tree, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(source, filepath.Join(tree, "sub", "f")); err != nil {
		t.Fatal(err)
	}
	r := &Printer{Format: "text", Out: out, Path: func(v plan.Value) (string, error) {
		if _, ok := v.(plan.Dir); ok {
			return tree, nil
		}
		return source, nil
	}}
	if err := os.Symlink("sub/f", filepath.Join(tree, "latest")); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("é", 300)
	value := map[string]plan.Value{
		long:       plan.File{Name: "a b's.txt"},
		long + "x": plan.File{Name: "a"},
		"../up":    plan.File{Name: "a"},
		"..":       plan.File{Name: "a"},
		"dirs":     []plan.Value{plan.Dir{Name: "d"}},
	}
	for range 2 { // the second time, over the files of the first
		var b strings.Builder
		if err := r.Print(&b, value); err != nil {
			t.Fatal(err)
		}
	}
	cut := func(key string) string {
		return strings.Repeat("%C3%A9", 300)[:238] + "%" + plan.DigestOf([]byte(key)).Hex()[:16]
	}
	for _, name := range []string{"..%2Fup/a", "%../a", "dirs/0/d/sub/f", "dirs/0/d/latest", cut(long) + "/a b's.txt", cut(long+"x") + "/a"} {
		got, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || string(got) != "content" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if to, err := os.Readlink(filepath.Join(out, "dirs/0/d/latest")); to != "sub/f" || err != nil {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	info, err := os.Stat(filepath.Join(out, "dirs/0/d/sub/f"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("copy of an executable has mode %v, %v", info.Mode(), err)
	}
}
