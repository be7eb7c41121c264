package builtins

import (
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/builtins/site"
	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Task is a task. Calling it in a body starts an action and waits for it.
// spec.md, "task" and "Bodies".
type Task struct {
	// Decl is the task as plain data, except for Env, Pos and Listed, which are set when the graph
	// is made. Its Name is empty until a global is bound to the task, if the task isn't given a
	// name.
	Decl plan.Task
	Env  *Environment
	Func *starlark.Function // the body of an orchestrator, else nil
	Site site.Site

	defaults map[string]plan.Value
	registry *Registry
}

var (
	_ starlark.Callable = (*Task)(nil)
	_ starlark.HasAttrs = (*Task)(nil)
)

// String returns "<task FULLNAME>".
func (t *Task) String() string { return "<task " + t.FullName() + ">" }

// Type returns "task".
func (t *Task) Type() string { return "task" }

// Freeze freezes the body's function.
func (t *Task) Freeze() {
	if t.Func != nil {
		t.Func.Freeze()
	}
}

// Truth returns true.
func (t *Task) Truth() starlark.Bool { return true }

// Hash fails: tasks are unhashable.
func (t *Task) Hash() (uint32, error) { return 0, errorf("unhashable: task") }

// Name returns the full name. A call stack shows it.
func (t *Task) Name() string { return t.FullName() }

// FullName returns "environment.task", with "?" for a task that has no name yet.
func (t *Task) FullName() string {
	if t.Decl.Name == "" {
		return t.Env.Name + ".?"
	}
	return t.Env.Name + "." + t.Decl.Name
}

// Attr implements starlark.HasAttrs.
func (t *Task) Attr(name string) (starlark.Value, error) {
	switch name {
	case "env":
		return t.Env, nil
	case "map", "override", "start":
		return (&Call{Task: t}).Attr(name)
	case "name":
		if t.Decl.Name == "" {
			return starlark.None, nil
		}
		return starlark.String(t.Decl.Name), nil
	}
	return nil, nil
}

// AttrNames implements starlark.HasAttrs.
func (t *Task) AttrNames() []string { return []string{"env", "map", "name", "override", "start"} }

// bound notes that a module has finished in which a global is bound to the task at pos.
func (t *Task) bound(name string, pos syntax.Position) *diag.Error {
	if t.Decl.Name != "" {
		return nil
	}
	if !plan.ValidTaskName(name) {
		e := errorf("%q can't name a task", name)
		e.Pos = site.Position(pos)
		return e.WithHint("names match %s; give the task a name = of its own", plan.TaskNamePattern)
	}
	t.Decl.Name = name
	return nil
}

// newTask implements task(...). spec.md, "task".
func (r *Registry) newTask(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	module, err := loading(th, b.Name())
	if err != nil {
		return nil, err
	}
	t := &Task{Site: site.Of(th), registry: r}
	t.Decl.Dir = path.Dir(module)
	if err := t.declare(th, args, kwargs); err != nil {
		return nil, unpack.About(b.Name(), err)
	}
	if len(r.Tasks) == r.limits.Tasks {
		return nil, limitTasks.Errorf("more than %d tasks are declared", r.limits.Tasks)
	}
	r.Tasks = append(r.Tasks, t)
	return t, nil
}

// taskArguments are the arguments of task(...) as given.
type taskArguments struct {
	fn, output, python, command, script starlark.Value

	name, doc string
	stdout    string // the output's name
	root      string // python_root
	in        inputs
	out       outputs
	include   unpack.Strings
	retries   unpack.Count
	timeout   duration
	env       unpack.EnvVars
}

// declare sets t from the arguments of task(...).
func (t *Task) declare(th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) error {
	var a taskArguments
	var res *Resources
	err := unpack.Args("task", args, kwargs, "fn??", &a.fn, "env", &t.Env, "name??", &a.name, "inputs?", &a.in,
		"output??", &a.output, "outputs??", &a.out, "include?", &a.include, "retries?", &a.retries,
		"timeout??", &a.timeout, "resources??", &res, "env_vars?", &a.env, "doc??", &a.doc,
		"stdout??", &a.stdout, "python??", &a.python, "python_root??", &a.root, "command??", &a.command, "script??", &a.script)
	if err != nil {
		// unpack.Args has named the function already.
		return unprefixed(err, "task: ")
	}
	if a.name != "" && !plan.ValidTaskName(a.name) {
		return errorf("argument name: %q can't name a task", a.name).WithHint("names match %s", plan.TaskNamePattern)
	}
	if err := checkPatterns(t.Decl.Dir, a.include); err != nil {
		return unpack.About("argument include", err)
	}
	d := &t.Decl
	d.Name, d.Include, d.Retries, d.Timeout = a.name, a.include, int(a.retries), time.Duration(a.timeout)
	d.EnvVars, d.Doc = a.env, a.doc
	if res != nil {
		d.Resources = &res.Plan
	}
	if err := t.setOutputs(&a); err != nil {
		return err
	}
	if err := t.setStdout(&a); err != nil {
		return unpack.About("argument stdout", err)
	}
	if err := t.setBody(th, &a); err != nil {
		return err
	}
	if a.python != nil {
		if err := t.sign(th, &a); err != nil {
			return err
		}
	}
	d.Inputs, t.defaults = a.in.params, a.in.defaults
	return nil
}

// unprefixed returns err without the prefix of its message.
func unprefixed(err error, prefix string) error {
	if d, ok := err.(*diag.Error); ok {
		d.Msg = strings.TrimPrefix(d.Msg, prefix)
	}
	return err
}

func (t *Task) setOutputs(a *taskArguments) error {
	if a.output == nil {
		t.Decl.Outputs = a.out
		return nil
	}
	if a.out != nil {
		return errorf("both output and outputs are given").WithHint("output = T for one value, outputs = {...} for a struct of several")
	}
	p, err := outputParam("output", a.output)
	if err != nil {
		return unpack.About("argument output", err)
	}
	t.Decl.Single = true
	t.Decl.Outputs = []plan.Param{p}
	return nil
}

// setStdout marks the output that standard output is, and refuses what only the outputs of a
// command or script can be.
func (t *Task) setStdout(a *taskArguments) error {
	program := a.command != nil || a.script != nil
	for _, p := range t.Decl.Outputs {
		if p.Glob != "" && !program {
			return errorf("output %q has a glob, which only commands and scripts have", p.Name).WithHint("return the files from the function")
		}
	}
	if a.stdout == "" {
		return nil
	}
	if !program {
		return errorf("only commands and scripts have it").WithHint("return the value from the function")
	}
	i, ok := paramIndex(t.Decl.Outputs)[a.stdout]
	if !ok {
		return unpack.Unknown(errorf("there is no output %q", a.stdout), a.stdout, paramNames(t.Decl.Outputs))
	}
	p := &t.Decl.Outputs[i]
	if p.Glob != "" || p.Type.Kind == plan.KindDir {
		return errorf("output %q is a %s with a glob, or a Dir", p.Name, p.Type).WithHint("standard output is a File, or text of a value")
	}
	p.Stdout = true
	return nil
}

// setBody sets the body. Exactly one must be given.
func (t *Task) setBody(th *starlark.Thread, a *taskArguments) error {
	given := 0
	for _, v := range []starlark.Value{a.fn, a.python, a.command, a.script} {
		if v != nil {
			given++
		}
	}
	if given != 1 {
		e := errorf("a task has one body, got %d", given)
		if given == 0 {
			e = errorf("the task has no body")
		}
		return e.WithHint(`give a function, python = "file.py:function", command = [...] or script = "..."`)
	}
	if a.root != "" && a.python == nil {
		return errorf("python_root is for python tasks").WithHint("leave it out")
	}
	switch {
	case a.fn != nil:
		return unpack.About("argument fn", t.setFunction(a))
	case a.python != nil:
		if err := t.setPython(th, a.python); err != nil {
			return unpack.About("argument python", err)
		}
		return unpack.About("argument python_root", t.setRoot(th, a.root))
	case a.command != nil:
		return unpack.About("argument command", t.setCommand(a))
	}
	return unpack.About("argument script", t.setScript(a))
}

// setFunction makes t an orchestrator.
func (t *Task) setFunction(a *taskArguments) error {
	fn, ok := a.fn.(*starlark.Function)
	if !ok {
		return errorf("want a function, got %s", a.fn.Type())
	}
	if len(a.include) > 0 {
		return errorf("an orchestrator has no files to include").WithHint("leave include out")
	}
	t.Func = fn
	t.Decl.Body = plan.Body{Kind: plan.BodyStarlark, Function: fn.Name(), Pos: site.Position(fn.Position())}
	if err := matchParameters(fn, &a.in); err != nil {
		return err
	}
	doc, args := readDocstring(fn.Doc())
	if t.Decl.Doc == "" {
		t.Decl.Doc = doc
	}
	for i := range a.in.params {
		if p := &a.in.params[i]; p.Doc == "" {
			p.Doc = args[p.Name]
		}
	}
	return nil
}

// matchParameters checks that a function's parameters are the inputs, in the same order. It takes
// their defaults from the function.
func matchParameters(fn *starlark.Function, in *inputs) error {
	if fn.HasVarargs() || fn.HasKwargs() {
		return errorf("the function has *args or **kwargs").WithHint("name its parameters as in inputs")
	}
	names := make([]string, fn.NumParams())
	for i := range names {
		names[i], _ = fn.Param(i)
	}
	declared := paramNames(in.params)
	if strings.Join(names, ",") != strings.Join(declared, ",") {
		return errorf("the function's parameters are (%s), and inputs has (%s)", strings.Join(names, ", "), strings.Join(declared, ", ")).
			WithHint("both have the same names in the same order")
	}
	for i, name := range names {
		if _, has := in.defaults[name]; has {
			return errorf("input %q has a default, which an orchestrator's parameters carry", name).
				WithHint("write it in the function's parameters")
		}
		if err := in.setDefault(i, fn.ParamDefault(i)); err != nil {
			return unpack.About("parameter "+name, err)
		}
	}
	return nil
}

// setPython makes t a task that calls a Python function.
func (t *Task) setPython(th *starlark.Thread, v starlark.Value) error {
	s, err := unpack.Text(v)
	if err != nil {
		return err
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || !strings.HasSuffix(s[:colon], ".py") || !plan.ValidParam(s[colon+1:]) {
		return errorf("%q names no function", s).WithHint(`write "file.py:function"`)
	}
	file, err := workspacePath(th, "task", s[:colon])
	if err != nil {
		return err
	}
	t.Decl.Body = plan.Body{Kind: plan.BodyPython, File: file, Function: s[colon+1:]}
	return nil
}

// setRoot sets the directory where the package of a Python task's file begins; "" leaves that to be
// found out.
func (t *Task) setRoot(th *starlark.Thread, dir string) error {
	if dir == "" {
		return nil
	}
	root, err := workspacePath(th, "task", dir)
	if err != nil {
		return err
	}
	if file := t.Decl.Body.File; root != "." && !strings.HasPrefix(file, root+"/") {
		return errorf("%s isn't below %s", file, root).WithHint("give the directory that holds the file's top package")
	}
	t.Decl.Body.Root = root
	return nil
}

// shebangRE matches the beginning of a script.
var shebangRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^#![ \t]*/[^\s]+`) })

// setScript makes t a task that runs an inline script.
func (t *Task) setScript(a *taskArguments) error {
	s, err := unpack.Text(a.script)
	if err != nil {
		return err
	}
	if !shebangRE().MatchString(s) {
		e := errorf("the script doesn't begin with #! and a program's path")
		if trimmed := strings.TrimLeft(s, " \t\r\n"); strings.HasPrefix(trimmed, "#!") {
			return e.WithHint(`write the #! right after the opening quotes`)
		}
		return e.WithHint("begin it with #!/bin/sh")
	}
	if err := t.checkScript(s, a); err != nil {
		return err
	}
	t.Decl.Body = plan.Body{Kind: plan.BodyScript, Script: s}
	return checkFileOutputs(t.Decl.Outputs)
}

// checkFileOutputs refuses outputs that only a Python function can return.
func checkFileOutputs(outputs []plan.Param) error {
	for _, p := range outputs {
		t := p.Type
		if t.Kind == plan.KindOptional {
			t = *t.Elem
		}
		if t.Kind == plan.KindList && p.Glob != "" {
			t = *t.Elem
		}
		switch artifact := t.Kind == plan.KindFile || t.Kind == plan.KindDir; {
		case p.Glob != "" && !artifact:
			return errorf("output %q is a %s with a glob", p.Name, p.Type).WithHint("a glob gives a File, a Dir, list[File] or list[Dir]")
		case !artifact && t.HasFile():
			return errorf("output %q holds Files within a %s", p.Name, p.Type).
				WithHint(`use output(list[File], glob = "*.txt"), one output for each File, or a python task`)
		}
	}
	return nil
}

// duration unpacks seconds, or a string such as "1h30m".
type duration time.Duration

// maxDuration bounds seconds, so that a duration can hold them.
const maxDuration = 10 * 365 * 24 * time.Hour

// Unpack implements starlark.Unpacker.
func (d *duration) Unpack(v starlark.Value) error {
	var out time.Duration
	wrong := errorf("want seconds, or a string such as \"90s\", \"10m\", \"1h30m\", got %s", v)
	switch v := v.(type) {
	case starlark.String:
		parsed, err := time.ParseDuration(string(v))
		if err != nil {
			return wrong
		}
		out = parsed
	case starlark.Int, starlark.Float:
		seconds, ok := starlark.AsFloat(v)
		if !ok || seconds > maxDuration.Seconds() {
			return wrong
		}
		out = time.Duration(seconds * float64(time.Second))
	default:
		return wrong
	}
	if out <= 0 || out > maxDuration {
		return wrong
	}
	*d = duration(out)
	return nil
}
