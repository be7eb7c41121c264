package builtins

import (
	"errors"
	"fmt"
	"io/fs"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/signature"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// PythonLocal is the key of a thread-local. While a thread runs a module's top level, it may hold a
// [ReadPython].
const PythonLocal = "flytestar.python"

// ReadPython returns the source of a Python file of the workspace. Its error matches fs.ErrNotExist
// if there is none.
type ReadPython = func(path string) ([]byte, error)

// pythonFile is what is known of a Python file.
type pythonFile struct {
	file      *signature.File
	err       error // why it can't be parsed
	missing   bool  // it can't be read, which FS112 reports
	limit     error // why it may not be read
	functions map[string]pythonFunction
}

type pythonFunction struct {
	fn  *signature.Function
	err error
}

// python returns a Python file, which is read and parsed once.
func (r *Registry) python(th *starlark.Thread, path string) *pythonFile {
	if f := r.pythonFiles[path]; f != nil {
		return f
	}
	f := &pythonFile{functions: map[string]pythonFunction{}}
	read, ok := th.Local(PythonLocal).(ReadPython)
	if !ok {
		f.missing = true
		return f
	}
	source, err := read(path)
	var d *diag.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.missing = true
	case errors.As(err, &d) && d.Class == diag.Limit:
		f.limit = d
	case err != nil:
		f.missing = true
	default:
		f.file, f.err = signature.Parse(source)
	}
	if r.pythonFiles == nil {
		r.pythonFiles = map[string]*pythonFile{}
	}
	r.pythonFiles[path] = f
	return f
}

func (f *pythonFile) function(name string) (*signature.Function, error) {
	known, ok := f.functions[name]
	if !ok {
		known.err = f.err
		if f.err == nil {
			known.fn, known.err = f.file.Function(name)
		}
		f.functions[name] = known
	}
	return known.fn, known.err
}

// sign reads the signature of a Python task's function. It gives the task the inputs, the output and
// the documentation that it doesn't declare itself, and keeps the rest to be compared.
func (t *Task) sign(th *starlark.Thread, a *taskArguments) error {
	body := &t.Decl.Body
	file := t.registry.python(th, body.File)
	switch {
	case file.missing, file.limit != nil && a.in.given:
		return nil
	case file.limit != nil:
		return file.limit
	}
	fn, err := file.function(body.Function)
	var unknown *signature.Unknown
	switch {
	case errors.As(err, &unknown) && unknown.Unbound():
		return nil // FS112
	case err != nil && a.in.given:
		return nil
	case err != nil:
		return undeclared(err)
	}
	where := fmt.Sprintf("%s:%s", body.File, body.Function)
	if !a.in.given {
		if err := a.in.derive(fn, where); err != nil {
			return err
		}
	} else if !fn.Decorated {
		body.Signature = signed(fn)
	}
	if len(t.Decl.Outputs) == 0 {
		if err := t.deriveOutput(fn, where); err != nil {
			return err
		}
	}
	t.document(fn.Doc, a)
	return nil
}

// undeclared returns the error of a task without inputs whose function's signature isn't known.
func undeclared(err error) error {
	e := errorf("inputs aren't declared, and the function's signature isn't known: %w", err)
	var unknown *signature.Unknown
	if errors.As(err, &unknown) && unknown.Hint() != "" {
		return e.WithHint(`%s, or declare inputs = {"name": type}, and output`, unknown.Hint())
	}
	return e.WithHint(`declare inputs = {"name": type}, and output; inputs = {} if there are none`)
}

// derive takes the inputs from a function's parameters.
func (l *inputs) derive(fn *signature.Function, where string) error {
	for _, p := range fn.Params {
		typ, err := derivedType(&p)
		if err != nil {
			return errorf("inputs aren't declared, and the parameter %q of %s doesn't show its type: %w", p.Name, where, err).
				WithHint(`annotate it, or declare inputs = {%q: type, …}`, p.Name)
		}
		switch {
		case p.PositionalOnly:
			return errorf("the parameter %q of %s is positional-only, and a task gives inputs by name", p.Name, where).WithHint("remove the / from the function's parameters")
		case !plan.ValidParam(p.Name):
			return errorf("the parameter %q of %s can't name an input", p.Name, where).WithHint("names of inputs have ASCII letters, digits and _")
		}
		l.params = append(l.params, plan.Param{Name: p.Name, Type: typ})
		if !p.Optional {
			continue
		}
		if err := l.deriveDefault(&p); err != nil {
			return errorf("inputs aren't declared, and the default of the parameter %q of %s isn't known: it %w", p.Name, where, err).
				WithHint(`declare inputs = {%q: input(%s, default = …), …}`, p.Name, typ)
		}
	}
	return nil
}

// derivedType returns the type that a parameter's annotation or default gives.
func derivedType(p *signature.Param) (plan.Type, error) {
	typ := p.Type.Type
	switch {
	case p.Type.Given && p.Type.Err != nil:
		return typ, p.Type.Err
	case !p.Type.Given && !p.Optional:
		return typ, errors.New("it has no annotation")
	case !p.Type.Given && p.DefaultErr != nil:
		return typ, errors.New("it has no annotation, and its default isn't a literal")
	case !p.Type.Given:
		return typeOfDefault(p.Default)
	}
	if p.Optional && p.DefaultErr == nil && p.Default == nil && typ.Kind != plan.KindAny && typ.Kind != plan.KindOptional && typ.Kind != plan.KindNone {
		return plan.Type{Kind: plan.KindOptional, Elem: &typ}, nil // x: int = None
	}
	return typ, nil
}

// typeOfDefault returns the type of a parameter that has only a default.
func typeOfDefault(v plan.Value) (plan.Type, error) {
	elem := &plan.Type{Kind: plan.KindAny}
	switch v.(type) {
	case string:
		return plan.Type{Kind: plan.KindStr}, nil
	case int64:
		return plan.Type{Kind: plan.KindInt}, nil
	case float64:
		return plan.Type{Kind: plan.KindFloat}, nil
	case bool:
		return plan.Type{Kind: plan.KindBool}, nil
	case []plan.Value:
		return plan.Type{Kind: plan.KindList, Elem: elem}, nil
	case map[string]plan.Value:
		return plan.Type{Kind: plan.KindDict, Elem: elem}, nil
	}
	return plan.Type{}, errors.New("it has no annotation, and its default is None")
}

// deriveDefault sets the default of the last input.
func (l *inputs) deriveDefault(p *signature.Param) error {
	if p.DefaultErr != nil {
		return p.DefaultErr
	}
	in := &l.params[len(l.params)-1]
	v, err := plan.Conform(p.Default, in.Type)
	if err != nil {
		return fmt.Errorf("doesn't fit: %w", err)
	}
	if in.Default, err = plan.MarshalValue(v); err != nil {
		return fmt.Errorf("doesn't fit: %w", err)
	}
	if l.defaults == nil {
		l.defaults = map[string]plan.Value{}
	}
	l.defaults[in.Name] = v
	return nil
}

// deriveOutput takes the output from what a function returns. Without an annotation there is none.
func (t *Task) deriveOutput(fn *signature.Function, where string) error {
	switch r := fn.Returns; {
	case !r.Given:
	case r.Err != nil:
		return errorf("output isn't declared, and the annotation of what %s returns isn't known: %w", where, r.Err).
			WithHint(`declare output = type, or outputs = {"name": type}`)
	case r.Type.Kind != plan.KindNone:
		t.Decl.Single = true
		t.Decl.Outputs = []plan.Param{{Name: "output", Type: r.Type}}
	}
	return nil
}

// document takes the documentation that the task lacks from the function's docstring.
func (t *Task) document(docstring string, a *taskArguments) {
	doc, args := readDocstring(docstring)
	if t.Decl.Doc == "" {
		t.Decl.Doc = doc
	}
	for i := range a.in.params {
		if p := &a.in.params[i]; p.Doc == "" {
			p.Doc = args[p.Name]
		}
	}
}

// signed returns a signature as plain data.
func signed(fn *signature.Function) *plan.Signature {
	s := &plan.Signature{Line: fn.Line, Keywords: fn.Keywords, Returns: known(fn.Returns)}
	for _, p := range fn.Params {
		s.Params = append(s.Params, plan.Parameter{Name: p.Name, Type: known(p.Type), Optional: p.Optional, PositionalOnly: p.PositionalOnly})
	}
	return s
}

func known(a signature.Annotation) *plan.Type {
	if !a.Given || a.Err != nil {
		return nil
	}
	return &a.Type
}
