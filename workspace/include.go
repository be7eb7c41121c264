package workspace

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/flytestar/flytestar/plan"
)

// Carried returns the files of the workspace that a task's container sees, sorted: those that the
// task's include selects and, for a Python function, its file and all others below its package's
// root. A task that runs in no container carries none. Errors are as those of [Include]. What lies
// beside a Python file and can't be carried is no error: nobody named it.
func Carried(files fs.FS, t *plan.Task) ([]string, error) { return NewReader(files).Carried(t) }

// Carried is the function [Carried].
func (r *Reader) Carried(t *plan.Task) ([]string, error) {
	if !t.InContainer() {
		return nil, nil
	}
	named, err := r.Include(quote(t.Dir), t.Include)
	if err != nil || t.Body.Kind != plan.BodyPython {
		return named, err
	}
	beside, err := r.beside(t)
	if err != nil {
		return nil, err
	}
	return sorted(append(beside.matches[:len(beside.matches):len(beside.matches)], append(named, t.Body.File)...)), nil
}

// LeftOut returns the files beside a Python task's file that would be carried if they could be. Those
// that are left out by rule aren't among them.
func (r *Reader) LeftOut(t *plan.Task) []plan.LeftOut {
	if !t.InContainer() || t.Body.Kind != plan.BodyPython {
		return nil
	}
	beside, err := r.beside(t)
	if err != nil {
		return nil // which Carried says
	}
	return beside.left
}

// beside selects what a Python task picks up.
func (r *Reader) beside(t *plan.Task) (*selection, error) {
	if err := carriable(r.files, t.Body.File); err != nil {
		return nil, err
	}
	m, err := r.PythonModule(&t.Body)
	if err != nil {
		return nil, err
	}
	s, err := r.walk(path.Join(quote(m.Root), "**/*.py"), true)
	if err != nil {
		return nil, fmt.Errorf("what is beside %s: %w", shown(t.Body.File), err)
	}
	return s, r.spent.spend(perMatch * len(s.matches))
}

// Include returns the files of the workspace that patterns select, sorted, each once. A pattern is
// relative to dir, or to the workspace after "//"; "**" spans directories. A symbolic link counts
// as the file that it leads to. What exclude.go says is left out, unless a pattern names it. It is an
// error for a pattern to match no file, to lead out of the workspace, or to match what is neither
// file nor directory.
func Include(files fs.FS, dir string, patterns []string) ([]string, error) {
	return NewReader(files).Include(dir, patterns)
}

// Include is the function [Include].
func (r *Reader) Include(dir string, patterns []string) ([]string, error) {
	if len(patterns) > maxPatterns {
		return nil, fmt.Errorf("include has %d patterns, more than %d", len(patterns), maxPatterns)
	}
	var all []string
	for _, p := range patterns {
		matches, err := r.selected(dir, p)
		if err != nil {
			return nil, fmt.Errorf("include %.100q: %w", p, err)
		}
		if err := r.spent.spend(perMatch * len(matches)); err != nil {
			return nil, fmt.Errorf("include %.100q: %w", p, err)
		}
		all = append(all, matches...)
	}
	return sorted(all), nil
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// perMatch is what one file among those that a pattern selects costs of a budget, whoever asks: it is
// sorted and looked at again.
const perMatch = 64

// selected returns the files that one pattern selects.
func (r *Reader) selected(dir, pattern string) ([]string, error) {
	full := path.Join(dir, pattern)
	if rest, ok := strings.CutPrefix(pattern, "//"); ok {
		full = path.Clean(rest)
	}
	if !fs.ValidPath(full) {
		return nil, errors.New("leads out of the workspace")
	}
	s, err := r.walk(full, false)
	switch {
	case err != nil:
		return nil, err
	case len(s.matches) > 0:
		return s.matches, nil
	case s.dirs:
		return nil, errors.New("matches only directories; add /** for what is in them")
	case s.filter.passed != "":
		return nil, fmt.Errorf("matches no file; %s is left out, unless a pattern names it", shown(s.filter.passed))
	}
	return nil, errors.New("matches no file")
}

// walk returns what a pattern, a path in the workspace, selects. With lenient, what can't be carried
// is left out.
func (r *Reader) walk(pattern string, lenient bool) (*selection, error) {
	return remember(r.selections, fmt.Sprint(lenient, pattern), func() (*selection, error) {
		ig, err := r.ignored()
		if err != nil {
			return nil, err
		}
		s := &selection{files: r.files, budget: &r.spent, lenient: lenient, root: fixed(pattern), filter: newFilter(ig, pattern)}
		if s.glob, err = parseGlob(pattern); err != nil {
			return nil, err
		}
		if info, err := fs.Lstat(s.files, s.root); s.root == pattern && err == nil && !info.IsDir() {
			return s, s.take(pattern)
		}
		return s, fs.WalkDir(s.files, s.root, s.visit)
	})
}

// selection is what one pattern selects.
type selection struct {
	files   fs.FS
	glob    glob
	budget  *budget
	lenient bool
	root    string // where the walk begins
	filter  *filter
	matches []string
	left    []plan.LeftOut // with lenient: what can't be carried
	dirs    bool           // the pattern matches a directory
}

func (s *selection) visit(name string, d fs.DirEntry, err error) error {
	if errors.Is(err, fs.ErrNotExist) { // it has gone since its directory was listed, or never was
		return nil
	}
	if err != nil {
		return s.refuse(name, fmt.Errorf("%s can't be read: %w", shown(name), cause(err)))
	}
	if err := s.budget.spend(perVisit + s.glob.cost(name)); err != nil {
		return err
	}
	matches := s.glob.match(name)
	if name != s.root {
		wanted := matches || d.IsDir() && s.glob.leads(name)
		if out, err := s.filter.passes(name, d.IsDir(), wanted); err != nil {
			return err
		} else if out {
			return s.skip(d)
		}
	}
	switch {
	case matches && !d.IsDir():
		return s.take(name)
	case !d.IsDir():
		return nil
	}
	s.dirs = s.dirs || matches
	if !s.glob.leads(name) {
		return fs.SkipDir
	}
	if !utf8.ValidString(name) { // then nothing in it can be named
		return cmp.Or(s.refuse(name, notUTF8(name)), fs.SkipDir)
	}
	return nil
}

// skip passes over what is left out, and over what is in it unless a pattern may take that back in.
func (s *selection) skip(d fs.DirEntry) error {
	if d.IsDir() && !s.filter.keeps() {
		return fs.SkipDir
	}
	return nil
}

// take selects a file that the pattern matches.
func (s *selection) take(name string) error {
	err := carriable(s.files, name)
	if err == nil && s.lenient {
		err = readable(s.files, name)
	}
	if err == nil {
		s.matches = append(s.matches, name)
		return nil
	}
	if _, there := fs.Lstat(s.files, name); utf8.ValidString(name) && errors.Is(there, fs.ErrNotExist) { // it has gone since its directory was listed
		return nil
	}
	return s.refuse(name, err)
}

// refuse is about what can't be carried: why is an error, or a reason to leave it out.
func (s *selection) refuse(name string, why error) error {
	if !s.lenient {
		return why
	}
	s.leave(name, why)
	return nil
}

// carriable returns an error unless a container can be given the file.
func carriable(files fs.FS, name string) error {
	if !utf8.ValidString(name) {
		return notUTF8(name)
	}
	info, err := fs.Stat(files, name)
	switch {
	case errors.Is(err, fs.ErrNotExist): // only a link can be there and not be
		return fmt.Errorf("%s is a symbolic link to what isn't there", shown(name))
	case err != nil:
		return fmt.Errorf("%s can't be read: %w", shown(name), cause(err))
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return fmt.Errorf("%s is a symbolic link to a directory", shown(name))
	}
	return fmt.Errorf("%s is neither a file nor a directory", shown(name))
}

// wildcards are the characters with which a pattern isn't a plain path.
const wildcards = `*?[\`

// fixed returns the directory, or the file, above which a pattern has nothing to match.
func fixed(pattern string) string {
	meta := strings.IndexAny(pattern, wildcards)
	if meta < 0 {
		return pattern
	}
	return path.Dir(pattern[:meta] + "x")
}
