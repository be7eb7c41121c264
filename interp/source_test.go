package interp

import (
	"strings"
	"testing"

	"go.starlark.net/syntax"
	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/diag"
)

// TestLongNumber compares the long numbers that are found in sources with the parser's tokens.
func TestLongNumber(t *testing.T) {
	parts := []string{"1", "22", "333", "0x1F", "1.25", "a1", "é2", " ", "+", "-", ",", "(", ")", "\n", "\r", "\r\n", "#", "'", `"`, `"""`, "'''", `\`, "r", "b", "x=", "123 'abc\\\r\n' 4567"}
	parsed := 0
	rapid.Check(t, func(t *rapid.T) {
		source := strings.Join(rapid.SliceOf(rapid.SampledFrom(parts)).Draw(t, "source"), "")
		f, err := dialect.Parse("f.star", source, 0)
		if err != nil {
			return
		}
		parsed++
		const limit = 3
		want := diag.Position{}
		syntax.Walk(f, func(n syntax.Node) bool {
			l, ok := n.(*syntax.Literal)
			if !ok || l.Token != syntax.INT && l.Token != syntax.FLOAT {
				return true
			}
			for _, run := range strings.FieldsFunc(l.Raw, func(r rune) bool { return r == '.' }) {
				if p := position(l.TokenPos); len(run) > limit && (want.Line == 0 || p.Compare(want) < 0) {
					want = p
				}
			}
			return true
		})
		at := longNumber([]byte(source), limit)
		if (at >= 0) != want.IsValid() {
			t.Errorf("%q: found at %d, want %s", source, at, want)
		}
	})
	if parsed == 0 {
		t.Error("nothing parsed")
	}
}

func TestNumberLimit(t *testing.T) {
	for source, want := range map[string]string{
		"x = 1" + strings.Repeat("0", 9999):                          "",
		"x = 'a'\n# 'b\ny = 1" + strings.Repeat("0", 10_000):         "f.star:3:5: a number has more than 10000 digits [digits]",
		"x = 0x" + strings.Repeat("f", 10_000):                       "f.star:1:5: a number has more than 10000 digits [digits]",
		"x = '" + strings.Repeat("9", 20_000) + "'":                  "",
		"x" + strings.Repeat("9", 20_000) + " = 1":                   "",
		"# " + strings.Repeat("9", 20_000):                           "",
		"x = r'\\' + \"'\" # '\ny = 1" + strings.Repeat("0", 10_000): "",
	} {
		got := ""
		if e := checkText("f.star", []byte(source), Limits{}.Defaults()); e != nil {
			got = e.Error()
		}
		if got != want {
			t.Errorf("%.30q: got %q, want %q", source, got, want)
		}
	}
}
