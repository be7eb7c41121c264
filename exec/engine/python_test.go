package engine_test

import (
	"encoding/json"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec/engine"
	"github.com/flytestar/flytestar/plan"
)

// python is a directory in which the shim runs on this machine's python3, with
// its fixed paths moved there.
type python struct{ dir string }

func newPython(t *testing.T) *python {
	if _, err := osexec.LookPath("python3"); err != nil {
		t.Skipf("needs python3: %v", err)
	}
	p := &python{t.TempDir()}
	shim, err := os.ReadFile("python.py")
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "shim/python.py", string(shim))
	classes, err := os.ReadFile("classes.py")
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "shim/classes.py", string(classes))
	p.write(t, "inputs/f", "content of f")
	return p
}

func (p *python) path(name string) string { return filepath.Join(p.dir, name) }

func (p *python) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path(name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// moved starts the shim with other paths than a container's.
const moved = `
import importlib.util, os, sys
del sys.path[0]  # the directory where one stands: a script's path doesn't have it
d = sys.argv[1]
spec = importlib.util.spec_from_file_location("shim", d + "/shim/python.py")
shim = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shim)
shim.CALL, shim.OUTPUTS, shim.WORKSPACE = d + "/call.json", d + "/outputs", d + "/workspace"
os.chdir(d + "/workspace")
shim.main()
`

// run calls function of the source with tagged inputs, and returns the value, the log, the exit
// code and what is wrong with the value. Outputs become artifacts whose digest is their entry's
// name.
func (p *python) run(t *testing.T, source, inputs string, output plan.Type) (v plan.Value, log string, code int, err error) {
	t.Helper()
	p.write(t, "workspace/lib/run.py", source)
	typ, _ := json.Marshal(output)
	p.write(t, "call.json", `{"file": "`+p.path("workspace/lib/run.py")+`", "root": "`+p.path("workspace/lib")+`", "module": "run", "function": "run", "inputs": `+inputs+`, "output": `+string(typ)+`, "tuple": `+strconv.FormatBool(output.Kind == plan.KindRecord)+`}`)
	if err := os.RemoveAll(p.path("outputs")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(p.path("outputs"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := osexec.Command("python3", "-u", "-c", moved, p.dir)
	// Bytecode of the test before would be used, if its source was as long and was written in the
	// same second. A container's workspace is read-only, so nothing writes bytecode there.
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		return nil, string(out), code, err
	}
	data, err := os.ReadFile(p.path("outputs/flytestar.json"))
	if err != nil {
		return nil, string(out), 0, err
	}
	entries, err := os.ReadDir(p.path("outputs"))
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string]plan.Value{}
	for _, e := range entries {
		if e.IsDir() {
			outputs[e.Name()] = plan.Dir{Digest: plan.Digest(e.Name())}
		} else {
			outputs[e.Name()] = plan.File{Digest: plan.Digest(e.Name())}
		}
	}
	v, err = engine.ReadResult(data, outputs)
	return v, string(out), 0, err
}

// whole returns an error of ReadResult with its hint.
func whole(err error) string { return strings.TrimSuffix(err.Error()+": "+engine.Hint(err), ": ") }

func list(t plan.Type) plan.Type     { return plan.Type{Kind: plan.KindList, Elem: &t} }
func dict(t plan.Type) plan.Type     { return plan.Type{Kind: plan.KindDict, Elem: &t} }
func optional(t plan.Type) plan.Type { return plan.Type{Kind: plan.KindOptional, Elem: &t} }

func TestPythonShim(t *testing.T) {
	p := newPython(t)
	record := plan.Type{Kind: plan.KindRecord, Fields: []plan.Field{{Name: "a", Type: integ}, {Name: "b", Type: optional(str)}}}
	dir := plan.Type{Kind: plan.KindDir}
	p.write(t, "workspace/top.py", "name = 'top'\n")
	p.write(t, "workspace/lib/near.py", "name = 'near'\n")
	tests := []struct {
		name   string
		source string // of run.py
		inputs string
		output plan.Type
		want   any // the value; or, after "!", the error
	}{
		{"arguments", "def run(x, y): return [x + 1, y * 2]", `{"x": 1, "y": "ab"}`, anything, []plan.Value{int64(2), "abab"}},
		{"types of inputs", "import pathlib, types\ndef run(f, s, d, l): return [isinstance(f, pathlib.Path), s.a.b, d['$x'], isinstance(l[0], float)]",
			`{"f": {"$path": "/x"}, "s": {"$struct": {"a": {"$struct": {"b": 1}}}}, "d": {"$dict": {"$x": 2}}, "l": [1.0]}`,
			anything, []plan.Value{true, int64(1), int64(2), true}},
		{"imports", "import near, top\ndef run(): return near.name + top.name", `{}`, str, "neartop"},
		{"async", "async def run(): return 1", `{}`, integ, int64(1)},
		{"nothing", "def run(): pass", `{}`, none, nil},
		{"something", "def run(): return 1", `{}`, none, "!run returned what doesn't fit its output: want None, got int"},
		{"int for float", "def run(): return 1", `{}`, float, 1.0},
		{"foreign number", "from fractions import Fraction\ndef run(): return Fraction(1, 2)", `{}`, float, 0.5},
		{"bool for int", "def run(): return True", `{}`, integ, "!want int, got bool"},
		{"big", "def run(): return 2**63", `{}`, integ, "!int 9223372036854775808 doesn't fit 64 bits"},
		{"nan", "def run(): return float('nan')", `{}`, float, "!float nan isn't finite"},
		{"surrogate", `def run(): return "\ud800"`, `{}`, str, "!isn't valid Unicode"},
		{"place", "def run(): return {'a': [1, 'x']}", `{}`, dict(list(integ)), "!['a'][1]: want int, got str"},
		{"key", "def run(): return {1: 1}", `{}`, dict(integ), "!a key is int, not str"},
		{"tuple", "def run(): return (1, 2)", `{}`, list(integ), []plan.Value{int64(1), int64(2)}},
		{"tagged key", "def run(): return {'$file': 1}", `{}`, dict(integ), map[string]plan.Value{"$file": int64(1)}},
		{"record of dict", "def run(): return {'a': 1}", `{}`, record, plan.Struct{"a": int64(1), "b": nil}},
		{"record of object", "class R: a = 1; b = 'x'\ndef run(): return R()", `{}`, record, plan.Struct{"a": int64(1), "b": "x"}},
		{"record without", "def run(): return {'b': 'x'}", `{}`, record, "!want record(a = int, b = str | None), got dict without 'a'"},
		{"record with more", "def run(): return {'a': 1, 'c': 1}", `{}`, record, "!there is no field 'c'"},
		{"set", "def run(): return {1}", `{}`, anything, "!a set can't pass between tasks: return sorted(x), a list"},
		{"cycle", "def run():\n  x = []\n  x.append(x)\n  return x", `{}`, anything, "!nests deeper than 64"},
		{"file", "import pathlib\ndef run():\n  p = pathlib.Path('../a b.txt')\n  p.write_text('x')\n  return [p, str(p)]", `{}`, list(file),
			[]plan.Value{plan.File{Name: "a b.txt", Digest: "flytestar.0"}, plan.File{Name: "a b.txt", Digest: "flytestar.0"}}},
		{"file in outputs", "def run():\n  open('../outputs/o.txt', 'w').close()\n  return '../outputs/o.txt'", `{}`, file, plan.File{Name: "o.txt", Digest: "o.txt"}},
		{"missing file", "def run(): return '/nowhere/x'", `{}`, file, "!/nowhere/x: No such file or directory"},
		{"dir for file", "def run(): return '/tmp'", `{}`, file, "!/tmp isn't a file"},
		{"int for file", "def run(): return 1", `{}`, file, "!want File, got int"},
		{"fifo in dir", "import os\ndef run():\n  os.makedirs('../d/e', exist_ok=True)\n  os.mkfifo('../d/e/pipe')\n  return '../d'", `{}`, dir, "!e/pipe is neither a file nor a directory"},
		{"the outputs", "def run(): return '../outputs'", `{}`, dir, "!itself can't be an output"},
		{"exception", "def run():\n  raise ValueError('no')", `{}`, none, "!ValueError: no (lib/run.py:2, in run)"},
		{"import error", "import nothing_like_this\ndef run(): pass", `{}`, none, "!ModuleNotFoundError: No module named 'nothing_like_this' (lib/run.py:1, in <module>)"},
		{"syntax error", "def run(:\n", `{}`, none, "!SyntaxError"},
		{"no function", "x = 1", `{}`, none, "!lib/run.py has no function 'run'"},
		{"wrong argument", "def run(y): pass", `{"x": 1}`, none, "!TypeError: run() got an unexpected keyword argument 'x'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, log, code, err := p.run(t, tt.source, tt.inputs, tt.output)
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, log)
			}
			if want, ok := tt.want.(string); ok && strings.HasPrefix(want, "!") {
				if err == nil || !strings.Contains(whole(err), want[1:]) {
					t.Errorf("got %v, %v; want %s", v, err, want)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(v, tt.want) {
				t.Errorf("got %#v, %v; want %#v\n%s", v, err, tt.want, log)
			}
		})
	}
}

// TestPythonValues: what is exact passes; the rest is an error that says where, and what to do.
func TestPythonValues(t *testing.T) {
	p := newPython(t)
	p.write(t, "workspace/lib/numpy.py", numpy)
	level, _ := plan.EnumOf("low", "high")
	number, _ := plan.EnumOf(int64(1), int64(2))
	point := plan.Type{Kind: plan.KindRecord, Name: "point", Fields: []plan.Field{{Name: "x", Type: integ}, {Name: "y", Type: integ, Default: []byte("3")}}}
	enums := "from enum import Enum, IntEnum\nclass C(str, Enum):\n  RED = 'red'\n  def __str__(self): return 'C.RED'\nclass I(IntEnum):\n  ONE = 1\nclass P(Enum):\n  RED = 'red'\n  ODD = object()\nclass S(str):\n  def __str__(self): return 'other'\n"
	classes := "from dataclasses import dataclass\nfrom typing import NamedTuple\n@dataclass\nclass D:\n  x: int\n  y: int = 3\nclass T(NamedTuple):\n  x: int\n  y: int = 3\n"
	tests := []struct {
		source string
		output plan.Type
		want   any // the value; or, after "!", the error
	}{
		{enums + "def run(): return {C.RED: C.RED}", dict(str), map[string]plan.Value{"red": "red"}},
		{enums + "def run(): return [C.RED, I.ONE, P.RED, S('a')]", anything, []plan.Value{"red", int64(1), "red", "a"}},
		{enums + "def run(): return [P.ODD]", anything, "![0]: a run.P can't pass"},
		{enums + "def run(): return C.RED", level, `!want enum("low", "high"), got 'red'`},
		{"def run(): return 'low'", level, "low"},
		{"def run(): return 2", number, int64(2)},
		{"def run(): return True", number, "!want enum(1, 2), got bool"},
		{"import numpy\ndef run(): return numpy.bool_(True)", boolean, true},
		{"import numpy\ndef run(): return {'a': [numpy.bool_(False)]}", anything, map[string]plan.Value{"a": []plan.Value{false}}},
		{"import numpy\ndef run(): return numpy.ndarray([1, 2])", list(integ), []plan.Value{int64(1), int64(2)}},
		{"import numpy\ndef run(): return numpy.ndarray([1, 2])", str, "!want str, got numpy.ndarray: return x.tolist()"},
		{"import numpy\ndef run(): return numpy.bool_(True)", integ, "!want int, got numpy.bool_"},
		{"def run(): return {1: 2}", dict(integ), "!a key is int, not str: return {str(k): v for k, v in x.items()}"},
		{"import datetime\ndef run(): return {'a': datetime.date(2026, 1, 2)}", dict(str), "!['a']: want str, got datetime.date: return x.isoformat(), a str"},
		{"import decimal\ndef run(): return decimal.Decimal('0.1')", float, "!want float, got decimal.Decimal: return str(x), or float(x) if that will do"},
		{"import pathlib\ndef run(): return pathlib.Path('/x')", str, "!return str(x), or declare File or Dir"},
		{"def run(): return b'x'", str, "!want str, got bytes: return x.decode()"},
		{"def run(): return (i for i in [1])", list(integ), "!it is a generator"},
		{"def run(): return [{1}]", list(list(integ)), "![0]: want list[int], got set: return sorted(x), a list"},
		{"def run(): return {}.keys()", list(str), "!want list[str], got dict_keys: return list(x)"},
		{"def run(): return range(2)", list(integ), []plan.Value{int64(0), int64(1)}},
		{"from fractions import Fraction\ndef run(): return Fraction(1, 3)", float, "!isn't exact as a float"},
		{"def run(): return 2**53 + 1", float, "!isn't exact as a float"},
		{"def run(): return None", str, "!want str, got None: return a value, or declare str | None"},
		{"def run(): return 1", plan.UnionOf(float, str), 1.0},
		{"def run(): return 'x'", plan.UnionOf(file, str), "x"},
		{"def run(): return [1, 'x']", list(plan.UnionOf(str, integ)), []plan.Value{int64(1), "x"}},
		{"def run(): return 1.5", plan.UnionOf(str, integ), "!want str | int, got float"},
		{"def run(): return None", optional(plan.UnionOf(str, integ)), nil},
		{classes + "def run(): return D(1)", point, plan.Struct{"x": int64(1), "y": int64(3)}},
		{classes + "def run(): return [D(1), T(2, 4)]", list(point), []plan.Value{plan.Struct{"x": int64(1), "y": int64(3)}, plan.Struct{"x": int64(2), "y": int64(4)}}},
		{classes + "def run(): return D(1)", anything, plan.Struct{"x": int64(1), "y": int64(3)}},
		{classes + "def run(): return D(1)", plan.UnionOf(str, point), plan.Struct{"x": int64(1), "y": int64(3)}},
		{"def run(): return {'x': 1}", point, plan.Struct{"x": int64(1)}}, // the engine adds the default
		{"def run(): return (1, 2)", point, plan.Struct{"x": int64(1), "y": int64(2)}},
		{"def run(): return (1, 2, 3)", point, "!want 2 outputs (x, y), got a tuple of 3"},
		{"def run(): return 'x'", point, "!want point, got str"},
	}
	for _, tt := range tests {
		v, log, code, err := p.run(t, tt.source, `{}`, tt.output)
		if code != 0 {
			t.Fatalf("%s: exit code %d: %s", tt.source, code, log)
		}
		if want, ok := tt.want.(string); ok && strings.HasPrefix(want, "!") {
			if err == nil || !strings.Contains(whole(err), want[1:]) {
				t.Errorf("%s: got %v, %v; want %s", tt.source, v, err, want)
			}
		} else if err != nil || !reflect.DeepEqual(v, tt.want) {
			t.Errorf("%s: got %#v, %v; want %#v\n%s", tt.source, v, err, tt.want, log)
		}
	}
}

// numpy has as much of the real one as the shim looks at.
const numpy = `
class dtype:
    def __init__(self, kind): self.kind = kind

class bool_:
    dtype = dtype("b")
    def __init__(self, value): self.value = value
    def tolist(self): return self.value

class ndarray:
    dtype = dtype("i")
    def __init__(self, values): self.values = values
    def tolist(self): return self.values
`

// TestPythonClasses: an input becomes what the function's annotation says.
func TestPythonClasses(t *testing.T) {
	p := newPython(t)
	p.write(t, "workspace/lib/model.py", model)
	point := `{"$struct": {"x": 1, "color": "red"}}`
	tests := []struct{ source, inputs, want string }{ // of repr(run(…))
		{"def run(p: Point): return repr(p)", `{"p": ` + point + `}`, "Point(x=1, color=<Color.RED: 'red'>, tags=())"},
		{"def run(p: 'Point'): return repr(p)", `{"p": ` + point + `}`, "Point(x=1, color=<Color.RED: 'red'>, tags=())"},
		{"from __future__ import annotations\n%sdef run(p: Point | None): return repr(p)", `{"p": ` + point + `}`, "Point(x=1, color=<Color.RED: 'red'>, tags=())"},
		{"def run(l: List[Point]): return repr(l)", `{"l": [` + point + `]}`, "[Point(x=1, color=<Color.RED: 'red'>, tags=())]"},
		{"def run(l: dict[str, Pair]): return repr(l)", `{"l": {"$dict": {"a": {"$struct": {"a": 1, "b": ` + point + `}}}}}`, "{'a': Pair(a=1, b=Point(x=1, color=<Color.RED: 'red'>, tags=()))}"},
		{"def run(c: Color, n: Optional[Number]): return repr([c, n])", `{"c": "red", "n": 2}`, "[<Color.RED: 'red'>, <Number.TWO: 2>]"},
		{"def run(u: Union[Number, Point, str]): return repr(u)", `{"u": ` + point + `}`, "Point(x=1, color=<Color.RED: 'red'>, tags=())"},
		{"def run(u: Union[Number, Point, str]): return repr(u)", `{"u": "x"}`, "'x'"},
		{"def run(k: Keyed): return repr(k)", `{"k": {"$struct": {"p": ` + point + `}}}`, "{'p': Point(x=1, color=<Color.RED: 'red'>, tags=())}"},
		{"def run(p: dict): return repr(p)", `{"p": ` + point + `}`, "{'x': 1, 'color': 'red'}"},
		{"def run(p: tuple[int, str]): return repr(p)", `{"p": [1, "a"]}`, "(1, 'a')"},
		{"def run(p: set[int]): return repr(p)", `{"p": [1]}`, "{1}"},
		{"def run(p: Literal['a']): return repr(p)", `{"p": "a"}`, "'a'"},
		{"def run(p: 'Missing'): return p.x", `{"p": ` + point + `}`, "1"},
		{"def run(p): return p.x", `{"p": ` + point + `}`, "1"},
		{"def run(f: Frozen): return repr(f)", `{"f": {"$struct": {"x": 1}}}`, "Frozen(x=1)"},
		{"def run(f: Frozen): return repr(f)", `{"f": {"$struct": {"x": -1}}}`, "!input f doesn't fit Frozen: ValueError: x is negative"},
		{"def run(l: list[Frozen]): pass", `{"l": [{"$struct": {"y": 1}}]}`, "!input l[0] doesn't fit Frozen: the class has no field 'y'"},
		{"def run(p: Point): pass", `{"p": {"$struct": {"x": 1, "color": "blue"}}}`, "!input p.color doesn't fit Color: ValueError: 'blue' is not a valid Color"},
		{"def run(m: Model): return repr(m.got)", `{"m": {"$struct": {"p": ` + point + `}}}`, "{'p': {'x': 1, 'color': 'red'}}"},
	}
	for _, tt := range tests {
		source := tt.source
		if head := "from model import *\n"; strings.Contains(source, "%s") {
			source = fmt.Sprintf(source, head)
		} else {
			source = head + source
		}
		v, log, code, err := p.run(t, source, tt.inputs, anything)
		if code != 0 {
			t.Fatalf("%s: exit code %d: %s", tt.source, code, log)
		}
		if want, failed := strings.CutPrefix(tt.want, "!"); failed && (err == nil || !strings.Contains(err.Error(), want)) || !failed && (err != nil || fmt.Sprint(v) != want) {
			t.Errorf("%s: got %v, %v; want %s\n%s", tt.source, v, err, tt.want, log)
		}
	}
}

// model has classes of all kinds that an annotation may name. Model looks like one of pydantic's.
const model = `
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import *

class Color(str, Enum):
    RED = "red"

class Number(IntEnum):
    TWO = 2

@dataclass(kw_only=True)
class Point:
    x: int
    color: Color
    tags: tuple = field(default=(), init=False)

class Pair(NamedTuple):
    a: int
    b: "Point"

class Keyed(TypedDict):
    p: Point

@dataclass(frozen=True, slots=True)
class Frozen:
    x: int
    def __post_init__(self):
        if self.x < 0:
            raise ValueError("x is negative")

class Field:
    validation_alias = None
    def is_required(self): return True

class Model:
    model_fields, model_config = {"p": Field()}, {}
    @classmethod
    def model_validate(cls, members):
        self = cls()
        self.got = members
        return self
`

// TestPythonTraceback: the log has the traceback, and nothing of the shim in it.
func TestPythonTraceback(t *testing.T) {
	p := newPython(t)
	_, log, _, _ := p.run(t, "import sys\ndef inner(): return {}['k']\ndef run():\n  print('out')\n  inner()\n", `{}`, plan.Type{Kind: plan.KindNone})
	if !strings.HasPrefix(log, "out\nTraceback (most recent call last):\n") || !strings.HasSuffix(log, "KeyError: 'k'\n") || strings.Contains(log, "shim") {
		t.Errorf("log:\n%s", log)
	}
}

// TestPythonExit: a function that ends the process without Python's doing leaves no result.
func TestPythonExit(t *testing.T) {
	p := newPython(t)
	if _, _, code, err := p.run(t, "import os\ndef run(): os._exit(0)", `{}`, plan.Type{Kind: plan.KindNone}); code != 0 || err == nil {
		t.Errorf("exit code %d, error %v; want no result", code, err)
	}
}

// TestPythonExceptions: every exception is reported with its class, whatever it derives from and
// however badly it behaves.
func TestPythonExceptions(t *testing.T) {
	p := newPython(t)
	tests := []struct{ name, source, class, message, log string }{
		{"own class", "class Odd(Exception): pass\ndef run(): raise Odd('x')", "Odd", "run.Odd: x (lib/run.py:2, in run)", ""},
		{"cancelled", "import asyncio\nasync def run(): raise asyncio.CancelledError('upstream')", "CancelledError", "CancelledError: upstream (lib/run.py:2, in run)", "Traceback"},
		{"interrupted", "def run(): raise KeyboardInterrupt", "KeyboardInterrupt", "KeyboardInterrupt (lib/run.py:1, in run)", ""},
		{"exit", "import sys\ndef run(): sys.exit(7)", "SystemExit", "SystemExit: 7 (lib/run.py:2, in run): the function ended the process instead of returning", ""},
		{"exit at import", "raise SystemExit\ndef run(): pass", "SystemExit", "SystemExit (lib/run.py:1, in <module>)", ""},
		{"generator exit", "def run(): raise GeneratorExit", "GeneratorExit", "GeneratorExit", ""},
		{"base", "class B(BaseException): pass\ndef run(): raise B('b')", "B", "run.B: b", ""},
		{"no text", "class B(Exception):\n  def __str__(self): raise KeyboardInterrupt\ndef run(): raise B", "B", "run.B", ""},
		{"surrogate", `def run(): raise ValueError("a\udc80b")`, "ValueError", `ValueError: a\udc80b`, `ValueError: a\udc80b`},
		{"cause", "def run():\n  try: {}['k']\n  except KeyError as e: raise ValueError('v') from e", "ValueError", "ValueError: v (lib/run.py:3, in run), caused by KeyError: 'k'", "direct cause"},
		{"context", "def run():\n  try: {}['k']\n  except KeyError: raise ValueError('v')", "ValueError", "ValueError: v (lib/run.py:3, in run)", "KeyError: 'k'"},
		{"long", "def run(): raise ValueError('x' * 50_000_000)", "ValueError", "ValueError: xxx", ""},
		{"many lines", "def run(): raise ValueError('a\\nb')", "ValueError", "ValueError: a\nb", ""},
		{"syntax", "def run(:\n  pass", "SyntaxError", "SyntaxError: ", "SyntaxError"},
		{"deep", "def run(): return run()", "RecursionError", "RecursionError: maximum recursion depth", ""},
		{"closed streams", "import os, sys\ndef run():\n  sys.stdout.close(); sys.stderr = None\n  raise ValueError('v')", "ValueError", "ValueError: v", "ValueError: v"},
		{"in a thread pool", "from concurrent.futures import ThreadPoolExecutor\ndef f(): raise KeyError('k')\ndef run():\n  with ThreadPoolExecutor() as p: p.submit(f).result()", "KeyError", "KeyError: 'k' (lib/run.py:2, in f)", ""},
		{"generator", "def run(): yield 1", "", "run returned what doesn't fit its output: it is a generator", ""},
		{"async generator", "async def run(): yield 1", "", "it is a generator", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, log, code, err := p.run(t, tt.source, `{}`, plan.Type{Kind: plan.KindAny})
			if code != 0 || err == nil {
				t.Fatalf("exit code %d, error %v", code, err)
			}
			if class := engine.ExceptionClass(err); class != tt.class || !strings.Contains(err.Error(), tt.message) || len(err.Error()) > 5000 {
				t.Errorf("got %q, %.300q; want %q, %q", class, err, tt.class, tt.message)
			}
			if !strings.Contains(log, tt.log) {
				t.Errorf("the log lacks %q:\n%.1000s", tt.log, log)
			}
		})
	}
	t.Run("group and notes", func(t *testing.T) {
		_, log, _, err := p.run(t, "def run():\n  e = ExceptionGroup('both', [ValueError('a'), KeyError('b')])\n  e.add_note('seen twice')\n  raise e", `{}`, plan.Type{Kind: plan.KindAny})
		if engine.ExceptionClass(err) == "NameError" {
			t.Skip("needs Python 3.11")
		}
		for _, want := range []string{"both (2 sub-exceptions)", "seen twice", "ValueError: a; KeyError: 'b'"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v lacks %q\n%s", err, want, log)
			}
		}
	})
}

// TestPythonShadowed: files of the user's that have the names of modules of the standard library
// change nothing about how tasks are run and failures reported.
func TestPythonShadowed(t *testing.T) {
	for _, dir := range []string{"workspace/lib/", "workspace/"} {
		p := newPython(t)
		for _, name := range []string{"traceback", "json", "enum", "re", "linecache", "tokenize", "codecs", "stat", "math", "numbers", "pathlib", "asyncio", "queue",
			"logging", "random", "operator", "functools", "collections", "textwrap", "shutil", "importlib", "string", "copy", "token", "struct", "types", "os"} {
			p.write(t, dir+name+".py", "raise RuntimeError('shadowed')\n")
		}
		if v, log, _, err := p.run(t, "import sys\ndef run(f): return [f.name, 1]", `{"f": {"$path": "/x/y"}}`, anything); err != nil || !reflect.DeepEqual(v, []plan.Value{"y", int64(1)}) {
			t.Errorf("%s: %v, %v\n%s", dir, v, err, log)
		}
		if _, log, _, err := p.run(t, "def run(): raise ValueError('real')", `{}`, anything); err == nil || engine.ExceptionClass(err) != "ValueError" || strings.Contains(log, "shadowed") {
			t.Errorf("%s: %v\n%s", dir, err, log)
		}
		if v, log, _, err := p.run(t, "async def run(): return 2", `{}`, anything); err != nil || v != int64(2) {
			t.Errorf("%s: async: %v, %v\n%s", dir, v, err, log)
		}
	}
	p := newPython(t)
	p.write(t, "workspace/lib/json.py", "mine = 1\n")
	p.write(t, "workspace/colorsys.py", "mine = 2\n")
	if v, log, _, err := p.run(t, "import json, colorsys\ndef run(): return [json.mine, colorsys.mine]", `{}`, anything); err != nil || !reflect.DeepEqual(v, []plan.Value{int64(1), int64(2)}) {
		t.Errorf("the user's own: %v, %v\n%s", v, err, log)
	}
}

// TestPythonDir: what a directory is kept as.
func TestPythonDir(t *testing.T) {
	p := newPython(t)
	source := "import os\ndef run():\n  os.makedirs('../d/sub/empty')\n  open('../d/sub/x', 'w').write('x')\n  os.chmod('../d/sub/x', 0o700)\n  return '../d'\n"
	v, log, _, err := p.run(t, source, `{}`, plan.Type{Kind: plan.KindDir})
	if want := (plan.Dir{Name: "d", Digest: "flytestar.0"}); err != nil || v != want {
		t.Fatalf("got %v, %v\n%s", v, err, log)
	}
	info, err := os.Stat(p.path("outputs/flytestar.0/sub/x"))
	if err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if _, err := os.Stat(p.path("outputs/flytestar.0/sub/empty")); err != nil {
		t.Error(err)
	}
}
