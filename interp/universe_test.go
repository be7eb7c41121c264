package interp

import (
	"regexp"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
)

// TestGuards has calls that would take a minute or a gigabyte, and similar calls that stay allowed.
func TestGuards(t *testing.T) {
	const (
		tooManySteps = `^main.star:\d+:\d+: loading took more than 1000000 steps \[max-steps\]$`
		dag          = "def dag(n):\n  x = []\n  for _ in range(n): x = [x, x]\n  return x\n"
		nested       = "def nested(n):\n  x = ()\n  for _ in range(n): x = (x,)\n  return x\n"
		big          = "def big(n):\n  x = 1 << 500\n  for _ in range(n): x = x * x\n  return x\n"
		half         = "x = range(50000000)\n"
	)
	tests := []struct{ source, want string }{
		{"range(1 << 40)", `^main.star:1:6: range has more than 100000000 elements \[range\]$`},
		{"range(-(1 << 60), 1 << 60, 2)", `\[range\]$`},
		{"range(1 << 40, 0)\nrange(0, 1 << 40, 1 << 30)\nrange(100000000)", ""},
		{half + "all([all(range(1, 50000000))])", tooManySteps},
		{half + "any(x)", tooManySteps},
		{half + "max(x)", tooManySteps},
		{half + "min(x, key = lambda i: i)", tooManySteps},
		{half + "sorted(x)", tooManySteps},
		{half + "sorted(iterable = x)", tooManySteps},
		{half + "list(x)", tooManySteps},
		{half + "tuple(x)", tooManySteps},
		{half + "set(x)", tooManySteps},
		{half + "dict(x)", tooManySteps},
		{half + "bytes(x)", tooManySteps},
		{half + "reversed(x)", tooManySteps},
		{half + "enumerate(x)", tooManySteps},
		{half + "zip(x, x)", tooManySteps},
		{half + "zip(x, [1])\nzip(['a'], x)\nlen(x)\nx[7:9]\n7 in x", ""},
		{"[list(range(10000)) for _ in range(1000)]", tooManySteps}, // each of them is short
		{"[max(range(900)) for _ in range(1000)]", ""},
		{"hash('x' * 100000000)", tooManySteps},
		{"hash('x' * 1000000)", ""},
		{dag + "str(dag(40))", `main.star:5:4: str: the value has more than 2097152 parts \[tree\]$`},
		{dag + "repr(dag(40))", `repr: the value has more than 2097152 parts \[tree\]$`},
		{dag + "print(1, dag(40))", `print: the value has more than 2097152 parts \[tree\]$`},
		{dag + "fail(dag(40))", `fail: the value has more than 2097152 parts \[tree\]$`},
		{dag + "[str(dag(15)) for _ in range(100)]", tooManySteps},
		{dag + "str(dag(10))", ""},
		{nested + "str(nested(501))", `str: the value nests deeper than 500 \[tree\]$`},
		{nested + "str(nested(499))", ""},
		{"s = 'x' * 1000000\nstr([s] * 100)", `str: the value's text is longer than 67108864 bytes \[tree\]$`},
		{"s = 'x' * 1000000\nstr(s)\nstr([s] * 10)", ""},
		{"print(sep = 'b' * 300000, *([''] * 3000))", `print: the value's text is longer than 67108864 bytes \[tree\]$`},
		{"print('a', 'b', sep = 'c')", ""},
		{"x = []\nx.append(x)\ny = {}\ny[1] = y\nstr(x)\nprint(x, y)", ""},
		{"fail('a', 'b', sep = '-')", `^main.star:1:5: a-b$`},
		{"int('9' * 10001)", `int: the text has more than the 10000 digits that an int is made of \[digits\]$`},
		{"int('9' * 9000)", ""},
		{"int('f' * 20000, base = 16)", `\[digits\]$`},
		{big + "str(big(7))", `str: an int of more than 10000 digits can't be made text \[digits\]$`},
		{big + "str([big(7)])", `\[digits\]$`},
		{big + "str(big(6))", ""},
		{"getattr('x', 'a' * 100000)", `getattr: the name has more than 4096 bytes \[name\]$`},
		{"hasattr('x', 'a' * 100000)", `\[name\]$`},
		{"getattr('x', 'upper')()", ""},
	}
	// Steps must end each, however slow the machine is.
	loader := Loader{Limits: Limits{Steps: 1_000_000, Wall: time.Hour}, Print: func(diag.Position, string) {}}
	for _, test := range tests {
		_, err := loader.Load(files{"main.star": test.source}, "main.star")
		switch {
		case err == nil && test.want != "", err != nil && (test.want == "" || !regexp.MustCompile(test.want).MatchString(err.Error())):
			t.Errorf("%s\ngot  %v\nwant %s", test.source, err, test.want)
		}
	}
}
