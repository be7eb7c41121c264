package interp

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Loader loads programs.
type Loader struct {
	Language Language
	Limits   Limits // zero fields mean the defaults
	// Print receives what modules print. nil: it goes to standard error.
	Print func(pos diag.Position, text string)
	// Running is called with each module's path when the module begins to run. It may be nil.
	Running func(path string)
}

// Load reads the module at entry and everything that it loads from source. It executes each module
// once and freezes it.
//
// Load statements stand only at a module's top level, and their paths are literals. So Load can
// read and check all modules before it executes any, and report all findings at once. Its error is
// a diag.List.
func (l Loader) Load(source Source, entry string) (*Program, error) {
	guardUniverse()
	limits := l.Limits.Defaults()
	w := &loading{
		Loader: l, source: source, limits: limits,
		budget:  newBudget(limits, "loading"),
		modules: map[string]*Module{},
	}
	if err := w.read(entry); err != nil {
		return nil, err
	}
	if err := w.execute(); err != nil {
		return nil, err
	}
	return &Program{Entry: w.order[len(w.order)-1], Modules: w.order, language: l.Language, limits: limits}, nil
}

// Read returns the source of a module, of at most limit bytes. Its error says why the module can't
// be loaded.
func Read(source Source, path string, limit int64) ([]byte, *diag.Error) {
	data, err := source.ReadModule(path)
	switch {
	case err != nil:
		return nil, sourceError(err, path)
	case int64(len(data)) > limit:
		return nil, sourceSizeError(path, limit)
	}
	return data, nil
}

// ReadPython returns the source of a Python file, of at most limit bytes. Its error is of class
// Limit for a larger one, and says else that there is none.
func ReadPython(source Source, path string, limit int64) ([]byte, *diag.Error) {
	s, ok := source.(PythonSource)
	if !ok {
		return nil, noPython(path)
	}
	data, err := s.ReadPython(path)
	switch {
	case err != nil:
		return nil, noPython(path)
	case int64(len(data)) > limit:
		return nil, ErrSource.Errorf("%s is larger than %d bytes, so the signatures in it aren't read", path, limit).
			WithHint("move the task's function into a file of its own, or raise the limit with --max-source")
	}
	return data, nil
}

func noPython(path string) *diag.Error {
	return &diag.Error{Msg: "there is no " + path, Err: fs.ErrNotExist}
}

// loading is one load of a program.
type loading struct {
	Loader
	source  Source
	limits  Limits
	budget  *budget
	modules map[string]*Module // by path; nil for a module with findings
	order   []*Module          // each after the modules that it loads
	found   diag.List

	cycles   int // cycles that were found but aren't reported
	edges    int // loads in the cycles that are reported
	compared int // names that were compared to suggest one
}

// read reads, checks and compiles entry and everything that it loads.
func (l *loading) read(entry string) error {
	if err := CheckPath(entry); err != nil {
		return diag.List{diag.Errorf(diag.Position{}, diag.Usage, "%w", err)}
	}
	if err := l.walk(entry); err != nil {
		return diag.List{err}
	}
	if l.cycles > 0 {
		l.found = append(l.found, &diag.Error{Pos: diag.Position{File: entry}, Class: diag.Source, Code: "FS105", Msg: fmt.Sprintf("and %d cycles of modules more", l.cycles)})
	}
	for _, m := range l.order {
		l.checkLoadedNames(m)
	}
	l.found.Sort()
	return l.found.Err()
}

// visit is a module on the way from the entry to where the walk is.
type visit struct {
	module *Module
	next   int // the load statement to follow
}

// walk reads modules depth first. It keeps findings, and returns only an error that ends the walk.
// A chain of loads may be long, so walk doesn't recurse.
func (l *loading) walk(entry string) *diag.Error {
	var way []visit
	open := map[string]bool{} // the paths on the way
	enter := func(path string, pos diag.Position) *diag.Error {
		m, err := l.module(path, pos)
		if err == nil && m != nil {
			way = append(way, visit{module: m})
			open[path] = true
		}
		return err
	}
	if err := enter(entry, diag.Position{}); err != nil {
		return err
	}
	for len(way) > 0 {
		v := &way[len(way)-1]
		if v.next == len(v.module.Loads) {
			l.order = append(l.order, v.module)
			delete(open, v.module.Path)
			way = way[:len(way)-1]
			continue
		}
		to := v.module.Loads[v.next]
		v.next++
		if open[to.Path] {
			l.cycle(way, to.Path)
		} else if _, seen := l.modules[to.Path]; !seen {
			if err := enter(to.Path, to.Pos); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxEdges bounds how many loads all findings of cycles list together. 1,000 modules that load each
// other have half a million cycles of hundreds of loads.
const maxEdges = 10_000

// cycle reports that the last module of the way loads an earlier one.
func (l *loading) cycle(way []visit, to string) {
	for way[0].module.Path != to {
		way = way[1:]
	}
	e := &diag.Error{Class: diag.Source, Code: "FS105"}
	last := way[len(way)-1]
	e.Pos = last.module.Loads[last.next-1].Pos
	if l.edges += len(way); l.edges > maxEdges && l.edges > len(way) {
		l.cycles++
		return
	}
	for _, v := range way {
		edge := v.module.Loads[v.next-1]
		e.Msg += v.module.Path + " → "
		e.Notes = append(e.Notes, diag.Note{Pos: edge.Pos, Msg: v.module.Path + " loads " + edge.Path})
	}
	e.Msg = "modules load each other: " + e.Msg + to
	l.found = append(l.found, e.WithHint("move what they share into a module that loads neither"))
}

// module reads and compiles the module at path, which is loaded at pos. It returns nil if the
// module's text or syntax has a finding. Its error ends the walk.
func (l *loading) module(path string, pos diag.Position) (*Module, *diag.Error) {
	if len(l.modules) == l.limits.Modules {
		return nil, ErrModules.Errorf("more than %d modules are loaded", l.limits.Modules).
			WithHint("put small modules together, or raise the limit with --max-modules").At(pos)
	}
	l.modules[path] = nil
	m, found := l.readModule(path, pos)
	l.found = append(l.found, found...)
	if m == nil {
		return nil, nil
	}
	l.found = append(l.found, m.findLoads()...)
	l.modules[path] = m
	return m, nil
}

// readModule reads a module, and compiles it if it doesn't come compiled. It returns nil if the
// findings are all that is known of the module.
func (l *loading) readModule(path string, pos diag.Position) (*Module, diag.List) {
	var source, module []byte
	var err error
	if s, ok := l.source.(CompiledSource); ok {
		source, module, err = s.ReadCompiled(path)
	} else {
		source, err = l.source.ReadModule(path)
	}
	if err != nil {
		return nil, diag.List{readError(err, path, pos)}
	}
	if module != nil {
		c, err := decodeCompiled(path, module)
		if err != nil {
			return nil, diag.List{diag.Errorf(diag.Position{File: path}, diag.System, "what was kept of the compiled module can't be read: %w", err).
				WithHint("remove the directory \"programs\" from flytestar's home directory")}
		}
		return &Module{Path: path, Summary: c.summary, program: c.program}, nil
	}
	c, found := compile(path, source, l.Language.Predeclared, l.limits)
	if c == nil {
		return nil, found
	}
	return &Module{Path: path, Digest: plan.DigestOf(source), Summary: c.summary, program: c.program}, found
}

// readError makes a finding of an error of reading path, which is loaded at pos.
func readError(err error, path string, pos diag.Position) *diag.Error {
	d := *sourceError(err, path)
	if !d.Pos.IsValid() {
		d.Pos = pos
	}
	switch {
	case d.Class != "":
	case pos.IsValid():
		d.Class = diag.Source
	default: // the entry, which the user has named
		d.Class = diag.Usage
	}
	return &d
}

// sourceError returns an error of ReadModule as a *diag.Error.
func sourceError(err error, path string) *diag.Error {
	var e *diag.Error
	if errors.As(err, &e) {
		return e
	}
	return diag.Errorf(diag.Position{}, diag.System, "can't read %s: %w", path, err)
}

// findLoads sets m.Loads from the load statements at m's top level.
func (m *Module) findLoads() diag.List {
	var found diag.List
	m.loads = make(map[string]string, len(m.Summary.Loads()))
	for _, l := range m.Summary.Loads() {
		pos := position(l.Pos)
		path, err := ModulePath(m.Path, l.Module)
		if err != nil {
			found = append(found, diag.Errorf(pos, diag.Source, "can't load: %w", err))
			continue
		}
		m.loads[l.Module] = path
		m.Loads = append(m.Loads, plan.Load{Path: path, Pos: pos})
	}
	return found
}

// Loaded returns the names that m loads, each with the path of the module that binds it.
func (m *Module) Loaded() iter.Seq2[string, string] {
	return func(yield func(path, name string) bool) {
		for _, l := range m.Summary.Loads() {
			for _, n := range l.Names {
				if !yield(m.loads[l.Module], n.From) {
					return
				}
			}
		}
	}
}

// execute executes the modules in order, with one budget. It stops at the first error of a module's
// code, but goes on after findings of Finished.
func (l *loading) execute() error {
	for _, m := range l.order {
		th := l.thread(m)
		if l.Running != nil {
			l.Running(m.Path)
		}
		if err := l.run(th, m); err != nil {
			l.found = append(l.found, evalError(err, l.budget, diag.Source)...)
			break
		}
		l.budget.settle(th)
	}
	l.found.Sort()
	return l.found.Err()
}

// thread makes the thread that runs m's top level.
func (l *loading) thread(m *Module) *starlark.Thread {
	th := &starlark.Thread{Name: m.Path}
	th.Print = func(th *starlark.Thread, text string) { l.print(callPosition(th), text) }
	th.Load = func(_ *starlark.Thread, name string) (starlark.StringDict, error) {
		return l.modules[m.loads[name]].Globals, nil // the order says that it has finished
	}
	if l.Language.ModuleLocal != "" {
		th.SetLocal(l.Language.ModuleLocal, m.Path)
	}
	if s, ok := l.source.(PythonSource); ok && l.Language.PythonLocal != "" {
		th.SetLocal(l.Language.PythonLocal, s.ReadPython)
	}
	l.budget.watch(th)
	return th
}

func (l *loading) print(pos diag.Position, text string) {
	if l.Print != nil {
		l.Print(pos, text)
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", pos, text)
}

func (l *loading) run(th *starlark.Thread, m *Module) error {
	globals, err := m.program.Init(th, l.Language.Predeclared)
	if err != nil {
		return err
	}
	m.Globals = globals
	if l.Language.Finished != nil {
		if err := l.Language.Finished(th, m); err != nil {
			l.found = append(l.found, evalError(err, l.budget, diag.Source)...)
		}
	}
	globals.Freeze()
	return nil
}

// callPosition returns where th's innermost call stands in a module.
func callPosition(th *starlark.Thread) diag.Position {
	for i := range th.CallStackDepth() {
		if pos := th.CallFrame(i).Pos; pos.Line > 0 {
			return position(pos)
		}
	}
	return diag.Position{}
}
