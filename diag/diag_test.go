package diag_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
)

func TestErrorf(t *testing.T) {
	e := diag.Errorf(diag.Position{File: "a.star", Line: 3}, diag.Usage, "no %s: %w", "task", fs.ErrNotExist)
	if got, want := e.Error(), "a.star:3: no task: file does not exist"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if !errors.Is(e, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
}

func TestListAsError(t *testing.T) {
	warning := &diag.Error{Severity: diag.SeverityWarning, Msg: "w"}
	cause := &diag.Error{Code: "FS101", Msg: "m", Err: fs.ErrExist}
	tests := []struct {
		list diag.List
		want string // "" for none
	}{
		{nil, ""},
		{diag.List{warning}, ""},
		{diag.List{cause}, "m [FS101]"},
		{diag.List{warning, cause}, "w (and 1 more)"},
	}
	for _, tt := range tests {
		err := tt.list.Err()
		if (err != nil) != (tt.want != "") || err != nil && err.Error() != tt.want {
			t.Errorf("%v.Err() = %v, want %q", tt.list, err, tt.want)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			t.Errorf("%v hides its causes", err)
		}
	}
}

func TestListSort(t *testing.T) {
	at := func(file string, line, col int, code, msg string) *diag.Error {
		return &diag.Error{Pos: diag.Position{File: file, Line: line, Col: col}, Code: code, Msg: msg}
	}
	want := diag.List{at("a", 1, 1, "A", "a"), at("a", 1, 1, "A", "b"), at("a", 1, 1, "B", "a"), at("a", 1, 2, "A", "a"), at("a", 2, 1, "A", "a"), at("b", 1, 1, "A", "a")}
	got := diag.List{want[5], want[3], want[1], want[4], want[2], want[0]}
	got.Sort()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("[%d] = %v, want %v", i, got[i], want[i])
		}
	}
}

// TestRender compares the output with testdata/render.txt. UPDATE=1 writes the file.
func TestRender(t *testing.T) {
	lines := func(file string) []string {
		switch file {
		case "a.star":
			return []string{"x = 1", "\tmsa = run_msa(sequence)", "größe = läng(1)", "evil = \"\x1b[2J\"", strings.Repeat("x", 500)}
		}
		return nil
	}
	at := func(line, col int) diag.Position { return diag.Position{File: "a.star", Line: line, Col: col} }
	l := diag.List{
		{Pos: at(2, 8), Code: "FS101", Msg: "task calls another", Hint: "add it\nto depends_on",
			Notes: []diag.Note{{Pos: at(1, 1), Msg: "the list"}, {Msg: "nowhere"}}},
		{Pos: at(3, 9), Severity: diag.SeverityWarning, Msg: "columns are runes"},
		{Pos: at(3, 9), Severity: diag.SeverityInfo, Msg: "worth knowing"},
		{Pos: at(3, 900), Msg: "a column beyond the line"},
		{Pos: at(3, 0), Msg: "no column"},
		{Pos: at(0, 5), Msg: "no line"},
		{Pos: at(99, 1), Msg: "a line beyond the file"},
		{Pos: at(-7, -7), Msg: "a negative line"},
		{Pos: at(4, 3), Msg: "control characters \x1b[31m in \x00 message \xff and source"},
		{Pos: at(5, 3), Msg: "a long line"},
		{Pos: diag.Position{File: "none.star", Line: 1, Col: 1}, Msg: "a file that can't be read"},
		{Msg: "no position"},
		{Pos: at(1, 1), Msg: "lines\nb.star:1:1: of it\n  hint: fake", Notes: []diag.Note{{Msg: "a\nnote"}}},
		{Pos: diag.Position{File: "a\nb.star", Line: 1, Col: 1}, Msg: "a file's name"},
	}
	var b strings.Builder
	if err := diag.Render(&b, l, lines); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "render.txt")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, fs.ErrClosed }

func TestRenderReportsWriteErrors(t *testing.T) {
	if err := diag.Render(brokenPipe{}, diag.List{{Msg: "m"}}, nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("err = %v", err)
	}
}

// FuzzRender: no position, source or message makes Render panic or write a control character.
func FuzzRender(f *testing.F) {
	f.Add("a.star", 1, 1, "x = 1\ny = 2", "message")
	f.Add("", -1, 1<<40, "\t\xff\r\n", "\x1b[2J")
	f.Fuzz(func(t *testing.T, file string, line, col int, source, msg string) {
		var b strings.Builder
		e := &diag.Error{Pos: diag.Position{File: file, Line: line, Col: col}, Msg: msg, Hint: source, Notes: []diag.Note{{Msg: msg}}}
		if err := diag.Render(&b, diag.List{e}, func(string) []string { return strings.Split(source, "\n") }); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(b.String(), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == 0x9b }); i >= 0 {
			t.Errorf("control character in %q", b.String())
		}
	})
}

func TestSuggest(t *testing.T) {
	names := []string{"image", "task", "task_environment", "input", "resources", "File", "Dir", "any", "main", "x"}
	tests := []struct{ name, want string }{
		{"imgae", "image"},
		{"task_enviroment", "task_environment"},
		{"file", "File"},
		{"FILE", "File"},
		{"tasks", "task"},
		{"mian", "main"},
		{"image", ""}, // itself is no suggestion
		{"cow", ""},
		{"y", ""},
		{"", ""},
		{"completely_other", ""},
		{strings.Repeat("x", 1<<20), ""},
	}
	for _, tt := range tests {
		if got := diag.Suggest(tt.name, names); got != tt.want {
			t.Errorf("Suggest(%.20q) = %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := diag.Suggest("run_msa", []string{"run_fsa", "run_mas", "run_msb"}); got != "run_fsa" {
		t.Errorf("of equally near names got %q, want the first", got)
	}
}
