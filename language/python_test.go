package language_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// project is a module that declares one task, and the Python file that the task names.
type project struct{ module, python string }

func (p project) ReadModule(string) ([]byte, error) { return []byte(p.module), nil }

func (p project) ReadPython(path string) ([]byte, error) {
	if path != "lib/p.py" {
		return nil, fs.ErrNotExist
	}
	return []byte(p.python), nil
}

// TestSignatures: what a task takes from its function's signature, and what it says where the
// signature doesn't tell.
func TestSignatures(t *testing.T) {
	const head = "from pathlib import Path\nfrom dataclasses import dataclass\n@dataclass\nclass R:\n  a: int\n"
	tests := []struct{ python, args, want string }{
		{"def f(): pass", "", "() -> None"},
		{"async def f(a: int, *args, b: 'str' = 'x', **kw) -> list[Path]: pass", "", `(a: int, b: str = "x") -> list[File]`},
		{"def f(a=1, b=2.5, c='s', d=True, e=[1], g={'k': 1}): pass", "", `(a: int = 1, b: float = 2.5, c: str = "s", d: bool = true, e: list[any] = [1], g: dict[str, any] = {"k": 1}) -> None`},
		{"def f(a: float = 1, b: int = None): pass", "", "(a: float = 1.0, b: int | None = null) -> None"},
		{"def f(r: R) -> R: pass", "", "(r: R) -> R"},
		{"def f(a: int) -> str: pass", "inputs = {\"a\": int}", "(a: int) -> str"},
		{"def f(a: int) -> str: pass", "output = any", "(a: int) -> any"},
		{"def f(a: int) -> str: pass", "outputs = {\"x\": int}", "(a: int) -> struct(x = int)"},
		{"def f(a, b: bytes = b''): pass", "inputs = {\"a\": int}", "(a: int) -> None"},
		{"@deco\ndef f(a: int) -> int: pass", "", "(a: int) -> int"},
		{"from x import f", "inputs = {}", "() -> None"},
		{"x = 1", "", "() -> None"}, // FS112
		{"def f(a): pass", "", `!the parameter "a" of lib/p.py:f doesn't show its type: it has no annotation; annotate it, or declare inputs = {"a": type, …}`},
		{"def f(a=None): pass", "", `!"a" of lib/p.py:f doesn't show its type: it has no annotation, and its default is None`},
		{"def f(a: bytes): pass", "", `!"a" of lib/p.py:f doesn't show its type: bytes isn't a type that passes between tasks`},
		{"def f(a: int = g()): pass", "", `!the default of the parameter "a" of lib/p.py:f isn't known: it isn't a literal; declare inputs = {"a": input(int, default = …), …}`},
		{"def f(a: int = 'x'): pass", "", `!the default of the parameter "a" of lib/p.py:f isn't known: it doesn't fit: want int, got str`},
		{"def f(a: int, /): pass", "", `!"a" of lib/p.py:f is positional-only, and a task gives inputs by name`},
		{"def f(é: int): pass", "", "(é: int) -> None"},
		{"def f() -> tuple[int, str]: pass", "", `!the annotation of what lib/p.py:f returns isn't known: tuple isn't a type that passes between tasks; declare output = type, or outputs`},
		{"from x import f", "", `!the function's signature isn't known: f is imported from x.f (line 6); name the file that defines it, or declare inputs`},
		{"class f: pass", "", `!f is a class (line 6); write a function`},
		{"f = partial(g)", "", `!f is assigned, not defined with def (line 6); declare inputs = {"name": type}, and output; inputs = {} if there are none`},
		{"f = lambda x: x", "", `!"x" of lib/p.py:f doesn't show its type: it has no annotation`},
		{"def f(a: int):\n  '''open", "", `!signature isn't known: line 7: a string isn't closed`},
	}
	for _, tt := range tests {
		module := fmt.Sprintf("e = task_environment(name = \"e\")\nt = task(python = \"lib/p.py:f\", env = e, %s)\n", tt.args)
		g, err := graphOf(project{module, head + tt.python + "\n"}, "main.star")
		got := ""
		var list diag.List
		switch {
		case errors.As(err, &list):
			got = "!" + list[0].Msg + "; " + list[0].Hint
		case err != nil:
			t.Fatal(err)
		default:
			if err := g.Validate(); err != nil {
				t.Errorf("%s: %v", tt.python, err)
			}
			got = g.Tasks[0].Signature()
		}
		if want, isError := strings.CutPrefix(tt.want, "!"); isError && !(strings.HasPrefix(got, "!") && strings.Contains(got, want)) || !isError && got != tt.want {
			t.Errorf("%s, %s:\n got %s\nwant %s", tt.python, tt.args, got, tt.want)
		}
	}
}

// TestSignatureKept: the graph has the signature of a function whose inputs are declared, and of no
// other, and documentation from the docstring.
func TestSignatureKept(t *testing.T) {
	python := "def f(a: int, b=1, **kw):\n  '''Does it.\n\n  Args:\n    a: the first\n  '''\n"
	module := "e = task_environment(name = \"e\")\nt = task(python = \"lib/p.py:f\", env = e, inputs = {\"a\": int})\nu = task(python = \"lib/p.py:f\", env = e)\n"
	g, err := graphOf(project{module, python}, "main.star")
	if err != nil {
		t.Fatal(err)
	}
	s := g.Tasks[0].Body.Signature
	if s == nil || s.Line != 1 || !s.Keywords || len(s.Params) != 2 || s.Params[0].Type.Kind != plan.KindInt || s.Params[1].Type != nil || !s.Params[1].Optional {
		t.Errorf("the signature is %+v", s)
	}
	if g.Tasks[1].Body.Signature != nil {
		t.Error("a task that takes its inputs from the signature has it as well")
	}
	for _, task := range g.Tasks {
		if task.Doc != "Does it." || task.Inputs[0].Doc != "the first" {
			t.Errorf("%s: %q, %q", task.Name, task.Doc, task.Inputs[0].Doc)
		}
	}
}
