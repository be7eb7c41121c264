package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// result returns the value of an attempt that exited with 0. If what the task left is wrong, that is
// a failure of kind user.
func (a *action) result(ctx context.Context, res *exec.Result) (plan.Value, error) {
	v, err := a.left(ctx, res)
	if err == nil {
		v, err = a.run.stored(v) // defaults of a record's fields
	}
	if err == nil {
		err = plan.CheckValue(v, a.run.MaxValue)
	}
	var f *plan.Failure
	var r *raised
	switch {
	case errors.As(err, &f):
		return nil, f
	case errors.As(err, &r):
		return nil, a.ofException(r)
	case err != nil:
		return nil, a.because(plan.FailUser, err)
	}
	a.run.admit(v)
	return v, nil
}

// left makes the value from what the task left. Each kind of body leaves it in its own way.
func (a *action) left(ctx context.Context, res *exec.Result) (plan.Value, error) {
	switch a.task.Body.Kind {
	case plan.BodyPython:
		return a.returned(ctx, res)
	case plan.BodyCommand, plan.BodyScript:
		return a.collected(ctx, res)
	case plan.BodyStarlark:
	}
	return nil, a.fail(plan.FailSystem, "an orchestrator leaves nothing")
}

// collected makes the value of a command or a script from the entries of OutputsPath.
func (a *action) collected(ctx context.Context, res *exec.Result) (plan.Value, error) {
	values := plan.Struct{}
	for _, p := range a.task.Outputs {
		v, err := a.output(ctx, res, p)
		if err != nil {
			return nil, err
		}
		values[p.Name] = v
	}
	switch {
	case a.task.Single:
		return values[a.task.Outputs[0].Name], nil
	case len(values) == 0:
		return nil, nil
	}
	return values, nil
}

// output makes the value of one output from its file or directory.
func (a *action) output(ctx context.Context, res *exec.Result, p plan.Param) (plan.Value, error) {
	entry, ok := res.Outputs[p.Name]
	if !ok {
		return nil, a.missing(res, p)
	}
	t := p.Type
	if t.Kind == plan.KindOptional {
		t = *t.Elem
	}
	if p.Glob != "" {
		return globbed(res, p, t, entry)
	}
	if v, err := plan.Conform(entry, t); err == nil && t.Kind != plan.KindAny {
		return v, nil
	} else if t.Kind == plan.KindFile || t.Kind == plan.KindDir {
		return nil, fmt.Errorf("output %q: %w", p.Name, err)
	}
	f, ok := entry.(plan.File)
	if !ok {
		return nil, fmt.Errorf("output %q: want a file with %s in it, got a directory", p.Name, p.Type)
	}
	escapes := int64(maxEscape)
	if t.Kind == plan.KindStr {
		escapes = 1
	}
	data, err := a.content(ctx, f, escapes)
	if err != nil {
		return nil, err
	}
	v, err := parse(data, t)
	if err != nil {
		return nil, fmt.Errorf("output %q: %w", p.Name, err)
	}
	if v, err = plan.Conform(v, p.Type); err != nil {
		return nil, fmt.Errorf("output %q: %w", p.Name, err)
	}
	return v, nil
}

// globbed makes the value of an output that a pattern finds.
func globbed(res *exec.Result, p plan.Param, t plan.Type, entry plan.Value) (plan.Value, error) {
	found, ok := entry.([]plan.Value)
	if !ok {
		return nil, fmt.Errorf("output %q isn't a list of what %q matches", p.Name, p.Glob)
	}
	for _, r := range res.Refused {
		if name, what, _ := strings.Cut(r, ": "); name == p.Name {
			return nil, fmt.Errorf("output %q can't be kept: %s", p.Name, what)
		}
	}
	switch {
	case t.Kind == plan.KindList:
		return plan.Conform(entry, p.Type)
	case len(found) == 1:
		return plan.Conform(found[0], p.Type)
	case len(found) == 0 && p.Type.Kind == plan.KindOptional:
		return nil, nil
	}
	names := make([]string, min(len(found), 10))
	for i := range names {
		names[i] = artifactName(found[i])
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("output %q is missing: the task wrote nothing that %q matches in its working directory", p.Name, p.Glob)
	}
	return nil, fmt.Errorf("output %q is one %s, and %q matches %d: %s", p.Name, t, p.Glob, len(found), strings.Join(names, ", "))
}

// missing returns the error that says why an output isn't there.
func (a *action) missing(res *exec.Result, p plan.Param) error {
	for _, r := range res.Refused {
		if name, _, _ := strings.Cut(r, ":"); name == p.Name || strings.HasPrefix(name, p.Name+"/") {
			return fmt.Errorf("output %q can't be kept: %s; only files and directories can, and in a directory links that stay within it", p.Name, r)
		}
	}
	return fmt.Errorf("output %q is missing: the task ended without writing %s/%s", p.Name, exec.OutputsPath, p.Name)
}

// maxNesting bounds the nesting of JSON that a task leaves. A tag adds a level to that of a value.
const maxNesting = 3 * plan.MaxDepth

// maxEscape is how many bytes JSON may have for one of a value: an escaped letter has six.
const maxEscape = 6

// content reads the file of an output whose content is its value. The file may be that many times as
// large as a value.
func (a *action) content(ctx context.Context, f plan.File, times int64) ([]byte, error) {
	limit := plan.ValueLimit(a.run.MaxValue)
	if f.Size > limit*times {
		return nil, diag.Errorf(diag.Position{}, diag.Task, "output %q has %d bytes, more than the %d that may pass between tasks", f.Name, f.Size, limit).
			WithHint("declare it as File, or raise the limit with %s", plan.ErrValue.Flag())
	}
	r, err := a.run.Store.Open(ctx, f)
	if err != nil {
		return nil, a.fail(plan.FailSystem, "reading an output: %v", err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit*times))
	if err != nil {
		return nil, a.fail(plan.FailSystem, "reading an output: %v", err)
	}
	return data, nil
}

// parse reads the content of a command's or script's output of type t.
func parse(data []byte, t plan.Type) (plan.Value, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("it isn't valid UTF-8")
	}
	line := strings.TrimSuffix(string(data), "\n")
	if t.Kind == plan.KindStr || t.Kind == plan.KindEnum && t.Elem.Kind == plan.KindStr {
		return line, nil
	}
	v, err := plan.DecodeJSON(data, maxNesting)
	if t.Kind == plan.KindUnion && t.Has(plan.KindStr) && !isJSON(v, err, t) {
		return line, nil
	}
	if err != nil {
		return nil, fmt.Errorf("want %s as JSON: %w", t, err)
	}
	return reader{}.value(v, 0)
}

// isJSON reports whether decoded JSON is a value of a union otherwise than as text.
func isJSON(v any, err error, t plan.Type) bool {
	if _, text := v.(string); text || err != nil {
		return false
	}
	x, err := reader{}.value(v, 0)
	if err == nil {
		_, err = plan.Conform(x, t)
	}
	return err == nil
}

// resultName is the entry of OutputsPath in which the python shim leaves what
// the function returned: {"value": …}, or {"error": text}.
const resultName = "flytestar.json"

// errOverwritten means that the result file doesn't have the shim's form.
var errOverwritten = errors.New("the task overwrote its result file with something else")

// Bounds of what is kept of an exception, in bytes: its text; the name of its class, or of a module.
const (
	maxError = 4 << 10
	maxName  = 256
)

// raised is an exception of a Python function.
type raised struct {
	message string
	class   string // "ValueError"; empty if the function returned what doesn't fit
	missing string // the module that couldn't be imported, or empty
	hint    string // what to return instead of what doesn't fit, or empty
}

func (r *raised) Error() string { return r.message }

// returned makes the value of a python task from what the shim left. It trusts nothing in there,
// since the task's own code can write it too.
func (a *action) returned(ctx context.Context, res *exec.Result) (plan.Value, error) {
	f, ok := res.Outputs[resultName].(plan.File)
	if !ok {
		return nil, fmt.Errorf("the process ended with exit code 0 before %s returned", a.task.Body.Function)
	}
	data, err := a.content(ctx, f, maxEscape)
	if err != nil {
		return nil, err
	}
	v, err := readResult(data, res.Outputs)
	if err != nil && len(res.Refused) > 0 {
		err = fmt.Errorf("%w (not kept: %s)", err, strings.Join(res.Refused[:min(len(res.Refused), 10)], ", "))
	}
	if err != nil {
		return nil, err
	}
	if v, err = plan.Conform(v, outputType(a.task)); err != nil {
		return nil, fmt.Errorf("what %s returned doesn't fit its output: %w", a.task.Body.Function, err)
	}
	return v, nil
}

// readResult reads the shim's result file. It refers to Files and Dirs as entries of outputs. An
// exception in it is returned as an error.
func readResult(data []byte, outputs map[string]plan.Value) (plan.Value, error) {
	v, err := plan.DecodeJSON(data, maxNesting)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, errOverwritten
	}
	held, ok := m["value"]
	if message, failed := m["error"].(string); failed && !ok {
		class, _ := m["type"].(string)
		missing, _ := m["missing"].(string)
		hint, _ := m["hint"].(string)
		return nil, &raised{text.Clip(message, maxError), text.Clip(class, maxName), text.Clip(missing, maxName), text.Clip(hint, maxName)}
	}
	if !ok || len(m) != 1 {
		return nil, errOverwritten
	}
	return reader{outputs: outputs, tagged: true}.value(held, 0)
}

// reader makes values of decoded JSON.
type reader struct {
	tagged  bool                  // objects may be {"$file": …}, {"$dir": …}, {"$struct": …}, {"$dict": …}
	outputs map[string]plan.Value // what $file and $dir may name
}

func (r reader) value(x any, depth int) (plan.Value, error) {
	if depth > plan.MaxDepth {
		return nil, fmt.Errorf("it nests deeper than %d", plan.MaxDepth)
	}
	switch x := x.(type) {
	case json.Number:
		return number(x.String())
	case []any:
		l := make([]plan.Value, len(x))
		for i := range x {
			var err error
			if l[i], err = r.value(x[i], depth+1); err != nil {
				return nil, err
			}
		}
		return l, nil
	case map[string]any:
		if r.tagged {
			return r.tag(x, depth)
		}
		return r.dict(x, depth)
	}
	return x, nil // nil, bool, string
}

func (r reader) dict(m map[string]any, depth int) (map[string]plan.Value, error) {
	out := make(map[string]plan.Value, len(m))
	for k, x := range m {
		v, err := r.value(x, depth+1)
		if err != nil {
			return nil, err
		}
		out[k] = v
	}
	return out, nil
}

// tag reads an object of one tag.
func (r reader) tag(m map[string]any, depth int) (plan.Value, error) {
	for tag, held := range m {
		inner, ok := held.(map[string]any)
		if len(m) != 1 || !ok {
			break
		}
		switch tag {
		case "$dict":
			return r.dict(inner, depth)
		case "$struct":
			d, err := r.dict(inner, depth)
			return plan.Struct(d), err
		case "$file", "$dir":
			return r.artifact(tag, inner)
		}
	}
	return nil, errOverwritten
}

// artifact reads {"entry": of OutputsPath, "name": of the File or Dir}.
func (r reader) artifact(tag string, m map[string]any) (plan.Value, error) {
	entry, _ := m["entry"].(string)
	name, _ := m["name"].(string)
	if !plan.ValidFileName(name) {
		return nil, fmt.Errorf("%q can't be a file's name", name)
	}
	switch v := r.outputs[entry].(type) {
	case plan.File:
		v.Name = name
		if tag == "$file" {
			return v, nil
		}
	case plan.Dir:
		v.Name = name
		if tag == "$dir" {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%q was returned, but isn't among the outputs", name)
}

// number reads an int if s is written as one, else a float.
func number(s string) (plan.Value, error) {
	if !strings.ContainsAny(s, ".eE") {
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("int %s doesn't fit 64 bits", s)
		}
		return i, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, fmt.Errorf("float %s is out of range", s)
	}
	return f, nil
}
