package source

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Include returns the files of the workspace that patterns select, sorted, each
// once. A pattern is relative to dir, or to the workspace after "//"; "**" spans
// directories. A symbolic link counts as the file that it leads to. Directories of version control (.git) and skip, if
// it isn't empty, are left out. It is an error for a pattern to match no file, to
// lead out of the workspace, or to match what is neither file nor directory.
func Include(files fs.FS, dir string, patterns []string, skip string) ([]string, error) {
	var all []string
	for _, p := range patterns {
		matches, err := include1(files, dir, p, skip)
		if err != nil {
			return nil, fmt.Errorf("include %q: %w", p, err)
		}
		all = append(all, matches...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func include1(files fs.FS, dir, pattern, skip string) ([]string, error) {
	full := path.Join(dir, pattern)
	if rest, ok := strings.CutPrefix(pattern, "//"); ok {
		full = path.Clean(rest)
	}
	if !fs.ValidPath(full) {
		return nil, errors.New("leads out of the workspace")
	}
	re, err := glob(full)
	if err != nil {
		return nil, err
	}
	var matches []string
	dirs := false
	err = fs.WalkDir(files, fixed(full), func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || skip != "" && name == skip):
			return fs.SkipDir
		case !re.MatchString(name):
			return nil
		case d.IsDir():
			dirs = true
			return nil
		}
		info, err := fs.Stat(files, name)
		if errors.Is(err, fs.ErrNotExist) { // only a link can be there and not be
			return fmt.Errorf("%s is a symbolic link to what isn't there", name)
		}
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			matches = append(matches, name)
			return nil
		}
		if info.IsDir() {
			return fmt.Errorf("%s is a symbolic link to a directory", name)
		}
		return fmt.Errorf("%s is neither a file nor a directory", name)
	})
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case len(matches) == 0 && dirs:
		return nil, errors.New("matches only directories; add /** for what is in them")
	case len(matches) == 0:
		return nil, errors.New("matches no file")
	}
	return matches, nil
}

// fixed returns the directory, or the file, above which a pattern has nothing to match.
func fixed(pattern string) string {
	meta := strings.IndexAny(pattern, `*?[\`)
	if meta < 0 {
		return pattern
	}
	return path.Dir(pattern[:meta] + "x")
}
