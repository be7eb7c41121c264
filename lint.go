package flytestar

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/lint"
)

// LintOptions say how files are linted.
type LintOptions struct {
	Options
	// Overlay has source that is read instead of files, by the file's name; they needn't be there.
	Overlay map[string][]byte
}

// Linted is what was found in the files of one workspace.
type Linted struct {
	Dir      string        // the workspace
	Findings diag.List     // of all modules together, sorted, each once; without what is suppressed
	Modules  []lint.Module // those that the files load, the files themselves included, sorted by path
	Settings Settings
	Partial  bool // a file doesn't load: what only evaluating shows isn't among the findings

	listed []string // full names of the tasks that can be invoked through the files, sorted
}

// Lint returns the findings of files and of all modules that they load, for each workspace.
// Findings that keep a file from loading are among them; an error is none of the files'.
func Lint(ctx context.Context, files []string, opts LintOptions) ([]*Linted, error) {
	overlay, err := absolute(opts.Overlay)
	if err != nil {
		return nil, err
	}
	var linters []*linter
	for _, file := range files {
		dir, entry, err := find(opts.Workspace, file, overlay)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(linters, func(l *linter) bool { return l.dir == dir })
		if i < 0 {
			i = len(linters)
			linters = append(linters, &linter{dir: dir, opts: opts.Options, overlay: overlay, modules: map[string][]byte{}})
		}
		if err := linters[i].load(ctx, entry); err != nil {
			return nil, err
		}
	}
	var out []*Linted
	for _, l := range linters {
		linted, err := l.lint(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, linted)
	}
	return out, nil
}

// absolute returns an overlay by the files' absolute names, of which each stands for one file's only source.
func absolute(overlay map[string][]byte) (map[string][]byte, error) {
	out := make(map[string][]byte, len(overlay))
	for name, source := range overlay {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		if _, twice := out[abs]; twice {
			return nil, usage("the overlay has the source of %s twice", abs)
		}
		out[abs] = source
	}
	return out, nil
}

// find is workspace, where a file that the overlay has needn't be there.
func find(root, file string, overlay map[string][]byte) (dir, entry string, err error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", "", err
	}
	if _, ok := overlay[abs]; ok {
		return locate(root, abs)
	}
	return workspace(root, abs)
}

// linter lints the files of one workspace.
type linter struct {
	dir     string
	opts    Options
	overlay map[string][]byte // by absolute file name

	mu       sync.Mutex
	modules  map[string][]byte // what was read of them, by path, up to the limit of a message
	size     int64             // bytes of all that was read
	declared lint.Declared
	listed   []string // full names of declared.Listed
	findings diag.List
}

// recorder is a Source that remembers what was read.
type recorder struct {
	*linter
	under interp.Source
}

// ReadModule implements interp.Source.
func (r recorder) ReadModule(path string) ([]byte, error) {
	source, ok := r.overlay[filepath.Join(r.dir, filepath.FromSlash(path))]
	if !ok {
		var err error
		if source, err = r.under.ReadModule(path); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, again := r.modules[path]; !again {
		r.size += int64(len(source))
	}
	if r.size <= r.maxSize() {
		r.modules[path] = source
	}
	return source, nil
}

// maxSize is how many bytes of modules pass to a tool at once.
func (l *linter) maxSize() int64 { return l.opts.Limits.Defaults().Message / 2 }

// load loads one file, for what evaluating it shows.
func (l *linter) load(ctx context.Context, entry string) (err error) {
	l.declared.Entries = append(l.declared.Entries, entry)
	w, err := load(ctx, l.dir, entry, l.opts, func(s interp.Source) interp.Source { return recorder{l, s} })
	if err != nil {
		list, ok := sourceFindings(err, entry)
		if !ok {
			return err
		}
		l.declared.Partial = true
		l.findings = append(l.findings, list...)
		return nil
	}
	defer closeInto(&err, w.Close)
	l.findings = append(l.findings, w.Lint()...)
	for i := range w.graph.Tasks {
		t := &w.graph.Tasks[i]
		l.declared.Tasks = append(l.declared.Tasks, lint.TaskSite{Pos: t.Pos, Output: len(t.Outputs) > 0})
		if t.Listed {
			l.declared.Listed = append(l.declared.Listed, t.Name)
			l.listed = append(l.listed, entry+": "+w.graph.FullName(i))
		}
	}
	return nil
}

// sourceFindings returns err as findings, if the source is at fault. One without a position gets file.
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

// lint finds what there is in the syntax of all modules, and takes out what is suppressed.
func (l *linter) lint(ctx context.Context) (*Linted, error) {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	slices.Sort(l.listed)
	out := &Linted{Dir: l.dir, Partial: l.declared.Partial, listed: l.listed}
	if out.Settings, err = readSettings(root); err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(l.modules)) {
		out.Modules = append(out.Modules, lint.Module{Path: path, Source: l.modules[path]})
	}
	if l.size > l.maxSize() {
		return nil, interp.ErrMessage.Errorf("the modules of %s have more than %d bytes together", l.dir, l.maxSize()).
			WithHint("lint fewer files at a time, or raise the limit with --max-message")
	}
	report, err := lint.Check(ctx, out.Modules, l.declared, l.opts.tool())
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

// Bounds on the findings of a module for which [Linted.Replacements] works out the edits: how many, and the bytes that are
// parsed for them, each anew.
const (
	maxReplaced = 100
	maxReparsed = 16 << 20
)

// Replacements returns the edits that mend findings, each for its finding alone, for the first of each module.
// Whether the result evaluates isn't looked at, as it is by [Fix].
func (l *Linted) Replacements(ctx context.Context, opts Options) (map[*diag.Error][]lint.Replacement, error) {
	out := map[*diag.Error][]lint.Replacement{}
	for _, m := range l.Modules {
		var mendable []*diag.Error
		var fixes []diag.Fix
		for _, e := range l.Findings {
			if e.Fix != nil && lint.FixedModule(e.Fix) == m.Path && len(fixes) < maxReplaced && (len(fixes)+1)*len(m.Source) <= maxReparsed {
				mendable, fixes = append(mendable, e), append(fixes, *e.Fix)
			}
		}
		if len(fixes) == 0 {
			continue
		}
		edits, err := lint.EditEach(ctx, m, fixes, opts.tool())
		var one *diag.Error
		if errors.As(err, &one) && one.Class == diag.Source {
			continue // buildtools' parser doesn't take it, which is a finding
		}
		if err != nil {
			return nil, err
		}
		for i, e := range mendable {
			out[e] = edits[i]
		}
	}
	return out, nil
}

// Format returns the source of a module, laid out anew; name is for positions. The source is at fault where
// that can't be done, and the error a *diag.Error or a diag.List.
func Format(ctx context.Context, name string, source []byte, opts Options) ([]byte, error) {
	return lint.Format(ctx, lint.Module{Path: name, Source: source}, opts.tool())
}

// tool is how a tool's process is run.
func (o *Options) tool() evaluator.Options {
	return evaluator.Options{Limits: o.Limits, RequireSandbox: o.RequireSandbox, Locked: o.Locked}
}
