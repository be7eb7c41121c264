package interp

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/startest"
	"github.com/flytestar/flytestar/plan"
)

// loadLanguage is a language for tests of loading.
func loadLanguage() Language {
	const local = "test.module"
	builtin := func(name string, f func(th *starlark.Thread, args starlark.Tuple) (starlark.Value, error)) *starlark.Builtin {
		return starlark.NewBuiltin(name, func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			return f(th, args)
		})
	}
	return Language{
		ModuleLocal: local,
		Predeclared: starlark.StringDict{
			"image":  starlarkstruct.FromStringDict(starlark.String("image"), nil),
			"thing":  starlark.None,
			"struct": starlark.NewBuiltin("struct", starlarkstruct.Make),
			"module_path": builtin("module_path", func(th *starlark.Thread, _ starlark.Tuple) (starlark.Value, error) {
				return starlark.String(th.Local(local).(string)), nil
			}),
			"host": builtin("host", func(_ *starlark.Thread, args starlark.Tuple) (starlark.Value, error) {
				return nil, hostError(string(args[0].(starlark.String)))
			}),
		},
		Finished: func(_ *starlark.Thread, m *Module) error {
			if m.Globals.Has("finished_badly") {
				for _, pos := range m.Summary.Globals() {
					return diag.Errorf(position(pos), "", "finished badly")
				}
			}
			return nil
		},
	}
}

func hostError(kind string) error {
	switch kind {
	case "finding":
		return &diag.Error{Msg: "a finding", Code: "FS199", Hint: "do this"}
	case "positioned":
		return &diag.Error{Msg: "elsewhere", Pos: diag.Position{File: startest.Entry, Line: 14}}
	case "two":
		return fmt.Errorf("wrapped: %w", diag.List{{Msg: "one"}, {Msg: "two"}})
	}
	return errors.New(kind)
}

func TestLoad(t *testing.T) {
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		for _, chunk := range startest.Read(t, file) {
			t.Run(chunk.Name, func(t *testing.T) {
				_, err := Loader{Language: loadLanguage(), Limits: Limits{Steps: 1_000_000}}.Load(&chunk, startest.Entry)
				chunk.Match(t, err)
			})
		}
	}
}

// files is a Source.
type files map[string]string

func (f files) ReadModule(path string) ([]byte, error) {
	s, ok := f[path]
	if !ok {
		return nil, &diag.Error{Msg: "no module " + path}
	}
	return []byte(s), nil
}

func TestLoadOrder(t *testing.T) {
	source := files{
		"main.star": "load('a.star', 'a')\nload('b.star', 'b')\nc = a + b\nc.append(1)",
		"a.star":    "load('b.star', 'b')\na = b + []",
		"b.star":    "b = [1]",
	}
	p, err := Loader{Language: loadLanguage()}.Load(source, "main.star")
	if err != nil {
		t.Fatal(err)
	}
	m := p.Entry
	var order []string
	for _, m := range p.Modules {
		order = append(order, m.Path)
	}
	if got := strings.Join(order, " "); got != "b.star a.star main.star" {
		t.Errorf("order is %s", got)
	}
	if m.Path != "main.star" || m.Globals["c"].String() != "[1, 1, 1]" || len(m.Globals) != 1 {
		t.Errorf("got %s with globals %v", m.Path, m.Globals)
	}
	if err := m.Globals["c"].(*starlark.List).Append(starlark.None); err == nil {
		t.Error("the entry's globals aren't frozen")
	}
	if len(m.Loads) != 2 || m.Loads[1].Path != "b.star" || m.Loads[1].Pos != (diag.Position{File: "main.star", Line: 2, Col: 6}) {
		t.Errorf("loads are %v", m.Loads)
	}
	if m.Digest != plan.DigestOf([]byte(source["main.star"])) {
		t.Errorf("digest %s", m.Digest)
	}
}

// compiledFiles gives one module compiled, whatever its source.
type compiledFiles struct {
	files
	module []byte
}

func (c compiledFiles) ReadCompiled(string) (source, module []byte, err error) {
	return nil, c.module, nil
}

// TestCompiled: a module that is given in its compiled form is executed as its source would be.
func TestCompiled(t *testing.T) {
	c := Compiler{Predeclared: loadLanguage().Predeclared.Keys()}
	if module, err := c.Compile("main.star", []byte("x = undefined")); module != nil || err != nil {
		t.Errorf("of a module with findings: %d bytes, %v", len(module), err)
	}
	module, err := c.Compile("main.star", []byte("a = 1\nb = [a, thing]"))
	if err != nil || module == nil {
		t.Fatal(module, err)
	}
	load := func(module []byte) (*Program, error) {
		return Loader{Language: loadLanguage()}.Load(compiledFiles{module: module}, "main.star")
	}
	p, err := load(module)
	if err != nil || p.Entry.Globals["b"].String() != "[1, None]" {
		t.Errorf("got %v, %v", p, err)
	}
	var e *diag.Error
	if _, err := load(module[:len(module)/2]); !errors.As(err, &e) || e.Class != diag.System {
		t.Errorf("of half of it: %v", err)
	}
}

// TestRefusedSource has sources that can't be files of this repository, or are too large for that.
func TestRefusedSource(t *testing.T) {
	chain := func(first, link string, n int) string { return "x = " + first + strings.Repeat(link, n) }
	elif := "if 0:\n  pass\n" + strings.Repeat("elif 0:\n  pass\n", 50_000)
	tests := []struct{ name, source, want string }{
		{"nul", "x = 1\ny\x00 = 2\nbad", "t.star:2:2: source has a NUL byte"},
		{"utf8", "x = '\xff'", "t.star:1:6: source isn't valid UTF-8 (byte 0xff)"},
		{"bidi", "é = 1 # \u202e", "t.star:1:9: source has the bidirectional control U+202E, which makes text read otherwise than it runs"},
		{"carriage return", "a = 1\r\n# note \rb = 2", "t.star:2:8: source has a carriage return without a newline, which ends a line for some programs and not for others"},
		{"vertical tab", "a = 1 # \vb = 2", "t.star:1:9: source has the character U+000B, which ends a line"},
		{"line separator", "a = '\u2028'", "t.star:1:6: source has the character U+2028, which ends a line"},
		{"escape", "\ufeffa = '\x1b[2K'", "t.star:1:6: source has the control character U+001B, which terminals obey and don't show"},
		{"invisible", "a = '\u200b'", "t.star:1:6: source has the character U+200B, which can't be seen"},
		{"letter without a look", "\u3164 = 1", "t.star:1:1: source has the character U+3164, which can't be seen"},
		{"mark within", "a = 1\n\ufeffb = 2", "t.star:2:1: source has the character U+FEFF, which can't be seen"},
		{"size", strings.Repeat("#", 1<<20+1), "t.star: source is larger than 1048576 bytes"},
		{"minus", chain("1", "-1", 200_000), "syntax nests deeper than 1000"},
		{"dots", chain("a", ".b", 200_000), "syntax nests deeper than 1000"},
		{"calls", chain("f", "()", 200_000), "syntax nests deeper than 1000"},
		{"index", chain("x", "[0]", 200_000), "syntax nests deeper than 1000"},
		{"slice", chain("x", "[:]", 200_000), "syntax nests deeper than 1000"},
		{"or", chain("a", " or a", 200_000), "syntax nests deeper than 1000"},
		{"elif", elif, "syntax nests deeper than 1000"},
		{"parens", "x = " + strings.Repeat("(", 100_000), "nesting"},
		{"entry", "", "t.star"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source := files{"t.star": test.source}
			if test.name == "entry" {
				source = files{}
			}
			_, err := Loader{Language: loadLanguage()}.Load(source, "t.star")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %.200v, want %s", err, test.want)
			}
		})
	}
}

func TestEntryPath(t *testing.T) {
	for _, entry := range []string{"../x.star", "/x.star", "x.json", "a/./x.star", ""} {
		var e *diag.Error
		if _, err := (Loader{Language: loadLanguage()}).Load(files{entry: ""}, entry); !errors.As(err, &e) || e.Class != diag.Usage {
			t.Errorf("%q: got %v, want a usage error", entry, err)
		}
	}
}

func TestLimits(t *testing.T) {
	many := files{"main.star": ""}
	for i := range 10 {
		many["main.star"] += fmt.Sprintf("load('m%d.star', 'x')\n", i)
		many[fmt.Sprintf("m%d.star", i)] = "x = 1"
	}
	spin := files{"main.star": "for x in range(100000000):\n  pass"}
	// It grows in small steps, so that a look at memory comes in time. Only the kernel could stop a
	// doubling.
	grow := files{"main.star": "a = []\nfor x in range(100000000):\n  a.append('x' * 1000)"}
	tests := []struct {
		source files
		limits Limits
		want   error
		msg    string
	}{
		{spin, Limits{Steps: 7}, ErrSteps, "loading took more than 7 steps"},
		{spin, Limits{Steps: 1 << 60, Wall: 50 * time.Millisecond}, ErrWall, "loading took longer than 50ms"},
		{grow, Limits{Steps: 1 << 60, Memory: 64 << 20, Wall: time.Minute}, ErrMemory, "evaluation needs more than 64 MiB of memory"},
		{many, Limits{Modules: 10}, ErrModules, "more than 10 modules are loaded"},
	}
	for _, test := range tests {
		_, err := Loader{Language: loadLanguage(), Limits: test.limits}.Load(test.source, "main.star")
		var e *diag.Error
		if !errors.As(err, &e) || !errors.Is(err, test.want) || e.Msg != test.msg || e.Class != diag.Limit || e.Hint == "" || e.Pos.Line == 0 {
			t.Errorf("got %#v, want %q", e, test.msg)
		}
	}
	if _, err := (Loader{Language: loadLanguage(), Limits: Limits{Modules: 11}}).Load(many, "main.star"); err == nil || strings.Contains(err.Error(), "modules are") {
		t.Errorf("eleven modules: %v", err) // the name x is bound ten times, which is all that is wrong
	}
}

// TestExactSteps finds how many steps a file takes, and shows that one fewer isn't enough.
func TestExactSteps(t *testing.T) {
	source := files{"main.star": "for x in range(5000):\n  pass"}
	fits := func(steps uint64) bool {
		_, err := Loader{Language: loadLanguage(), Limits: Limits{Steps: steps}}.Load(source, "main.star")
		return err == nil
	}
	low, high := uint64(1), uint64(1_000_000)
	for low+1 < high {
		if mid := (low + high) / 2; fits(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	if high < 5000 || high > 50_000 || fits(high-1) || !fits(high+1) {
		t.Errorf("boundary at %d", high)
	}
}

func FuzzModulePath(f *testing.F) {
	f.Add("a/b.star", "../c.star")
	f.Add("a.star", "//x/../y.star")
	f.Add("a.star", "//\x00.star")
	f.Fuzz(func(t *testing.T, from, name string) {
		if CheckPath(from) != nil {
			return
		}
		p, err := ModulePath(from, name)
		if err != nil {
			return
		}
		if err := CheckPath(p); err != nil {
			t.Errorf("ModulePath(%q, %q) = %q: %v", from, name, p, err)
		}
		if again, err := ModulePath("other/place.star", "//"+p); err != nil || again != p {
			t.Errorf("//%s means %q, %v", p, again, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("load('a.star', 'b')\ndef f(x):\n  return [y for y in x if y] + {1: 2}[1:2]\n"))
	f.Add([]byte("x = lambda a, *b, **c: a.b(c=1)[0] if not a else -1"))
	f.Fuzz(func(t *testing.T, source []byte) {
		tree, err := parse("f.star", source, Limits{Source: 1 << 16, Nesting: 50})
		if err == nil && (bytes.Contains(source, []byte{0}) || tree == nil) {
			t.Error("accepted")
		}
		if err != nil && !strings.HasPrefix(err.Pos.File, "f.star") {
			t.Errorf("no position: %v", err)
		}
	})
}

// TestMark: a module may begin with a byte order mark, which is no column.
func TestMark(t *testing.T) {
	_, err := Loader{Language: loadLanguage()}.Load(files{"t.star": "\ufeffa = 1\nb = missing"}, "t.star")
	if err == nil || !strings.HasPrefix(err.Error(), "t.star:2:5: undefined: missing") {
		t.Errorf("got %v", err)
	}
	if _, err := (Loader{Language: loadLanguage()}).Load(files{"t.star": "\ufeffa = 1\r\nb = a\r\n"}, "t.star"); err != nil {
		t.Error(err)
	}
}
