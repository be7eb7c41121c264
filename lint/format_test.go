package lint_test

import (
	"bytes"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/internal/startest"
	"github.com/flytestar/flytestar/lint"
)

// TestFormat has what is laid out anew, and what is refused.
func TestFormat(t *testing.T) {
	tests := []struct{ name, source, want string }{
		{"spaces and quotes", "x=[1,\n 'a' ]\n", "x = [\n    1,\n    \"a\",\n]\n"},
		{"comments", "# a\nx = 1 # b\n\n\n\n\n# c\n", "# a\nx = 1  # b\n\n# c\n"},
		{"loads move up and merge, in order", "'''doc'''\nload('b.star', 'y')\nx = 1\nload('a.star', 'z')\nload('b.star', 'x', 'a')\n",
			"\"\"\"doc\"\"\"\n\nload(\"b.star\", \"a\", \"x\", \"y\")\nload(\"a.star\", \"z\")\n\nx = 1\n"},
		{"docstring", "def f():\n  '''A.\n\n  B.\n  '''\n  return 1\n", "def f():\n    \"\"\"A.\n\n    B.\n    \"\"\"\n    return 1\n"},
		{"numbers are kept", "x = 1.0e0 + .5 + 1E+09 + 0XFF + 0o17\n", "x = 1.0e0 + .5 + 1E+09 + 0XFF + 0o17\n"},
		{"keep sorted sorts nothing", "# keep sorted\nx = [\n    \"b\",\n    \"a\",\n]\n", "# keep sorted\nx = [\n    \"b\",\n    \"a\",\n]\n"},
		{"strings", "x = r'a\\b' + 'it\\'s' + 'é\\x01' + '\"' + \"\"\"a\n\tb\"\"\" + ''''''\n", "x = r\"a\\b\" + \"it\\'s\" + \"é\\x01\" + '\"' + \"\"\"a\n\tb\"\"\" + \"\"\"\"\"\"\n"},
		{"CRLF", "x = 1\r\nif x:\r\n  y = 2\r\n", "x = 1\nif x:\n    y = 2\n"},
		{"tabs", "def f():\n\tif 1:\n\t  \treturn '\t'\t# a\tb\n", "def f():\n    if 1:\n        return \"\t\"  # a\tb\n"},
		{"parentheses", "x = not (not (1) + (2))\n", "x = not (not (1) + (2))\n"},
		{"empty", "", ""},
		{"comment alone", "# a", "# a\n"},
		{"one line", "if x: y = 1\nelse: y = 2\n", "if x:\n    y = 1\nelse:\n    y = 2\n"},
		{"backslash", "x = 1 + \\\n  2\n", "x = 1 + \\\n    2\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := lint.Format(t.Context(), lint.Module{Path: "m.star", Source: []byte(tt.source)}, evaluator.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// TestFormatRefuses has what buildtools would write otherwise than it is meant, or doesn't parse.
func TestFormatRefuses(t *testing.T) {
	tests := []struct{ name, source, want string }{
		{"precedence of not not", "y = 1\nx = not not y == 1\n", "m.star:2:9: can't be formatted: that would change what this means"},
		{"bytes", "x = b'a'\n", "m.star:1:9: buildtools, which formats and mends, can't parse this: syntax error near 'a'"},
		{"no module", "x = = 1\n", "m.star:1:5: got '=', want primary expression"},
		{"carriage return", "# a\rx = 1\n", "m.star:1:4: source has a carriage return without a newline"},
		{"NUL", "x = 1\n\x00", "m.star:2:1: source has a NUL byte"},
		{"deep", "x = " + strings.Repeat("-", 2000) + "1\n", "m.star:1:"},
		{"left-deep", "x = " + strings.Repeat("1-", 100_000) + "1\n", "m.star:1:"},
		{"big", strings.Repeat("x", 2<<20), "m.star: source is larger than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := lint.Format(t.Context(), lint.Module{Path: "m.star", Source: []byte(tt.source)}, evaluator.Options{})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %q, %v; want %s", got, err, tt.want)
			}
		})
	}
}

// TestFormatCorpus formats every Starlark file at hand: what is formatted means the same, which
// Format sees to itself, and is formatted again without a change.
func TestFormatCorpus(t *testing.T) {
	dir, err := osexec.Command("go", "list", "-m", "-f", "{{.Dir}}", "go.starlark.net").Output()
	if err != nil {
		t.Fatal(err)
	}
	formatted := 0
	for _, pattern := range []string{strings.TrimSpace(string(dir)) + "/starlark/testdata/*.star", "../*/testdata/*.star", "../examples/*.star", "../examples/*/*/*.star"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			for _, chunk := range startest.Read(t, file) {
				if idempotent(t, chunk) {
					formatted++
				}
			}
		}
	}
	t.Logf("%d modules", formatted)
	if formatted < 100 {
		t.Errorf("only %d modules could be formatted", formatted)
	}
}

func idempotent(t *testing.T, c startest.Chunk) bool {
	source := c.Files[startest.Entry]
	once, err := lint.Format(t.Context(), lint.Module{Path: startest.Entry, Source: source}, evaluator.Options{})
	if err != nil {
		t.Logf("%s: %v", c.Name, err) // it isn't a module, or buildtools' parser doesn't take it
		return false
	}
	twice, err := lint.Format(t.Context(), lint.Module{Path: startest.Entry, Source: once}, evaluator.Options{})
	if err != nil || !bytes.Equal(once, twice) {
		t.Errorf("%s: the second time differs: %v\n%s", c.Name, err, twice)
	}
	return true
}
