package workspace

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

// This file has the one rule for what is left out where nobody names each file: of what a source
// folder holds, of what a wildcard selects, and of what a Python task picks up beside its file.
// spec.md, "Files that are left out".

// byTools are the names that tools give to what they make and can make again, as patterns of an
// ignore file. Later patterns can take a name back in.
var byTools = []string{
	".git", ".hg/", ".svn/", ".jj/", // .git may be a file
	".venv/", "node_modules/", "__pycache__/", ".tox/", ".nox/", ".eggs/", ".direnv/", ".pixi/",
	".mypy_cache/", ".pytest_cache/", ".ruff_cache/", ".hypothesis/", ".ipynb_checkpoints/",
	".#*", // locks of Emacs: links to what isn't there
}

// isEnvironment reports whether a directory is a Python environment, whatever its name: one of venv
// or of conda.
func isEnvironment(files fs.FS, dir string) bool {
	for _, sign := range []string{"pyvenv.cfg", "conda-meta/history"} {
		if info, err := fs.Lstat(files, path.Join(dir, sign)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// IgnoreFile is the file at the workspace's root with patterns, as those of .gitignore, of what no
// wildcard selects.
const IgnoreFile = ".flytestarignore"

// ignored returns what the workspace's ignore file and [byTools] leave out.
func (r *Reader) ignored() (*ignore, error) {
	return remember(r.ignores, "", func() (*ignore, error) {
		text, err := readPatterns(r.files, IgnoreFile)
		if err != nil {
			return nil, err
		}
		ig := &ignore{files: r.files, folder: ".", budget: &r.spent}
		text = strings.TrimPrefix(text, "\ufeff")
		if err := ig.parse(strings.Split(text, "\n")); err != nil {
			return nil, fmt.Errorf("%s: %w", IgnoreFile, err)
		}
		return ig, nil
	})
}

// filter passes over members while a pattern's walk comes to them.
type filter struct {
	*ignore
	named    map[string]bool    // names that the pattern has between slashes, without wildcards: they are wanted
	verdicts map[string]verdict // of directories
	passed   string             // the first directory or file that was left out
}

func newFilter(ig *ignore, pattern string) *filter {
	f := &filter{ignore: ig, named: map[string]bool{}, verdicts: map[string]verdict{}}
	for name := range strings.SplitSeq(pattern, "/") {
		if !strings.ContainsAny(name, wildcards) {
			f.named[name] = true
		}
	}
	return f
}

// passes reports whether a member is left out. Its directory was asked about before. wanted says
// whether the pattern would select it.
func (f *filter) passes(name string, dir, wanted bool) (bool, error) {
	if f.named[path.Base(name)] {
		return false, nil
	}
	v, err := f.judge(name, dir, f.verdicts[path.Dir(name)])
	if err != nil {
		return false, err
	}
	if dir {
		f.verdicts[name] = v
	}
	if v.out && wanted && f.passed == "" {
		f.passed = name
	}
	return v.out, nil
}

// maxLeftOut bounds the files of which a Reader says that a task doesn't get them.
const maxLeftOut = 100

// leave records that a file is left out because it can't be carried.
func (s *selection) leave(name string, why error) {
	if s.left = append(s.left, plan.LeftOut{Path: shown(name), Why: why.Error()}); len(s.left) > maxLeftOut {
		s.left = s.left[:maxLeftOut]
	}
}

// shown returns a file's name as messages have it: quoted if it isn't plain.
func shown(name string) string {
	if q := strconv.Quote(name); q != `"`+name+`"` {
		return q
	}
	return name
}
