package engine_test

import (
	"encoding/json"
	"os"
	osexec "os/exec"
	"path/filepath"
	"reflect"
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
d = sys.argv[1]
spec = importlib.util.spec_from_file_location("shim", d + "/shim/python.py")
shim = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shim)
sys.path.insert(0, d + "/shim")
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
	p.write(t, "call.json", `{"file": "`+p.path("workspace/lib/run.py")+`", "function": "run", "inputs": `+inputs+`, "output": `+string(typ)+`}`)
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

func list(t plan.Type) plan.Type     { return plan.Type{Kind: plan.KindList, Elem: &t} }
func dict(t plan.Type) plan.Type     { return plan.Type{Kind: plan.KindDict, Elem: &t} }
func optional(t plan.Type) plan.Type { return plan.Type{Kind: plan.KindOptional, Elem: &t} }

func TestPythonShim(t *testing.T) {
	p := newPython(t)
	none, anything, float := plan.Type{Kind: plan.KindNone}, plan.Type{Kind: plan.KindAny}, plan.Type{Kind: plan.KindFloat}
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
		{"set", "def run(): return {1}", `{}`, anything, "!a set can't pass between tasks"},
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
				if err == nil || !strings.Contains(err.Error(), want[1:]) {
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

// TestPythonTraceback: the log has the traceback, and nothing of the shim in it.
func TestPythonTraceback(t *testing.T) {
	p := newPython(t)
	_, log, _, _ := p.run(t, "import sys\ndef inner(): return {}['k']\ndef run():\n  print('out')\n  inner()\n", `{}`, plan.Type{Kind: plan.KindNone})
	if !strings.HasPrefix(log, "out\nTraceback (most recent call last):\n") || !strings.HasSuffix(log, "KeyError: 'k'\n") || strings.Contains(log, "shim") {
		t.Errorf("log:\n%s", log)
	}
}

// TestPythonExit: a function that ends the process decides over its exit code.
func TestPythonExit(t *testing.T) {
	p := newPython(t)
	none := plan.Type{Kind: plan.KindNone}
	if _, _, code, _ := p.run(t, "import sys\ndef run(): sys.exit(7)", `{}`, none); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	if _, _, code, err := p.run(t, "import os\ndef run(): os._exit(0)", `{}`, none); code != 0 || err == nil {
		t.Errorf("exit code %d, error %v; want no result", code, err)
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
