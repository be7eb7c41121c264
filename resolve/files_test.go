package resolve_test

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// TestDestinations: what would take the place of a directory is found, and nothing else.
func TestDestinations(t *testing.T) {
	files := fstest.MapFS{
		"f/sub/x": {}, "f/link": {Data: []byte("sub"), Mode: fs.ModeSymlink}, "g/sub": {}, "h/link": {}, "x": {},
	}
	file := func(dst string) plan.Step { return plan.Step{Kind: plan.StepFile, Src: "x", Dst: dst} }
	folder := func(src, dst string) plan.Step { return plan.Step{Kind: plan.StepFolder, Src: src, Dst: dst} }
	command := plan.Step{Kind: plan.StepCommands, Commands: []string{"rm -r /app"}}
	workdir := plan.Step{Kind: plan.StepWorkdir, Name: "/app"}
	tests := []struct {
		steps []plan.Step
		want  string // "": nothing
	}{
		{[]plan.Step{file("/")}, ""},
		{[]plan.Step{file("/.")}, "/ is a directory of the image"},
		{[]plan.Step{folder("f", "/app"), file("/app")}, "/app is a directory of the image"},
		{[]plan.Step{folder("f", "/app"), file("/app/")}, ""},
		{[]plan.Step{folder("f", "/app"), workdir, file("sub")}, "/app/sub is a directory of the image"},
		{[]plan.Step{file("/a/b/c"), file("/a/b")}, "/a/b is a directory of the image"},
		{[]plan.Step{folder("f", "/app"), folder("g", "/app")}, "g/sub would replace /app/sub, a directory of the image"},
		{[]plan.Step{folder("f", "/app"), folder("h", "/app")}, ""},
		{[]plan.Step{folder("f", "/app"), folder("f", "/app")}, ""},
		{[]plan.Step{folder("f", "/app"), command, file("/app")}, ""},
		{[]plan.Step{folder("f", "/app"), file("/app/link/sub/y"), file("/app/link/sub")}, ""},
		{[]plan.Step{folder("f", "/usr/lib"), file("/usr/lib")}, ""}, // what comes with the base isn't known
	}
	for _, tt := range tests {
		b := newGraph("a.star")
		b.orchestrator("t", b.env("e", b.image(tt.steps...)))
		found := resolve.Check(b.graph(t), files, platform)
		got := ""
		if len(found) > 0 {
			got = found[0].Msg
		}
		if got != tt.want || len(found) > 1 {
			t.Errorf("%+v: found %v, want %q", tt.steps, found, tt.want)
		}
	}
}

// forbidden is a file system of which files whose names say so may not be read.
type forbidden struct{ fstest.MapFS }

func (f forbidden) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, "forbidden") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return f.MapFS.Open(name)
}

func (f forbidden) ReadDir(name string) ([]fs.DirEntry, error) {
	if _, err := f.Open(name); err != nil {
		return nil, err
	}
	return f.MapFS.ReadDir(name)
}

// TestForbidden: a file or directory that may not be read is found, wherever it is needed.
func TestForbidden(t *testing.T) {
	files := forbidden{fstest.MapFS{
		"f/a/forbidden": {}, "d/forbidden/x": {}, "big.py": {Data: bytes.Repeat([]byte(" "), 16<<20+1)}, "\xff/x": {}, "u/\xff": {},
		"i/.dockerignore": {Data: []byte("x\n[z-a]\n")},
	}}
	steps := []plan.Step{
		{Kind: plan.StepFile, Src: "f/a/forbidden", Dst: "/"},
		{Kind: plan.StepFolder, Src: "f", Dst: "/"},
		{Kind: plan.StepFolder, Src: "d", Dst: "/"},
		{Kind: plan.StepFolder, Src: "u", Dst: "/"},
		{Kind: plan.StepFolder, Src: "i", Dst: "/"},
		requirements("f/a/forbidden"),
	}
	b := newGraph("a.star")
	e := b.env("e", b.image(steps...))
	b.container("one", e, "f/**")
	b.container("two", e, "d/**")
	b.container("three", e, "u/*")
	b.python("four", e, "big.py")
	b.python("five", e, "f/a/forbidden")
	var got []string
	for _, f := range resolve.Check(b.graph(t), files, platform) {
		got = append(got, f.Code+" "+f.Msg)
	}
	want := `FS112 f/a/forbidden can't be read: permission denied
FS112 source folder: f/a/forbidden can't be read: permission denied
FS112 source folder: d/forbidden can't be read: permission denied
FS112 source folder: the name "u/\xff" isn't UTF-8
FS112 source folder: i/.dockerignore: pattern "[z-a]": syntax error in pattern
FS112 requirements file f/a/forbidden: permission denied
FS112 include: f/a/forbidden can't be read: permission denied
FS112 include "d/**": d/forbidden can't be read: permission denied
FS112 include "u/*": the name "u/\xff" isn't UTF-8
FS112 big.py: larger than 16777216 bytes
FS112 f/a/forbidden: permission denied`
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got\n%s\nwant\n%s", s, want)
	}
}
