package workspace

import (
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
// root. A task that runs in no container carries none. Errors are as those of [Include].
func Carried(files fs.FS, t *plan.Task) ([]string, error) { return NewReader(files).Carried(t) }

// Carried is the function [Carried].
func (r *Reader) Carried(t *plan.Task) ([]string, error) {
	if !t.InContainer() {
		return nil, nil
	}
	patterns := t.Include
	if t.Body.Kind == plan.BodyPython {
		m, err := r.PythonModule(&t.Body)
		if err != nil {
			return nil, err
		}
		// The file itself comes first: if it is missing, the error should say so.
		patterns = append([]string{"//" + quote(t.Body.File), "//" + path.Join(quote(m.Root), "**/*.py")}, patterns...)
	}
	return r.Include(quote(t.Dir), patterns)
}

// Include returns the files of the workspace that patterns select, sorted, each once. A pattern is
// relative to dir, or to the workspace after "//"; "**" spans directories. A symbolic link counts
// as the file that it leads to. Directories of version control (.git) are left out. It is an error
// for a pattern to match no file, to lead out of the workspace, or to match what is neither file
// nor directory.
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
	slices.Sort(all)
	return slices.Compact(all), nil
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
	return remember(r.selections, full, func() ([]string, error) {
		s := selection{files: r.files, budget: &r.spent}
		err := s.run(full)
		return s.matches, err
	})
}

// selection is what one pattern selects.
type selection struct {
	files   fs.FS
	glob    glob
	budget  *budget
	matches []string
	dirs    bool // the pattern matches a directory
}

func (s *selection) run(pattern string) (err error) {
	if s.glob, err = parseGlob(pattern); err != nil {
		return err
	}
	err = fs.WalkDir(s.files, fixed(pattern), s.visit)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case len(s.matches) > 0:
		return nil
	case s.dirs:
		return errors.New("matches only directories; add /** for what is in them")
	}
	return errors.New("matches no file")
}

func (s *selection) visit(name string, d fs.DirEntry, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s can't be read: %w", name, cause(err))
	}
	if d.IsDir() && d.Name() == ".git" {
		return fs.SkipDir
	}
	if err := s.budget.spend(perVisit + s.glob.cost(name)); err != nil {
		return err
	}
	if !s.glob.match(name) {
		return nil
	}
	if d.IsDir() {
		s.dirs = true
		return nil
	}
	if err := carriable(s.files, name); err != nil {
		return err
	}
	s.matches = append(s.matches, name)
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
		return fmt.Errorf("%s is a symbolic link to what isn't there", name)
	case err != nil:
		return fmt.Errorf("%s can't be read: %w", name, cause(err))
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return fmt.Errorf("%s is a symbolic link to a directory", name)
	}
	return fmt.Errorf("%s is neither a file nor a directory", name)
}

// fixed returns the directory, or the file, above which a pattern has nothing to match.
func fixed(pattern string) string {
	meta := strings.IndexAny(pattern, `*?[\`)
	if meta < 0 {
		return pattern
	}
	return path.Dir(pattern[:meta] + "x")
}
