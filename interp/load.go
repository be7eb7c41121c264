package interp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"os"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Loader loads programs, in this process.
type Loader struct {
	Language Language
	Limits   Limits // zero fields mean the defaults
	// Print is told what modules print. nil: it goes to standard error.
	Print func(pos diag.Position, text string)
	// Running is told which module begins to run. It may be nil.
	Running func(path string)
}

// Load reads the module at entry and all that it loads from source, executes
// each once, and freezes them.
//
// Load statements stand only at a module's top level, and their paths are
// literals. So Load reads and checks all modules before it runs any, and reports
// the findings of all at once: its error is a diag.List.
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

// Read returns the source of a module, of at most limit bytes. Its error says why it can't be loaded.
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

// loading is one load of a program.
type loading struct {
	Loader
	source  Source
	limits  Limits
	budget  *budget
	modules map[string]*Module // by path; nil for one with findings of its own
	order   []*Module          // each after those that it loads
	found   diag.List

	cycles   int // that have been found and aren't reported
	edges    int // in those of them that are reported
	compared int // names, to suggest one
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

// visit is a module on the walk's way down from the entry.
type visit struct {
	module *Module
	next   int // the load statement to follow
}

// walk reads modules in depth-first order, with a stack of its own: a chain of
// loads may be long. It returns only what ends the walk; other findings it keeps.
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

// maxEdges bounds how many loads the findings of cycles list together: 1,000
// modules that all load each other have half a million cycles of hundreds of loads.
const maxEdges = 10_000

// cycle reports that the module at the end of the way loads one that is on it.
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

// module reads and compiles the module at path, loaded at pos. It returns nil
// for one whose text or syntax has a finding, and an error for what ends the walk.
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

// readModule reads a module and compiles it, unless that has been done. It
// returns nil for one of which nothing is known but what is found.
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
	return &Module{Path: path, Digest: Digest(source), Summary: c.summary, program: c.program}, found
}

// readError makes a finding at pos of why path couldn't be read.
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

// sourceError is an error of ReadModule's as a diag.Error.
func sourceError(err error, path string) *diag.Error {
	var e *diag.Error
	if errors.As(err, &e) {
		return e
	}
	return diag.Errorf(diag.Position{}, diag.System, "can't read %s: %w", path, err)
}

// Digest returns the digest of a module's source: see [Module].
func Digest(source []byte) string {
	sum := sha256.Sum256(source)
	return "sha256:" + hex.EncodeToString(sum[:])
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

// Loaded returns the names that m's load statements ask for, each with the path of the module that has it.
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

// execute runs the modules in order, with one budget. It ends at the first
// error of a module's code; what Finished finds, it collects.
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
		return l.modules[m.loads[name]].Globals, nil // it has finished, by the order
	}
	if l.Language.ModuleLocal != "" {
		th.SetLocal(l.Language.ModuleLocal, m.Path)
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

// callPosition returns the position in a module of th's innermost call.
func callPosition(th *starlark.Thread) diag.Position {
	for i := range th.CallStackDepth() {
		if pos := th.CallFrame(i).Pos; pos.Line > 0 {
			return position(pos)
		}
	}
	return diag.Position{}
}
