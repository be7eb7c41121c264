package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// stdout is the standard output of an attempt. Where an output is standard output, it goes into the
// store while the attempt runs.
type stdout struct {
	w    io.Writer
	name string // of the output; empty: there is none
	pipe *io.PipeWriter
	kept chan error // told the outcome once
	file plan.File
}

// errEnded is why standard output isn't kept.
var errEnded = errors.New("the attempt didn't succeed")

// stdout returns where an attempt's standard output goes. The caller calls end.
func (e *Executor) stdout(ctx context.Context, outputs []plan.Param, log io.Writer) *stdout {
	s := &stdout{w: log}
	for _, p := range outputs {
		if p.Stdout {
			s.name = p.Name
		}
	}
	if s.name == "" {
		return s
	}
	r, w := io.Pipe()
	s.w, s.pipe, s.kept = w, w, make(chan error, 1)
	go func() {
		var err error
		s.file, err = e.Store.PutFile(ctx, s.name, r)
		r.CloseWithError(err) // so that the attempt doesn't wait for a reader
		s.kept <- err
	}()
	return s
}

// into adds standard output to the outputs of an attempt that succeeded.
func (s *stdout) into(res *exec.Result) error {
	if s.name == "" {
		return nil
	}
	s.pipe.Close()
	err := <-s.kept
	s.kept <- err // for end
	if err == nil {
		res.Outputs[s.name] = s.file
	}
	return err
}

// end waits until nothing is under way any more.
func (s *stdout) end() {
	if s.name != "" {
		s.pipe.CloseWithError(errEnded)
		<-s.kept
	}
}

// matches are the outputs that patterns find in the working directory.
type matches struct {
	executor *Executor
	outputs  []plan.Param
	found    map[string]plan.Value
	refused  []string
}

// written returns a function for exec.Container.Written; nil if no output has a pattern.
func (m *matches) written(ctx context.Context) func(dir *os.Root) error {
	for _, p := range m.outputs {
		if p.Glob != "" {
			return func(root *os.Root) error { return m.look(ctx, root) }
		}
	}
	return nil
}

// look keeps what the patterns match in a directory, which is nil if nothing was written.
func (m *matches) look(ctx context.Context, root *os.Root) (err error) {
	m.found = map[string]plan.Value{}
	var names []fs.DirEntry
	var paths []string
	if root != nil {
		if paths, names, err = walk(ctx, root); err != nil {
			return err
		}
	}
	for _, p := range m.outputs {
		if p.Glob == "" {
			continue
		}
		if err := m.output(ctx, root, p, paths, names); err != nil {
			return err
		}
	}
	return nil
}

// walk returns what is in a directory, in the order of paths.
func walk(ctx context.Context, root *os.Root) (paths []string, entries []fs.DirEntry, err error) {
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case p == ".":
			return nil
		case !exec.ValidPath(p) && d.IsDir():
			return fs.SkipDir
		}
		paths, entries = append(paths, p), append(entries, d)
		return nil
	})
	sort.Sort(byPath{paths, entries})
	return paths, entries, err
}

type byPath struct {
	paths   []string
	entries []fs.DirEntry
}

func (b byPath) Len() int           { return len(b.paths) }
func (b byPath) Less(i, j int) bool { return b.paths[i] < b.paths[j] }
func (b byPath) Swap(i, j int) {
	b.paths[i], b.paths[j] = b.paths[j], b.paths[i]
	b.entries[i], b.entries[j] = b.entries[j], b.entries[i]
}

// output keeps what the pattern of an output matches: files, or directories where its type says so.
func (m *matches) output(ctx context.Context, root *os.Root, p plan.Param, paths []string, entries []fs.DirEntry) error {
	if m.executor.Pattern == nil {
		return diag.Errorf(diag.Position{}, diag.System, "output %q: this executor has no patterns", p.Name)
	}
	match, err := m.executor.Pattern(p.Glob)
	if err != nil {
		return diag.Errorf(diag.Position{}, diag.Task, "output %q: the pattern %.200q: %w", p.Name, p.Glob, err)
	}
	kept := []plan.Value{}
	for i, name := range paths {
		d := entries[i]
		if d.IsDir() != ofDirs(p.Type) || d.Type()&fs.ModeDevice != 0 { // a device is what overlays have for what is gone
			continue
		}
		matches, err := match(name)
		if err != nil {
			return diag.Errorf(diag.Position{}, diag.Task, "output %q: the pattern %.200q: %w", p.Name, p.Glob, err)
		}
		if !matches {
			continue
		}
		if !exec.ValidPath(name) {
			m.refused = append(m.refused, fmt.Sprintf("%s: it matches %.200q, which isn't UTF-8 or is too long", p.Name, name))
			continue
		}
		v, refused, err := keep(ctx, m.executor.Store, root, name, path.Base(name), d)
		if err != nil {
			return err
		}
		for _, r := range refused {
			m.refused = append(m.refused, p.Name+": it matches "+r)
		}
		if v != nil {
			kept = append(kept, v)
		}
	}
	m.found[p.Name] = kept
	return nil
}

// ofDirs reports whether a type is Dir, or a list of them.
func ofDirs(t plan.Type) bool {
	for t.Elem != nil {
		t = *t.Elem
	}
	return t.Kind == plan.KindDir
}
