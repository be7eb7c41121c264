package summary

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// sources returns the .star files of the whole project that parse, by path.
func sources(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".star") || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		const hostile = 100 << 10 // larger files nest deeper than loading allows
		if _, err := dialect.Parse("f.star", data, 0); err == nil && len(data) < hostile {
			out[name] = data
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 3 {
		t.Fatalf("only %d files parse", len(out))
	}
	return out
}

// dialect is the language of the files.
var dialect = &syntax.FileOptions{Set: true, TopLevelControl: true, Recursion: true}

// parsed returns the summary of a module that parses, and its syntax.
func parsed(t testing.TB, source []byte) (*Summary, *syntax.File) {
	t.Helper()
	f, err := dialect.Parse("f.star", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = starlark.FileProgram(f, func(name string) bool { return !starlark.Universe.Has(name) }) // duplicates are another test's
	return Of(f), f
}

// syntaxForms has forms of syntax that the files may lack.
const syntaxForms = `
load("x.star", "a", b = "c")
a.b.c(1, -2, x = "s", y = 1.5, *[1], **{"z": None})(True)(lambda: a, lambda q = a(): b.d(q))
def f(p, q = [1], *args, r = b.x(), **kwargs):
    def g(s = p):
        return [p.q(h(z)) if False else b.m(2) for z in q if attempt(b.n, 3) for _ in b.o()][1:a():2]
    g(s = (1, 2))
    (a)(b"x")
    attempt(a.b, {}, x = [], y = {1: 2})
    a.b.override(c = h)(1).override(1)
    start(b.override(1).override(2).start, 3)
    return (g, h, 1 if a.first() else b.second(), not a, {a(): b()}, (a(), ))
h = f
for i, j in []:
    if a(): k = a.b(i)[0](j).c.d(i)
    elif b(): pass
    else: l = [m for m in b()]
`

// TestSummary reads summaries from their written form, and compares them with the syntax that they
// were made from.
func TestSummary(t *testing.T) {
	files := sources(t)
	files["forms"] = []byte(syntaxForms)
	for name, source := range files {
		s, f := parsed(t, source)
		decoded, err := Decode("f.star", s.Encode())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(decoded.Encode(), s.Encode()) {
			t.Errorf("%s: got %+v\nwant %+v", name, decoded, s)
		}
		syntax.Walk(f, func(n syntax.Node) bool {
			if c, ok := n.(*syntax.CallExpr); ok {
				checkCall(t, decoded, c)
			}
			return true
		})
	}
}

// checkCall compares a call with its summary.
func checkCall(t *testing.T, s *Summary, c *syntax.CallExpr) {
	t.Helper()
	start, _ := c.Span()
	if got := s.CallStart(c.Lparen); got.String() != start.String() {
		t.Errorf("the call at %s starts at %s, not %s", c.Lparen, start, got)
	}
	method := syntax.Position{}
	if dot, ok := c.Fn.(*syntax.DotExpr); ok {
		method = dot.Name.NamePos
	}
	if got := s.CallMethod(c.Lparen); got.String() != method.String() {
		t.Errorf("the method of the call at %s is at %s, not %s", c.Lparen, method, got)
	}
	for _, arg := range c.Args {
		if eq, ok := arg.(*syntax.BinaryExpr); ok && eq.Op == syntax.EQ {
			name := eq.X.(*syntax.Ident).Name
			if got, want := s.CallArgument(c.Lparen, name), syntax.Start(eq.Y); got.String() != want.String() {
				t.Errorf("argument %s of the call at %s is at %s, not %s", name, c.Lparen, want, got)
			}
		}
	}
}

// TestMentions: the mentions of a function come in order, and their free variables are that
// function's.
func TestMentions(t *testing.T) {
	s, _ := parsed(t, []byte(strings.ReplaceAll(syntaxForms, "attempt(", "thing(")))
	var got []string
	for m := range s.Mentions(syntax.MakePosition(&s.path, 4, 1)) {
		name := m.Global
		if name == "" {
			name = []string{"b", "a"}[m.Free] // in the order of use
		}
		got = append(got, strings.Join(append([]string{name}, m.Fields...), "."))
	}
	want := "h b.m b.n b.o a a a.b a.b.override h b.override h a.first b.second a a b a"
	if g := strings.Join(got, " "); g != want {
		t.Errorf("got  %s\nwant %s", g, want)
	}
	if at := s.Defaults(syntax.MakePosition(&s.path, 4, 1))["r"]; at.Line != 4 || at.Col != 30 {
		t.Errorf("the default of r is at %s", at)
	}
}

// FuzzSummary reads any data as a summary. What Decode accepts is written as it was read, and can
// be used.
func FuzzSummary(f *testing.F) {
	s, _ := parsed(f, []byte(syntaxForms))
	f.Add(s.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode("f.star", data)
		if err != nil {
			return
		}
		if again, err := Decode("f.star", s.Encode()); err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
			t.Errorf("read again: %v", err)
		}
		for _, fn := range s.functions {
			n := 0
			for range s.Mentions(s.position(fn.pos)) {
				if n++; n > 1000 {
					break
				}
			}
		}
	})
}
