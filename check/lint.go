package check

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/resolve"
	"github.com/flytestar/flytestar/workspace"
)

// Linted is what was found in modules of one workspace.
type Linted struct {
	Dir      string        // the workspace
	Findings diag.List     // of all modules together, sorted, each once, without what is suppressed
	Modules  []lint.Module // those asked for and those that they load, sorted by path
	Settings workspace.Settings
	Partial  bool // a module doesn't load, so findings that take evaluation may be missing

	listed []string // full names of the tasks that can be invoked through the modules, sorted
	tool   evaluator.Options
}

// Lint returns the findings of modules, paths in the workspace, and of all that they load. What
// keeps a module from loading is among the findings. An error isn't the modules' fault.
func (s *Session) Lint(ctx context.Context, modules []string) (*Linted, error) {
	return s.lint(ctx, modules, s.unsaved())
}

func (s *Session) lint(ctx context.Context, modules []string, overlay map[string][]byte) (*Linted, error) {
	l := &linter{
		Session: s, overlay: overlay, under: interp.NewFiles(s.root.OS()), modules: map[string][]byte{},
		maxSize: s.opts.Tool.Limits.Defaults().Message / 2,
	}
	for _, m := range modules {
		if err := l.evaluate(ctx, m); err != nil {
			return nil, err
		}
	}
	return l.finish(ctx)
}

// linter is the state of one Lint. It is the source that modules are read from, and remembers them.
type linter struct {
	*Session
	overlay map[string][]byte
	under   interp.Source
	maxSize int64 // bytes of modules that pass to a tool at once

	mu       sync.Mutex
	modules  map[string][]byte // by path: what was read, up to maxSize
	size     int64             // bytes of all that was read
	declared lint.Declared
	listed   []string // full names of declared.Listed
	findings diag.List
}

var _ interp.Source = (*linter)(nil)

// ReadModule implements interp.Source.
func (l *linter) ReadModule(path string) ([]byte, error) {
	source, ok := l.overlay[path]
	if !ok {
		var err error
		if source, err = l.under.ReadModule(path); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, again := l.modules[path]; !again {
		l.size += int64(len(source))
	}
	if l.size <= l.maxSize {
		l.modules[path] = source
	}
	return source, nil
}

// ReadPython implements interp.PythonSource.
func (l *linter) ReadPython(path string) ([]byte, error) {
	if s, ok := l.under.(interp.PythonSource); ok {
		return s.ReadPython(path)
	}
	return nil, fs.ErrNotExist
}

// evaluate evaluates one module, and keeps what that shows.
func (l *linter) evaluate(ctx context.Context, entry string) error {
	l.declared.Entries = append(l.declared.Entries, entry)
	g, err := l.opts.Evaluate(ctx, entry, l)
	if err != nil {
		list, ok := sourceFindings(err, entry)
		if !ok {
			return err
		}
		l.declared.Partial = true
		l.findings = append(l.findings, list...)
		return nil
	}
	l.findings = append(l.findings, resolve.Lint(g, l.root.FS(), l.opts.Platform)...)
	for i := range g.Tasks {
		t := &g.Tasks[i]
		l.declared.Tasks = append(l.declared.Tasks, lint.TaskSite{Pos: t.Pos, Output: len(t.Outputs) > 0})
		if t.Listed {
			l.declared.Listed = append(l.declared.Listed, t.Name)
			l.listed = append(l.listed, entry+": "+g.FullName(i))
		}
	}
	return nil
}

// sourceFindings returns err as findings, if the source is at fault. Those without a position get
// file.
func sourceFindings(err error, file string) (diag.List, bool) {
	var list diag.List
	var one *diag.Error
	switch {
	case errors.As(err, &list):
	case errors.As(err, &one):
		list = diag.List{one}
	default:
		return nil, false
	}
	out := make(diag.List, len(list))
	for i, e := range list {
		if e.Class != "" && e.Class != diag.Source && e.Class != diag.Limit {
			return nil, false
		}
		at := *e
		if !at.Pos.IsValid() {
			at.Pos.File = file
		}
		out[i] = &at
	}
	return out, true
}

// finish adds what is found in the syntax of all modules, and takes out what is suppressed.
func (l *linter) finish(ctx context.Context) (_ *Linted, err error) {
	slices.Sort(l.listed)
	out := &Linted{Dir: l.root.Dir, Partial: l.declared.Partial, listed: l.listed, tool: l.opts.Tool}
	if out.Settings, err = l.settings(); err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(l.modules)) {
		out.Modules = append(out.Modules, lint.Module{Path: path, Source: l.modules[path]})
	}
	if l.size > l.maxSize {
		return nil, interp.ErrMessage.Errorf("the modules of %s have more than %d bytes together", l.root.Dir, l.maxSize).
			WithHint("lint fewer files at a time, or raise the limit with --max-message")
	}
	report, err := lint.Check(ctx, out.Modules, l.declared, l.opts.Tool)
	if err != nil {
		list, ok := sourceFindings(err, "")
		if !ok {
			return nil, err
		}
		report = &lint.Report{Findings: list}
	}
	all := append(l.findings, report.Findings...)
	all.Sort()
	all = slices.CompactFunc(all, func(a, b *diag.Error) bool {
		return a.Pos == b.Pos && a.Code == b.Code && a.Msg == b.Msg
	})
	all = report.Apply(all, lint.Known{Rules: Rules(), Partial: l.declared.Partial})
	out.Findings = slices.DeleteFunc(all, func(e *diag.Error) bool { return slices.Contains(out.Settings.Lint.Disable, e.Code) })
	return out, nil
}

// settings reads the workspace's flytestar.toml.
func (l *linter) settings() (workspace.Settings, error) {
	settings, err := workspace.ReadSettings(l.root.FS())
	if err != nil {
		return settings, err
	}
	return settings, checkDisabled(settings.Lint.Disable)
}

// source returns the source of a module, or nil.
func (l *Linted) source(path string) []byte {
	for _, m := range l.Modules {
		if m.Path == path {
			return m.Source
		}
	}
	return nil
}

// file returns the name of a module's file on this machine.
func (l *Linted) file(path string) string { return filepath.Join(l.Dir, filepath.FromSlash(path)) }
