package interp

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.starlark.net/lib/json"
	"go.starlark.net/lib/math"
	startime "go.starlark.net/lib/time"
	starresolve "go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/starlarktest"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/builtins"
)

// conformance lists files of go.starlark.net's own suite. proto.star isn't among them, because the
// language doesn't have that library.
var conformance = []string{
	"assign", "bool", "builtins", "bytes", "control", "dict", "float", "function", "int", "json", "list", "math",
	"misc", "set", "string", "time", "tuple", "recursion", "module", "while",
}

// differences lists the lines of the suite that fail, and why. They are intended: spec.md has them
// under "What differs from Starlark".
var differences = []struct {
	file     string
	from, to int
	dialect  bool // it is one of the dialect or of what is predeclared, not of the guarded universe
	reason   string
}{
	{"builtins", 124, 124, false, "a range has at most 100,000,000 elements"},
	{"builtins", 233, 240, false, "a message of fail is what fail was given, without a prefix"},
	{"recursion", 21, 21, false, "calls nest 1,000 deep by default, which is an error of its own"},
	{"function", 55, 55, true, "functions may be recursive"},
	{"function", 67, 67, true, "functions may be recursive"},
	{"function", 78, 79, true, "functions may be recursive"},
	{"while", 9, 40, true, "there is no while"},
	{"assign", 316, 317, true, "globals are bound once"},
	{"assign", 327, 328, true, "globals are bound once"},
	{"assign", 333, 334, true, "globals are bound once"},
	{"assign", 338, 338, true, "load binds names of the module, not globals"},
	{"function", 29, 29, true, "str is a type, and prints as str"},
}

// TestConformance runs Starlark's own suite three times: as it is, then under the guarded universe,
// then in flytestar's dialect with its types. Everything passes each time, except for the
// differences. Each of those must fail.
func TestConformance(t *testing.T) {
	dir := conformanceDir(t)
	guardUniverse()
	guarded := maps.Clone(starlark.Universe)
	defer maps.Copy(starlark.Universe, guarded)
	differ := map[int]bool{}
	for _, name := range conformance {
		data, err := os.ReadFile(filepath.Join(dir, name+".star"))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(starlark.Universe, pristine)
		check(t, name+" as it is", string(data), asItIs)
		maps.Copy(starlark.Universe, guarded)
		check(t, name+" under the guarded universe", without(string(data), name, inUniverse, -1), inUniverse)
		check(t, name+" in the dialect", without(string(data), name, inDialect, -1), inDialect)
		for i, d := range differences {
			mode := inUniverse
			if d.dialect {
				mode = inDialect
			}
			if d.file == name && len(problems(name, without(string(data), name, mode, i), mode)) > 0 {
				differ[i] = true
			}
		}
	}
	for i, d := range differences {
		if !differ[i] {
			t.Errorf("%s.star:%d doesn't differ: %s", d.file, d.from, d.reason)
		}
	}
}

// setting is how a file of the suite is run.
type setting int

const (
	asItIs     setting = iota
	inUniverse         // with the guarded universe and the limits
	inDialect          // and with flytestar's dialect, types and json
)

func check(t *testing.T, what, data string, mode setting) {
	t.Helper()
	name, _, _ := strings.Cut(what, " ")
	for _, p := range problems(name, data, mode) {
		t.Errorf("%s: %s", what, p)
	}
}

// problems runs a file's chunks and returns what went wrong.
func problems(name, data string, mode setting) []string {
	var out []string
	for _, c := range conformanceChunks(name, data) {
		out = append(out, c.run(mode)...)
	}
	return out
}

// without returns a file without the lines that differ in a setting. It keeps the difference at
// index keep.
func without(data, name string, mode setting, keep int) string {
	lines := strings.Split(data, "\n")
	for i, d := range differences {
		if d.file != name || i == keep || d.dialect && mode != inDialect {
			continue
		}
		for n := d.from; n <= min(d.to, len(lines)); n++ {
			lines[n-1] = ""
		}
	}
	return strings.Join(lines, "\n")
}

// pristine is the universe before it is guarded.
var pristine = maps.Clone(starlark.Universe)

// conformanceDir returns where the suite is in the module cache.
func conformanceDir(t *testing.T) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "go.starlark.net").Output()
	if err != nil {
		t.Skipf("the source of go.starlark.net isn't at hand: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "starlark", "testdata")
}

// conformanceChunk is a part of a file that runs by itself.
type conformanceChunk struct {
	file   string
	source string // with empty lines before it, so that lines are the file's
	want   map[int]*regexp.Regexp
}

var expectation = regexp.MustCompile(`### *(".*"|` + "`.*`" + `)`)

func conformanceChunks(file, data string) []conformanceChunk {
	var chunks []conformanceChunk
	line := 1
	for _, text := range strings.Split(data, "\n---\n") {
		c := conformanceChunk{file: file + ".star", source: strings.Repeat("\n", line-1) + text, want: map[int]*regexp.Regexp{}}
		for _, l := range strings.Split(text, "\n") {
			if m := expectation.FindStringSubmatch(l); m != nil {
				pattern, err := strconv.Unquote(m[1])
				if err != nil {
					panic(err)
				}
				c.want[line] = regexp.MustCompile(pattern)
			}
			line++
		}
		line++
		chunks = append(chunks, c)
	}
	return chunks
}

// run runs the chunk, in flytestar's dialect or with the options that it names, and returns what
// went wrong.
func (c conformanceChunk) run(mode setting) []string {
	options := &syntax.FileOptions{
		Set:               strings.Contains(c.source, "option:set"),
		While:             strings.Contains(c.source, "option:while"),
		TopLevelControl:   strings.Contains(c.source, "option:toplevelcontrol"),
		GlobalReassign:    strings.Contains(c.source, "option:globalreassign"),
		LoadBindsGlobally: strings.Contains(c.source, "option:loadbindsglobally"),
		Recursion:         strings.Contains(c.source, "option:recursion"),
	}
	predeclared := starlark.StringDict{
		"hasfields": starlark.NewBuiltin("hasfields", newHasFields),
		"fibonacci": fibonacci{},
		"struct":    starlark.NewBuiltin("struct", starlarkstruct.Make),
	}
	modules := map[string]starlark.StringDict{
		"json.star": {"json": json.Module},
		"math.star": {"math": math.Module},
		"time.star": {"time": startime.Module},
	}
	if mode == inDialect {
		if _, err := parse(c.file, []byte(c.source), Limits{}.Defaults()); err != nil && c.want[err.Pos.Line] == nil {
			return []string{err.Error()}
		}
		options = dialect
		names := builtins.NewRegistry(builtins.Limits{}).Predeclared()
		for _, name := range []string{"str", "int", "float", "bool", "list", "dict", "any", "struct"} {
			predeclared[name] = names[name]
		}
		modules["json.star"]["json"] = names["json"]
	}
	th := &starlark.Thread{Load: func(_ *starlark.Thread, name string) (starlark.StringDict, error) {
		if name == "assert.star" {
			return starlarktest.LoadAssertModule()
		}
		return modules[name], nil
	}}
	if mode != asItIs {
		newBudget(Limits{}.Defaults(), c.file).watch(th)
	}
	r := &conformanceReport{chunk: c, met: map[int]bool{}}
	starlarktest.SetReporter(th, r)
	r.ended(execute(options, mode, th, c, predeclared))
	for line, rx := range c.want {
		if !r.met[line] {
			r.problem(line, "there is no error like "+rx.String())
		}
	}
	return r.problems
}

// execute runs a chunk. In the dialect its syntax is rewritten first, as a module's is.
func execute(options *syntax.FileOptions, mode setting, th *starlark.Thread, c conformanceChunk, predeclared starlark.StringDict) error {
	f, err := options.Parse(c.file, c.source, 0)
	if err != nil {
		return err
	}
	if mode == inDialect {
		rewrite(f)
	}
	program, err := starlark.FileProgram(f, predeclared.Has)
	if err != nil {
		return err
	}
	_, err = program.Init(th, predeclared)
	return err
}

// conformanceReport collects what goes wrong in a chunk.
type conformanceReport struct {
	chunk    conformanceChunk
	met      map[int]bool // expectations, by line
	problems []string
}

func (r *conformanceReport) problem(line int, text string) {
	r.problems = append(r.problems, fmt.Sprintf("%d: %s", line, text))
}

// Error implements starlarktest.Reporter: an assertion has failed.
func (r *conformanceReport) Error(args ...any) {
	text := fmt.Sprint(args...)
	frames := regexp.MustCompile(regexp.QuoteMeta(r.chunk.file)+`:(\d+):`).FindAllStringSubmatch(text, -1)
	line := 0
	if len(frames) > 0 {
		line, _ = strconv.Atoi(frames[len(frames)-1][1])
	}
	_, text, _ = strings.Cut(text, "Error: ")
	r.problem(line, text)
}

// ended takes the error with which the chunk ended.
func (r *conformanceReport) ended(err error) {
	var eval *starlark.EvalError
	var names starresolve.ErrorList
	var syn syntax.Error
	switch {
	case err == nil:
	case errors.As(err, &names):
		for _, e := range names {
			r.got(int(e.Pos.Line), e.Msg)
		}
	case errors.As(err, &syn):
		r.got(int(syn.Pos.Line), syn.Msg)
	case errors.As(err, &eval):
		for i := range eval.CallStack {
			if pos := eval.CallStack.At(i).Pos; pos.Filename() == r.chunk.file {
				r.got(int(pos.Line), eval.Error())
				return
			}
		}
		r.problem(0, eval.Backtrace())
	default:
		r.problem(0, err.Error())
	}
}

func (r *conformanceReport) got(line int, text string) {
	if rx := r.chunk.want[line]; rx != nil && rx.MatchString(text) {
		r.met[line] = true
		return
	}
	r.problem(line, text)
}

// fibonacci is what the suite calls fibonacci: an iterable without an end.
type fibonacci struct{ starlark.NoneType }

func (fibonacci) Iterate() starlark.Iterator { return &fibonacciIterator{0, 1} }

type fibonacciIterator struct{ x, y int }

func (it *fibonacciIterator) Next(p *starlark.Value) bool {
	*p = starlark.MakeInt(it.x)
	it.x, it.y = it.y, it.x+it.y
	return true
}

func (*fibonacciIterator) Done() {}

// hasFields is what the suite calls hasfields: a value whose fields can be set.
type hasFields struct {
	starlark.NoneType
	fields starlark.StringDict
	frozen bool
}

func newHasFields(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return &hasFields{fields: starlark.StringDict{}}, nil
}

func (*hasFields) String() string       { return "hasfields" }
func (*hasFields) Type() string         { return "hasfields" }
func (*hasFields) Truth() starlark.Bool { return true }

func (h *hasFields) Freeze() {
	if !h.frozen {
		h.frozen = true
		h.fields.Freeze()
	}
}

func (h *hasFields) Attr(name string) (starlark.Value, error) { return h.fields[name], nil }
func (h *hasFields) AttrNames() []string                      { return h.fields.Keys() }

func (h *hasFields) SetField(name string, v starlark.Value) error {
	if h.frozen {
		return errors.New("cannot set field on a frozen hasfields")
	}
	if strings.HasPrefix(name, "no") {
		return starlark.NoSuchAttrError(fmt.Sprintf("no .%s field", name))
	}
	h.fields[name] = v
	return nil
}

// Binary makes list + hasfields 42.
func (h *hasFields) Binary(op syntax.Token, y starlark.Value, _ starlark.Side) (starlark.Value, error) {
	if _, ok := y.(*starlark.List); ok && op == syntax.PLUS {
		return starlark.MakeInt(42), nil
	}
	return nil, nil
}
