package workspace_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/internal/python"
	"github.com/flytestar/flytestar/workspace"
)

func tree(names ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, n := range names {
		if name, target, ok := strings.Cut(n, " -> "); ok {
			files[name] = &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
			continue
		}
		files[n] = &fstest.MapFile{Data: []byte(n), Mode: 0o640}
	}
	return files
}

func paths(list []workspace.Entry) string {
	var names []string
	for _, e := range list {
		switch {
		case e.Dir:
			names = append(names, e.Path+"/")
		case e.Link != "":
			names = append(names, e.Path+"@")
		default:
			names = append(names, e.Path)
		}
	}
	return strings.Join(names, " ")
}

func TestFolder(t *testing.T) {
	files := tree("f/a.py", "f/b/c.py", "f/b/c.pyc", "f/b/link.py -> ../a.py", "f/build/x", "f/keep/build/y", "g/z")
	tests := []struct {
		folder string
		ignore []string
		docker string
		want   string
	}{
		{"f", nil, "", "a.py b/ b/c.py b/c.pyc b/link.py@ build/ build/x keep/ keep/build/ keep/build/y"},
		{"f", []string{"build", "*.pyc"}, "", "a.py b/ b/c.py b/link.py@ keep/"},
		{"f", []string{"/build/"}, "", "a.py b/ b/c.py b/c.pyc b/link.py@ keep/ keep/build/ keep/build/y"},
		{"f", []string{"a.py/"}, "", "a.py b/ b/c.py b/c.pyc b/link.py@ build/ build/x keep/ keep/build/ keep/build/y"},
		{"f", nil, "# comment\nbuild\n*.pyc\n", ".dockerignore a.py b/ b/c.py b/c.pyc b/link.py@ keep/ keep/build/ keep/build/y"},
		{"f", []string{"*", "!b/**", "!b", "b/c.py[co]"}, "", "b/ b/c.py b/link.py@"},
		{"f", []string{"!a.py", `\a.py`, "k??p", "[!ak]*"}, "*", ""},
		{".", []string{"f"}, "", "g/ g/z"},
	}
	for _, tt := range tests {
		m := fstest.MapFS{}
		for k, v := range files {
			m[k] = v
		}
		if tt.docker != "" {
			m["f/.dockerignore"] = &fstest.MapFile{Data: []byte(tt.docker)}
		}
		got, err := workspace.Folder(m, tt.folder, tt.ignore)
		if err != nil || paths(got) != tt.want {
			t.Errorf("Folder(%s, %q, %q) = %s, %v; want %s", tt.folder, tt.ignore, tt.docker, paths(got), err, tt.want)
		}
	}
}

func TestFolderRefuses(t *testing.T) {
	tests := []struct {
		files  fstest.MapFS
		ignore []string
		want   string
	}{
		{tree("f/x -> ../secret"), nil, "out of f"},
		{tree("f/x -> /etc/passwd"), nil, "out of f"},
		{tree("f/d/x -> a/../../../g"), nil, "out of f"},
		{fstest.MapFS{"f/pipe": {Mode: fs.ModeNamedPipe}}, nil, "f/pipe is neither"},
		{fstest.MapFS{"f/.dockerignore": {Mode: fs.ModeNamedPipe}}, nil, "f/.dockerignore: not a regular file"},
		{fstest.MapFS{"f/.dockerignore": {Data: []byte("a\n[b")}}, nil, `f/.dockerignore: pattern "[b"`},
		{fstest.MapFS{"f/.dockerignore": {Data: []byte("# a\rsecret\n")}}, nil, "f/.dockerignore: line 1 has a carriage return without a newline"},
		{tree("f/x"), make([]string, 10_001), "more than 10000"},
		{tree("g/x"), nil, "not exist"},
		{tree("f/x"), []string{"[a"}, `pattern "[a": a [ without its ]`},
		{tree("f/x"), []string{"[z-a]"}, "invalid range z-a in [z-a]"},
	}
	for _, tt := range tests {
		if got, err := workspace.Folder(tt.files, "f", tt.ignore); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, %v; want error %q", got, err, tt.want)
		}
	}
	if got, err := workspace.Folder(tree("f/x -> /etc/passwd", "f/y"), "f", []string{"x"}); err != nil || paths(got) != "y" {
		t.Errorf("an ignored link: %v, %v", got, err)
	}
}

// TestFolderOnDisk is the same through os.Root, whose links are the system's.
func TestFolderOnDisk(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "f"), 0o777),
		os.WriteFile(filepath.Join(dir, "f", "run.sh"), nil, 0o755),
		os.WriteFile(filepath.Join(dir, "f", "data"), nil, 0o644),
		os.Symlink("run.sh", filepath.Join(dir, "f", "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	got, err := workspace.Folder(root.FS(), "f", nil)
	want := []workspace.Entry{{Path: "data"}, {Path: "link", Link: "run.sh"}, {Path: "run.sh", Executable: true}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestReadRequirements(t *testing.T) {
	files := fstest.MapFS{
		"req/main.txt": {Data: []byte("\ufeff# top\r\nNumPy>=2 # why\r\nrequests[Socks, security]==2.1 \\\r\n  --global-option=x\r\n" +
			"-r more.txt\n--constraint=../pins.txt\n--index-url https://example.org/simple\n-e git+https://example.org/r\n/opt/x.whl\nhttps://example.org/y.whl\n" +
			"pkg @ https://example.org/p#egg ; python_version > '3'\n")},
		"req/more.txt": {Data: []byte("zope.Interface\n--requirem=late.txt\n-cpins.txt\n")},
		"pins.txt":     {Data: []byte("only-a-constraint==1\n")},
		"req/pins.txt": {Data: []byte("neither==1\n-r late.txt")},
		"req/late.txt": {Data: []byte("nor==1\n")},
	}
	got, err := workspace.ReadRequirements(files, "req/main.txt")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"NumPy>=2", "requests[Socks, security]==2.1", "pkg @ https://example.org/p#egg ; python_version > '3'", "zope.Interface", "nor==1"}; !slices.Equal(got.Packages, want) {
		t.Errorf("packages %q, want %q", got.Packages, want)
	}
	if want := []string{"only-a-constraint==1", "neither==1", "nor==1"}; !slices.Equal(got.Constraints, want) {
		t.Errorf("constraints %q, want %q", got.Constraints, want)
	}
	if want := []string{"req/main.txt", "req/more.txt", "pins.txt", "req/late.txt", "req/pins.txt", "req/late.txt"}; !slices.Equal(got.Files, want) {
		t.Errorf("files %q, want %q", got.Files, want)
	}
}

// manyIncludes are more bytes than one requirements file may come to.
var manyIncludes = func() (s string) {
	for i := range 20 {
		s += fmt.Sprintf("-r big%d.txt\n", i)
	}
	return s
}()

func TestReadRequirementsRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"-r ../../etc/passwd", "out of the workspace"},
		{"-r /etc/passwd", "out of the workspace"},
		{"--requirement https://example.org/r.txt", "only files of the workspace"},
		{"-r none.txt", "none.txt"},
		{"-r pipe", "not a regular file"},
		{"\xff", "not valid UTF-8"},
		{"a\r\n# note\rb", "d/r.txt: line 2 has a carriage return without a newline"},
		{"# note\x0cb", "line 1 has the character U+000C, which ends a line for some programs"},
		{"a\n# note\u2028b", "line 2 has the character U+2028, which ends a line for some programs"},
		{"nu\u200bmpy", "line 1 has the character U+200B, which can't be seen"},
		{strings.Repeat("x", 1<<20+1), "larger than"},
		{"a\nnumpy = 1.26\n", "pinned with =="},
		{"-e ./local", `"./local" is a path in the workspace`},
		{"--editable=lib", `"lib" is a path in the workspace`},
		{"./x.whl", `"./x.whl" is a path in the workspace`},
		{"foo-1.0-py3-none-any.whl", "is a path in the workspace"},
		{"pkg @ ../pkg", `"../pkg" is a path in the workspace`},
		{"--find-links ./wheels\na", `--find-links "./wheels" is a path in the workspace`},
		{"--no-index --find-links=wheels\na", `--find-links "wheels" is a path in the workspace`},
		{"-fwheels", `-f "wheels" is a path in the workspace`},
		{"--find 'wheels'", `--find-links "wheels" is a path in the workspace`},
		{"-i simple", `-i "simple" is a path in the workspace`},
		{"--extra-index-url ../simple", "is a path in the workspace"},
		{"--edit .", `"." is a path in the workspace`},
		{"--pre -r other.txt", "a line of its own"},
		{"--p", "pip's option --p could be --prefer-binary or --pre"},
		{"-r r.txt", "d/r.txt: it includes itself: d/r.txt includes d/r.txt"},
		{"-r again.txt", "d/again.txt: it includes itself: d/again.txt includes d/third.txt includes d/again.txt"},
		{"--upgrade", "pip has no option --upgrade"},
		{"-q", "pip has no option -q"},
		{"a==1 --hash=sha256:00\nb==2", "b has no --hash, though others have"},
		{"a==1 --hash=sha256:00\nhttps://example.org/y.whl", "https://example.org/y.whl has no --hash"},
		{"a>=1 --hash=sha256:00", `"a>=1" has a --hash, but no exact version`},
		{"--require-hashes\na==1", "a has no --hash"},
		{manyIncludes, "with what is included"},
	}
	for _, tt := range tests {
		files := fstest.MapFS{"d/r.txt": {Data: []byte(tt.text)}, "d/pipe": {Mode: fs.ModeNamedPipe},
			"d/again.txt": {Data: []byte("-c third.txt")}, "d/third.txt": {Data: []byte("-r again.txt")}}
		for i := range 20 {
			files[fmt.Sprintf("d/big%d.txt", i)] = &fstest.MapFile{Data: bytes.Repeat([]byte("#"), 1<<20)}
		}
		if got, err := workspace.ReadRequirements(files, "d/r.txt"); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: got %v, %v; want error %q", tt.text, got, err, tt.want)
		}
	}
}

// TestHashes: hashes that pip takes are no error.
func TestHashes(t *testing.T) {
	for _, text := range []string{
		"a==1 --hash=sha256:00\nb===2 --hash sha256:00",
		"a @ https://example.org/a.whl --hash=sha256:00",
		"a==1 --hash=sha256:00\nb==2\n-c pins.txt",
		"--no-index --find-links https://example.org/ --pre\n-f /opt/wheels\n-f 'file:///opt/wheels'\na==1",
		"-r pins.txt\n-c pins.txt\n-r other.txt",
		"-ihttps://example.org/simple\n--extra-index https://example.org\n--pre\na",
	} {
		files := fstest.MapFS{"r.txt": {Data: []byte(text)}, "pins.txt": {Data: []byte("b==2 --hash=sha256:00\n")},
			"other.txt": {Data: []byte("-r pins.txt")}}
		if _, err := workspace.ReadRequirements(files, "r.txt"); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzReadRequirements: no file makes it panic, and every package has a name.
func FuzzReadRequirements(f *testing.F) {
	f.Add([]byte("a[b]>=1 --hash=x\n-r r.txt\n-c other\\\n.txt"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := workspace.ReadRequirements(fstest.MapFS{"r.txt": {Data: data}}, "r.txt")
		if err != nil {
			return
		}
		for _, p := range got.Packages {
			if r, err := python.ParseRequirement(p); err != nil || r.Name == "" || r.Text != p {
				t.Errorf("%q: %+v, %v", p, r, err)
			}
		}
	})
}

// FuzzIgnore: no pattern makes it panic, or keeps it busy for ever. A pattern leaves out a member,
// or it doesn't, and nothing else changes.
func FuzzIgnore(f *testing.F) {
	f.Add("!a/**/[!b]?*\\*", "a/b", true)
	f.Add("x", "/a", true) // no member has such a name
	f.Add("**a**/{b,c}", "xa/y", false)
	f.Fuzz(func(t *testing.T, pattern, name string, docker bool) {
		if !fs.ValidPath(name) || name == "." || strings.Contains(name, "\x00") {
			return
		}
		files, own := tree("f/"+name), []string{pattern}
		if docker {
			files["f/.dockerignore"], own = &fstest.MapFile{Data: []byte(pattern)}, nil
		}
		got, err := workspace.Folder(files, "f", own)
		if err != nil {
			return
		}
		for _, e := range got {
			if e.Path != name && e.Path != ".dockerignore" && !strings.HasPrefix(name, e.Path+"/") {
				t.Errorf("%q leaves %s, which isn't there", pattern, e.Path)
			}
		}
	})
}

// FuzzInclude: no pattern makes it panic, and what it selects is there.
func FuzzInclude(f *testing.F) {
	f.Add("a/**/[!b]?*\\*", "a/b")
	f.Add("**.py", "a/b.py")
	f.Add("//{a,b}/**", "a/b")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !fs.ValidPath(name) || name == "." || strings.Contains(name, " -> ") {
			return
		}
		if got, err := workspace.Include(tree(name), ".", []string{pattern}); err == nil && !slices.Equal(got, []string{name}) {
			t.Errorf("%q selects %q of %q", pattern, got, name)
		}
	})
}
