package interp

import (
	"fmt"
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

// findingsOf compiles source, with some names predeclared.
func findingsOf(source string) []string {
	predeclared := starlark.StringDict{"task": starlark.None, "attempt": starlark.None, "json": starlark.None}
	_, found := compile("f.star", []byte(source), predeclared, Limits{}.Defaults())
	var out []string
	for _, e := range found {
		out = append(out, fmt.Sprintf("%d:%d: %s; %s", e.Pos.Line, e.Pos.Col, e.Msg, e.Hint))
	}
	return out
}

// TestForeign: what people write in Python is pointed at, with what to write here.
func TestForeign(t *testing.T) {
	tests := []struct{ source, want string }{
		{"def f():\n    try:\n        x = 1\n    except E as e:\n        pass", "2:5: there is no try; attempt("},
		{"try:\n    x = 1\nexcept E:\n    pass", "1:1: there is no try"},
		{"def f():\n    pass\n\nx = 1\nfinally:\n    pass", "5:1: there is no try"},
		{"def f():\n    raise ValueError('x')", `2:5: there is no raise; fail("message")`},
		{"import flyte", "1:1: there is no import; image, task_environment"},
		{"from json import loads", "1:1: there is no import; json and math are predeclared"},
		{"import os", `1:1: there is no import; load("file.star", "name")`},
		{"async def f():\n  pass", "1:1: there is no async; write def"},
		{"def f():\n  return await g()", "2:10: there is no await"},
		{"with open('x') as f:\n  pass", "1:1: there is no with; group("},
		{"class A(B):\n  x: int", "1:1: there is no class; record("},
		{"def f(x):\n    assert x == 1", "2:5: there is no assert; write if not condition"},
		{"def f():\n  global x", "2:3: there is no global"},
		{"def f():\n  nonlocal x", "2:3: there is no global and no nonlocal"},
		{"def f():\n  x = yield 1", "2:7: there is no yield; return a list"},
		{"del x[1]", "1:1: there is no del; d.pop(key)"},
		{"@env.task\ndef f():\n  pass", "1:1: there are no decorators; declare the task below"},
		{"@task\ndef f(x: int):\n  pass", "1:1: there are no decorators"},
		{"load = task(1)", "1:1: load is a keyword, and can't be bound; use another name"},
		{"match x:\n  case 1: pass", "1:1: there is no match; use if"},
		{"x = f'a{b}'", `1:5: there are no f-strings; write "… {} …".format(x)`},
		{"x = rf'a'", "1:5: there are no f-strings"},
		{"x = u'a'", `1:5: a string has no prefix "u"`},
		{"def f(a, x: int) -> str:\n  pass", "1:11: parameters have no types here; give them where"},
		{"def f(\n    x: list[int],\n):\n  pass", "2:6: parameters have no types here"},
		{"def f() -> str:\n  pass", "1:9: functions have no types here"},
		{"def f():\n    x: int = 1", "2:6: variables have no types; leave the type out: x = 1"},
		{"x: dict[str, int] = {}", "1:2: variables have no types"},
		{"if (y := 1): pass", "1:7: there is no :=; assign in a statement"},
		{"x = 2 ** 3", "1:7: there is no **; math.pow"},
		{"x = {**a, 'b': 1}", "1:6: a dict isn't made of others by **; write a | b"},
		{"x = [*a, 1]", "1:6: a list, set or tuple isn't made of others by *"},
		{"a, *b = c", "1:4: a list, set or tuple isn't made of others by *"},
		{"x = a is not None", "1:7: there is no is; write !="},
		{"x = a is None", "1:7: there is no is; write =="},
		{"x = 1 < y < 2", "comparisons can't be chained; write a < b and b < c"},
		{"x = lambda: return 1", "1:13: a lambda is one expression; write a function with def"},
		{"x = a if b", "an if in an expression needs an else"},
		{"x = a && b", "1:7: there is no &&; write and"},
		{"x = a || b", "1:7: there is no ||; write or"},
		{"x = a <> b", "1:7: there is no <>; write !="},
		{"x = !y", "1:5: there is no !; write not"},
		{"x++", "1:2: there is no ++ and no --; write x += 1"},
		{"x = 1_000", "1:5: a number has no _"},
		{"x = 1j", "1:5: there are no complex numbers"},
		{"print 'x'", "1:1: print is a function; write print(x)"},
		{"def f(x, /):\n  pass", "1:10: parameters can't be positional only"},
		{"def f():\n  ...", "2:3: there is no ...; write pass"},
		{"for x in y:\n  pass\nelse:\n  pass", "3:1: this else belongs to no if; for has no else"},
		{"x = (i for i in y)", "1:8: there are no generators; write a list"},
		{"a = b = 1", "1:7: an assignment has one ="},
		{"if x = 1: pass", "1:6: = assigns; write == to compare"},
		{"x = {1, 2}", "1:5: a set has no braces; write set([1, 2])"},
		{"x = 'a\nb'", `unexpected newline in string; write \n in it`},
		{"if x\n  pass", "1:5: a : is missing at the end of the line"},
		{"def f()  # comment\n  pass", "1:8: a : is missing at the end of the line"},
		{"x = 'try: import' + is", "1:21: there is no is"},
		{"é = 'ü' + 2 ** 3", "1:13: there is no **"},

		{"r = json\nr.a = 1", "2:2: an attribute can't be assigned: .a stays as it is; make a new value"},
		{"def f(r):\n    r.a.b += 1", "2:8: an attribute can't be assigned: .b"},
		{"x = map(f, [])", "1:5: undefined: map; write [f(x) for x in items]"},
		{"x = open('x')", "undefined: open; f.read()"},
		{"x = Optional[int]", "undefined: Optional; write T | None"},
		{"x = asyncio.gather()", "undefined: asyncio; t.start("},
		{"x = os.environ['x']", "undefined: os; a body has no files"},
		{"x = datetime.now()", "undefined: datetime; a body has no clock"},
		{"x = random.random()", "undefined: random; a body has no randomness"},
		{"e = flyte.TaskEnvironment()", "undefined: flyte; image, task_environment"},
		{"def fn():\n  pass\nfn = task(fn)", "3:1: fn is bound already, and globals are bound once; a function and its task have two names: def _fn(…)"},
	}
	forms := map[string]bool{}
	for _, tt := range tests {
		got := findingsOf(tt.source)
		if len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), tt.want) {
			t.Errorf("%q:\ngot  %s\nwant %s", tt.source, strings.Join(got, "\n"), tt.want)
		}
		for _, g := range got {
			for _, f := range foreignForms {
				if strings.HasSuffix(g, "; "+f.hint) {
					forms[f.hint] = true
				}
			}
		}
	}
	for _, f := range foreignForms {
		if !forms[f.hint] {
			t.Errorf("nothing leads to the hint %q", f.hint)
		}
	}
}

// TestManyErrors: one error doesn't hide those of other statements, nor the names that they lack.
// What the broken statements may define isn't reported.
func TestManyErrors(t *testing.T) {
	got := findingsOf(`import os
x = [1,
def f():
    return 1 +

s = """
import not_code
def g(: pass
"""
@env.task
def fn(a: int):
    return a

class Config:
    pass

y = Config(f(x, missing))
z = 1 is 2
if y:
    z1 = fn(1)
else:
    z2 = others
try:
    w = 1
except Oops:
    w = 2
v = w + unknown
json = 1
`)
	want := []string{
		"1:1: there is no import;",
		"3:1: got the end of the statement, want ']'",
		"4:",
		"10:1: there are no decorators;",
		"14:1: there is no class;",
		"18:7: there is no is;",
		"23:1: there is no try;",
		"28:1: json is a predeclared name",
		"17:17: undefined: missing;",
		"22:10: undefined: others;",
		"27:9: undefined: unknown;",
	}
	for i, g := range got {
		if i >= len(want) || !strings.HasPrefix(g, want[i]) {
			t.Errorf("%d: %s", i, g)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d findings, want %d", len(got), len(want))
	}
	many := findingsOf(strings.Repeat("x = = 1\n", 100_000))
	if len(many) != maxSyntaxErrors {
		t.Errorf("%d findings", len(many))
	}
}
