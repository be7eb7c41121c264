package signature

import (
	"encoding/json"
	"fmt"
	"os"
	osexec "os/exec"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/plan"
)

// show writes a signature as one line: each parameter with its type, its default, and "!" before
// what isn't known.
func show(fn *Function) string {
	var parts []string
	for _, p := range fn.Params {
		s := p.Name
		if p.PositionalOnly {
			s = "/" + s
		}
		if p.Type.Given {
			s += ": " + shownType(p.Type)
		}
		if p.Optional && p.DefaultErr != nil {
			s += " = !" + p.DefaultErr.Error()
		} else if p.Optional {
			d, _ := json.Marshal(p.Default)
			s += " = " + string(d)
		}
		parts = append(parts, s)
	}
	if fn.Keywords {
		parts = append(parts, "**")
	}
	s := "(" + strings.Join(parts, ", ") + ")"
	if fn.Returns.Given {
		s += " -> " + shownType(fn.Returns)
	}
	if fn.Decorated {
		s += " decorated"
	}
	return s
}

func shownType(a Annotation) string {
	if a.Err != nil {
		return "!" + a.Err.Error()
	}
	return a.Type.String()
}

func TestFunction(t *testing.T) {
	const head = `
import enum, os, typing as t, pathlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import *
from typing import Annotated, Any, Dict, List, NamedTuple, NewType, Optional as Opt, TypedDict, Union
import functools
LIMIT = 30
Rows = list[dict[str, "str"]]
UserId = NewType("UserId", int)
@dataclass(frozen=True)
class Base:
    """doc: not a field"""
    a: int
    n: "t.ClassVar[int]" = 3
@dataclass
class Sub(Base):
    b: "list[str]" = field(default_factory=list)
    def method(self, x: int): y: int = 3
class Point(NamedTuple): x: float; y: float
class Node(TypedDict):
    next: "Node"
class Plain: pass
class Color(str, enum.Enum):
    RED = "red"
    GREEN = "green"
    ALIAS = "red"
    def method(self): pass
class Bad(enum.Enum):
    X = object()
@dataclass
class Deep:
    point: Point
    n: int = 3
    tags: list[str] = field(default_factory=list)
    kind: Color = "red"
    later: int = make()
`
	tests := []struct{ source, want string }{
		{"def f(): pass", "()"},
		{"async def f(x: int, *, y: str = 'a' \"b\") -> float: ...", `(x: int, y: str = "ab") -> float`},
		{"def f(a, b, /, c=1, *args: int, d=-2.5, **kw) -> None: pass", "(/a, /b, c = 1, d = -2.5, **) -> None"},
		{"def f(\n  a: int,  # comment ) : \n  b: str = ')',\n  # c: int\n  d: dict = {'x': [1, (2,)]},\n) -> \\\n  str: pass", `(a: int, b: str = ")", d: dict[str, any] = {"x":[1,[2]]}) -> str`},
		{"def f(x: Opt[int] = None, y: Union[str, None] = None, z: 'int | None' = None, w: int | float = 1): pass", "(x: int | None = null, y: str | None = null, z: int | None = null, w: float = 1)"},
		{"def f(p: Path, q: pathlib.Path, r: list[Path], s: os.PathLike[str], u: str | Path): pass", "(p: File, q: File, r: list[File], s: File, u: File)"},
		{"def f(x: List[Dict[str, Any]], y: t.Sequence[int], z: Mapping[str, float], u: tuple[int, ...], v: Rows): pass",
			"(x: list[dict[str, any]], y: list[int], z: dict[str, float], u: list[int], v: list[dict[str, str]])"},
		{"def f(x: dict[int, str], y: bytes, z: Plain, w: Node, v: tuple[int, str], u: nope.X): pass",
			"(x: !keys of a dict that passes between tasks are str, y: !bytes isn't a type that passes between tasks, z: !Plain is a class that isn't a dataclass, NamedTuple, TypedDict or pydantic model, w: !field next of Node: Node refers to itself, v: !tuple isn't a type that passes between tasks, u: !nope.X isn't a type that passes between tasks)"},
		{"def f(s: Sub, p: Point, u: UserId, a: Annotated[int, 'x', f(1)]) -> Sub: pass",
			"(s: Sub, p: Point, u: int, a: int) -> Sub"},
		{"def f(n: int = LIMIT, m: int = LIMIT * 2, k=os.cpu_count(), g=lambda a, b=1: (a, b), h=0x_ff, i=1_000, j=1e-3): pass",
			"(n: int = 30, m: int = !isn't a literal, k = !isn't a literal, g = !isn't a literal, h = 255, i = 1000, j = 0.001)"},
		{"@functools.lru_cache(maxsize=None)\ndef f(x: int): pass", "(x: int)"},
		{"@my.decorator\n@staticmethod\ndef f(x: int): pass", "(x: int) decorated"},
		{"def g():\n  def f(x): pass\nclass C:\n  def f(self): pass\nif 1:\n  def f(y: int): pass", "(y: int)"},
		{"def f(x): pass\ndef f(y): pass", "(y)"},
		{"@overload\ndef f(x: int) -> int: ...\n@t.overload\ndef f(x: str) -> str: ...\ndef f(x): pass", "(x)"},
		{"@overload\ndef f(x: int) -> int: ...\nif A:\n  def f(x): pass\nelse:\n  def f(x): pass", "(x)"},
		{"try:\n  def f(x): pass\nexcept E:\n  def f(y): pass", "!f is bound more than once, in lines 39, 41, under conditions"},
		{"from a.b import f", "!f is imported from a.b.f (line 38)"},
		{"class f: pass", "!f is a class (line 38)"},
		{"f = lambda x, y={1: (2, 3)}, *z, **k: x", "(x, y = !isn't a literal, **)"},
		{"def f(x): pass\nf = deco(f)", "!f is assigned, not defined with def (line 39)"},
		{"f, g = 1, 2", "!f is assigned, not defined with def (line 38)"},
		{"x = '''\ndef f(a): pass\n'''\ny = f'{x!r:{w}} {\"def f(\" + f\"{y}\"} {{' \nz = rf'\\{x}'\ndef f(b): pass", "(b)"},
		{"def f(d: Deep): pass", "(d: Deep)"},
		{"x = 1", `!its top level binds no "f"`},
		{"def f[T](x: T) -> T: pass", "(x: !T isn't a type that passes between tasks) -> !T isn't a type that passes between tasks"},
		{"type Vec = list[float]\ndef f(v: Vec): pass", "(v: list[float])"},
		{"if X: from y import f\nelse: f = None", "!f is bound more than once, in lines 38, 39, under conditions"},
		{"def f(x: int\n  = 3, y: str = r'\\d' '\\x41\\u00e9\\101\\q\\é'): pass", `(x: int = 3, y: str = "\\dAéA\\q\\é")`},
		{"def f(x = 99999999999999999999, y = 1j, z = b'x', w = f'x', v = '\\ud800', u=...): pass", "(x = !99999999999999999999 isn't an int of 64 bits, y = !isn't a literal, z = !isn't a literal, w = !isn't a literal, v = !isn't a literal, u = !isn't a literal)"},
		{"def f(c: Color, m: Literal['a', 'b', None] = None, n: Literal[1, 2] = 2, u: int | str = 1, b: Bad = None): pass",
			`(c: enum("red", "green"), m: enum("a", "b") | None = null, n: enum(1, 2) = 2, u: int | str = 1, b: !Bad is an enum, and its X isn't a literal = null)`},
	}
	for _, tt := range tests {
		f, err := Parse([]byte(head + tt.source + "\n"))
		if err != nil {
			t.Errorf("%s: %v", tt.source, err)
			continue
		}
		got := ""
		if fn, err := f.Function("f"); err != nil {
			got = "!" + err.Error()
		} else {
			got = show(fn)
		}
		if got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.source, got, tt.want)
		}
	}
}

// TestRecord: the fields of a class, with their defaults.
func TestRecord(t *testing.T) {
	f, err := Parse([]byte("from dataclasses import dataclass, field\nfrom pydantic import BaseModel, Field\nclass M(BaseModel):\n  a: int = Field(1, ge=0)\n  b: str = Field(...)\n" +
		"@dataclass\nclass R:\n  m: M\n  n: float = 3\n  tags: list[str] = field(default_factory=list)\n  later: int = make()\n  x: str = field(default='y')\ndef f(r: R): pass"))
	if err != nil {
		t.Fatal(err)
	}
	fn, err := f.Function("f")
	if err != nil || fn.Params[0].Type.Err != nil {
		t.Fatal(err, fn)
	}
	const want = `record(m = record(a = input(int, default = 1), b = str), n = input(float, default = 3.0), tags = input(list[str], default = []), later = int, x = input(str, default = "y"))`
	if got := fn.Params[0].Type.Type.Definition(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestDoc(t *testing.T) {
	for source, want := range map[string]string{
		"def f(x):\n  '''What it\n  does.'''\n  return 1": "What it\n  does.",
		"def f(x): 'short'":              "short",
		"def f(x):\n  x = 1\n  'no'":     "",
		"def f():\n  # c\n  r'''a\\b'''": `a\b`,
		"def f():\n  if 1:\n    'no'":    "",
	} {
		f, err := Parse([]byte(source))
		if err != nil {
			t.Fatal(err)
		}
		if fn, err := f.Function("f"); err != nil || fn.Doc != want {
			t.Errorf("%q: %q, %v", source, fn.Doc, err)
		}
	}
}

// listing prints, for each file of Python's standard library that Python itself can parse, its
// functions outside of classes and functions.
const listing = `
import ast, json, os, sys, sysconfig, warnings
warnings.simplefilter("ignore")
lib = sysconfig.get_path("stdlib")
n = 0
for d, ds, fs in os.walk(lib):
    ds[:] = sorted(x for x in ds if x not in ("site-packages", "dist-packages", "__pycache__"))
    for name in sorted(fs):
        path = os.path.join(d, name)
        if not name.endswith(".py") or os.path.getsize(path) > 400000: continue
        try: source = open(path, encoding="utf-8").read(); tree = ast.parse(source)
        except Exception: continue
        found = []
        def visit(nodes):
            for x in nodes:
                if isinstance(x, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    a = x.args
                    params = [["/" + p.arg, False] for p in a.posonlyargs] + [[p.arg, False] for p in a.args]
                    for p in params[len(params) - len(a.defaults):]: p[1] = True
                    params += [[p.arg, v is not None] for p, v in zip(a.kwonlyargs, a.kw_defaults)]
                    found.append({"Name": x.name, "Line": x.lineno, "Params": params, "Keywords": a.kwarg is not None,
                                  "Doc": ast.get_docstring(x, clean=False) or "", "Returns": x.returns is not None})
                elif isinstance(x, (ast.If, ast.For, ast.While, ast.With, ast.Try)):
                    for part in ("body", "handlers", "orelse", "finalbody"):
                        for y in getattr(x, part, []):
                            visit(y.body if isinstance(y, ast.ExceptHandler) else [y])
        visit(tree.body)
        print(json.dumps({"Path": path, "Functions": found}))
`

// TestStandardLibrary compares what is read of the standard library's files with what Python's own
// parser finds in them.
func TestStandardLibrary(t *testing.T) {
	python, err := osexec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	out, err := osexec.Command(python, "-c", listing).Output()
	if err != nil {
		t.Skipf("needs python3 with its library's source: %v", err)
	}
	files, functions := 0, 0
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); files++ {
		var want struct {
			Path      string
			Functions []struct {
				Name, Doc         string
				Line              int
				Params            [][]any
				Keywords, Returns bool
			}
		}
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(want.Path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(source)
		if err != nil {
			t.Errorf("%s: %v", want.Path, err)
			continue
		}
		found := map[string]string{}
		for name, all := range f.bound {
			for _, b := range all {
				if b.kind == function {
					fn := f.function(b)
					params := make([][]any, 0)
					for _, p := range fn.Params {
						n := p.Name
						if p.PositionalOnly {
							n = "/" + n
						}
						params = append(params, []any{n, p.Optional})
					}
					found[fmt.Sprint(name, b.line)] = fmt.Sprint(params, fn.Keywords, fn.Returns.Given, fn.Doc)
				}
			}
		}
		for _, w := range want.Functions {
			functions++
			doc := w.Doc
			key := fmt.Sprint(w.Name, w.Line)
			if got, wanted := found[key], fmt.Sprint(w.Params, w.Keywords, w.Returns, doc); got != wanted && !strings.Contains(doc, "\\N") && !strings.Contains(got, "\\N{") {
				if len(f.bound[w.Name]) == 0 || got != "" {
					t.Errorf("%s: %s:\n got %.300s\nwant %.300s", want.Path, key, got, wanted)
				}
			}
			delete(found, key)
		}
		for key := range found {
			t.Errorf("%s: %s isn't a function", want.Path, key)
		}
	}
	t.Logf("%d functions in %d files", functions, files)
	if files > 0 && functions < files {
		t.Errorf("only %d functions in %d files", functions, files)
	}
}

// FuzzParse: no source makes the parser panic, and types that come out of it are valid.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"def f(x: int = 1) -> str: pass", "f = lambda x: 1", "x = f'{a!r:{b}}'", "class A(NamedTuple):\n  x: list[A]\ndef f(a: A): pass",
		"def f(\\\n", "@a\n\tdef f[T](*, x='''", "def f(x='\\N{DASH}\\777\\", "from a import (b as f,\n)", "A = B\nB = A\ndef f(x: A | 'B'): pass", "def f(x=((((1,)))), y={'a':}): ''"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		file, err := Parse(source)
		if err != nil {
			return
		}
		for name := range file.bound {
			fn, err := file.Function(name)
			if err != nil {
				continue
			}
			for _, p := range fn.Params {
				if p.Type.Given && p.Type.Err == nil && strings.Contains(p.Type.Type.String(), "%!") {
					t.Errorf("%v", p.Type.Type)
				}
				if p.Optional && p.DefaultErr == nil {
					if _, err := plan.MarshalValue(p.Default); err != nil {
						t.Logf("a default that doesn't pass: %v", err)
					}
				}
			}
		}
	})
}
