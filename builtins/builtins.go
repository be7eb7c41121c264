// Package builtins is what authors of workflow files write: the predeclared names, and the values
// that these make.
//
//   - A [Registry] belongs to one evaluation. It has the predeclared names, and keeps every
//     declaration, whether a global is bound to it or not.
//   - Declarations are immutable values: [Image], [Environment], [Task], [Input], [Resources]. They
//     are made while a module loads, never in a body.
//   - [RunBody] evaluates the body of an orchestrator against a plan.Host. A body calls tasks and
//     looks at [Future]s.
//   - builtins/value has types and artifacts, and copies values across a task's boundary.
//   - builtins/unpack reads the arguments of calls; builtins/site says where calls stand.
//
// There is a file per noun; each builtin's comment names its heading in spec.md. Errors are
// *diag.Error without a position, which the interpreter takes from the call. The failure of an
// action is a *plan.Failure.
package builtins

import (
	"encoding/json"
	"maps"

	"go.starlark.net/lib/math"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/flytestar/flytestar/builtins/site"
	"github.com/flytestar/flytestar/builtins/value"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// ModuleLocal is the key of a thread-local. While a thread runs a module's top level, it holds the
// module's path, a string. It is unset in bodies.
const ModuleLocal = "flytestar.module"

// Registry keeps what the modules of one evaluation declare. One goroutine at a time uses it while
// modules load; afterwards it doesn't change.
type Registry struct {
	Environments []*Environment // in the order of construction: each after those that it depends on
	Tasks        []*Task        // in the order of construction
	Artifacts    []*Artifact    // in the order of construction, each once
	Sources      site.Sources   // of the modules that have finished

	limits      Limits
	byName      map[string]*Task
	records     records
	made        map[plan.Artifact]bool // the Artifacts, without positions
	pythonFiles map[string]*pythonFile // by path
}

// Limits bounds what one evaluation may declare and start. All are positive.
type Limits struct {
	Tasks   int   // tasks that are declared; also environments
	Futures int   // calls of one body that are under way, or at whose results it hasn't looked
	Value   int64 // bytes of a value that passes between tasks, encoded
}

// The limits in errors.
const (
	limitTasks   = diag.LimitName("max-tasks")
	limitFutures = diag.LimitName("max-futures")
)

// NewRegistry returns an empty registry.
func NewRegistry(limits Limits) *Registry {
	return &Registry{limits: limits, records: records{}, made: map[plan.Artifact]bool{}}
}

// Predeclared returns the names that every module sees. Values that are constructed through them
// are kept in r.
func (r *Registry) Predeclared() starlark.StringDict {
	names := value.Predeclared()
	maps.Copy(names, starlark.StringDict{
		"image":            newImageConstructor(),
		"task_environment": starlark.NewBuiltin("task_environment", r.newEnvironment),
		"task":             starlark.NewBuiltin("task", r.newTask),
		"input":            starlark.NewBuiltin("input", newInput),
		"output":           starlark.NewBuiltin("output", newOutput),
		"file":             starlark.NewBuiltin("file", r.newFile),
		"dir":              starlark.NewBuiltin("dir", r.newDir),
		"resources":        starlark.NewBuiltin("resources", newResources),
		"record":           starlark.NewBuiltin("record", newRecord),
		"enum":             starlark.NewBuiltin("enum", newEnum),
		"struct":           starlark.NewBuiltin("struct", starlarkstruct.Make),
		"json":             value.JSON,
		"math":             math.Module,
		"gather":           starlark.NewBuiltin("gather", gather),
		"attempt":          starlark.NewBuiltin("attempt", attempt),
		"group":            starlark.NewBuiltin("group", group),
		"start":            starlark.NewBuiltin("start", start),
	})
	return names
}

// Finished gives tasks and environments their names, if a global of this module is the first to
// hold them, in source order. It is called at the end of the module's top level, before another
// module's ends.
func (r *Registry) Finished(path string, source site.Source, globals starlark.StringDict) error {
	r.Sources.Add(path, source)
	var problems diag.List
	for name, pos := range source.Globals() {
		switch v := globals[name].(type) {
		case *Task:
			if err := v.bound(name, pos); err != nil {
				problems = append(problems, err)
			}
		case *value.Type:
			r.records.add(v.T, name)
			v.SetName(name)
		case *Environment:
			if v.Global == "" && v.Module == path {
				v.Global = name
			}
		}
	}
	return problems.Err()
}

// Index lets [Registry.Task] find tasks by their full names. It is called once every task has its
// name.
func (r *Registry) Index() {
	r.byName = make(map[string]*Task, len(r.Tasks))
	named := map[*plan.Field]bool{}
	for _, t := range r.Tasks {
		r.byName[t.FullName()] = t
		r.records.name(t.Decl.Inputs, named)
		r.records.name(t.Decl.Outputs, named)
	}
}

// Task returns the task with that full name, or nil.
func (r *Registry) Task(fullName string) *Task { return r.byName[fullName] }

// errorf returns an error without position and class. The interpreter takes these from the call,
// and from whether a module loads or a body runs.
func errorf(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, "", format, args...)
}

// loading returns the module whose top level th runs, or an error if th runs a body. Constructors
// call it first.
func loading(th *starlark.Thread, what string) (module string, err error) {
	if path, ok := th.Local(ModuleLocal).(string); ok {
		return path, nil
	}
	return "", errorf("%s declares, and a body can't", what).
		WithHint("move the call to the top level of a module; a body calls tasks and computes with their results")
}

// method is a builtin method of values of type R.
type method[R any] func(recv R, th *starlark.Thread, fn string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error)

// bind returns m as a builtin bound to recv.
func (m method[R]) bind(name string, recv R) starlark.Value {
	call := func(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return m(recv, th, b.Name(), args, kwargs)
	}
	return starlark.NewBuiltin(name, call).BindReceiver(any(recv).(starlark.Value))
}

// newRecord implements record(name = type, …). spec.md, "record and struct".
func newRecord(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if _, err := loading(th, "record"); err != nil {
		return nil, err
	}
	if len(args) > 0 || len(kwargs) == 0 {
		return nil, errorf("a record's fields are given by name, at least one").WithHint("write record(name = str, size = int)")
	}
	t, err := value.Record(kwargs, recordField)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// recordField takes the type and the default out of a field of record(...).
func recordField(v starlark.Value) (*value.Type, json.RawMessage, error) {
	in, ok := v.(*Input)
	if !ok {
		t, err := value.TypeOf(v)
		return t, nil, err
	}
	if in.Default == nil {
		return in.Of, nil, nil
	}
	_, data, err := checkDefault(in.Default, in.Of.T)
	return in.Of, data, err
}

// newEnum implements enum(value, …). spec.md, "enum".
func newEnum(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if _, err := loading(th, b.Name()); err != nil {
		return nil, err
	}
	if len(kwargs) > 0 {
		return nil, errorf("an enum's values have no names").WithHint(`write enum("low", "high")`)
	}
	t, err := value.Enum(args)
	if err != nil {
		return nil, err
	}
	return t, nil
}
