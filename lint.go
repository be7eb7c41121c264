package flytestar

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/flytestar/flytestar/check"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// LintOptions say how files are linted.
type LintOptions struct {
	Options
	// Overlay has source that is read instead of files, by the file's name. There needn't be a
	// file.
	Overlay map[string][]byte
}

// What [Lint] and [Fix] return, and [Write] takes.
type (
	Linted = check.Linted     // what was found in the files of one workspace
	Change = workspace.Change // a file's new content
)

// FailOns are the values of fail-on in a flytestar.toml, the strictest first.
var FailOns = workspace.FailOns

// Lint returns the findings of files and of all modules that they load, for each workspace. What
// keeps a file from loading is among the findings. An error isn't the files' fault.
func Lint(ctx context.Context, files []string, opts LintOptions) ([]*Linted, error) {
	sessions, err := openSessions(files, opts)
	if err != nil {
		return nil, err
	}
	defer sessions.close()
	var out []*Linted
	for _, s := range sessions {
		l, err := s.Lint(ctx, s.modules)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// Fixed is what [Fix] made of files.
type Fixed struct {
	Linted  []*Linted // what is left, for each workspace; a note on a finding that couldn't be mended says why
	Changes []Change  // for [Write]
	Mended  int       // findings that are gone
}

// Fix mends those findings of [Lint] that carry an edit. It writes nothing. An edit is kept only if
// its findings disappear, no new errors or warnings appear, and the same tasks remain callable.
func Fix(ctx context.Context, files []string, opts LintOptions) (*Fixed, error) {
	sessions, err := openSessions(files, opts)
	if err != nil {
		return nil, err
	}
	defer sessions.close()
	out := &Fixed{}
	for _, s := range sessions {
		f, err := s.Fix(ctx, s.modules)
		if err != nil {
			return nil, err
		}
		out.Linted = append(out.Linted, f.Linted)
		out.Mended += f.Mended
		for _, c := range f.Changes {
			out.change(c)
			sessions.update(c.File, c.After) // a workspace may lie in another
		}
	}
	return out, nil
}

// change adds a change, or goes on with one of the same file.
func (f *Fixed) change(c Change) {
	i := slices.IndexFunc(f.Changes, func(had Change) bool { return had.File == c.File })
	if i < 0 {
		f.Changes = append(f.Changes, c)
		return
	}
	f.Changes[i].After = c.After
}

// Write writes all changes, or none if one can't be written. See [workspace.Write].
func Write(changes []Change) error { return workspace.Write(changes) }

// Format returns the source of a module, laid out anew; name is for positions. If the source is at
// fault, the error is a *diag.Error or a diag.List.
func Format(ctx context.Context, name string, source []byte, opts Options) ([]byte, error) {
	return check.Format(ctx, name, source, opts.tool())
}

// session checks the files of one workspace.
type session struct {
	*check.Session
	root    *workspace.Root
	modules []string // that were asked for
}

type sessions []*session

// openSessions opens a session for each workspace that files are in.
func openSessions(files []string, opts LintOptions) (_ sessions, err error) {
	overlay, err := absolute(opts.Overlay)
	if err != nil {
		return nil, err
	}
	if err := opts.complete(); err != nil {
		return nil, err
	}
	var all sessions
	defer func() {
		if err != nil {
			all.close()
		}
	}()
	for _, file := range files {
		dir, module, err := find(opts.Workspace, file, overlay)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(s *session) bool { return s.root.Dir == dir })
		if i < 0 {
			root, err := workspace.Open(dir, opts.Home)
			if err != nil {
				return nil, err
			}
			i = len(all)
			all = append(all, &session{Session: check.Open(root, opts.check()), root: root})
		}
		all[i].modules = append(all[i].modules, module)
	}
	for file, source := range overlay {
		all.update(file, source)
	}
	return all, nil
}

// update gives a file's unsaved source to the workspaces that it is in.
func (all sessions) update(file string, source []byte) {
	for _, s := range all {
		if rel, err := filepath.Rel(s.root.Dir, file); err == nil && filepath.IsLocal(rel) {
			s.Update(filepath.ToSlash(rel), source)
		}
	}
}

func (all sessions) close() {
	for _, s := range all {
		_ = s.root.Close() // it was only read
	}
}

// absolute returns an overlay by the files' absolute names. It is an error if a file has two
// sources.
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
		if source == nil {
			source = []byte{}
		}
		out[abs] = source
	}
	return out, nil
}

// find locates a file, which must be there unless the overlay has it.
func find(root, file string, overlay map[string][]byte) (dir, module string, err error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return "", "", err
	}
	if _, ok := overlay[abs]; ok {
		return workspace.Locate(root, abs)
	}
	return workspace.LocateFile(root, abs)
}

// check returns how a session evaluates modules.
func (o *Options) check() check.Options {
	evaluate := func(ctx context.Context, entry string, source interp.Source) (*plan.Graph, error) {
		e, g, err := o.evaluate(ctx, entry, source)
		if err != nil {
			return nil, err
		}
		return g, e.Close()
	}
	return check.Options{Evaluate: evaluate, Tool: o.tool(), Platform: o.Platform}
}

// tool is how a tool's process is run.
func (o *Options) tool() evaluator.Options {
	return evaluator.Options{Limits: o.Limits, RequireSandbox: o.RequireSandbox, Locked: o.Locked}
}
