package workspace

import (
	"errors"
	"io/fs"
)

// Pattern reads a pattern of paths, with the rules of [Include], and returns whether a path matches.
// All matches together take a bounded number of steps; more are an error.
func Pattern(p string) (match func(path string) (bool, error), err error) {
	if !fs.ValidPath(p) { // no name begins with "/", is empty, or is ".."
		return nil, errors.New("it can't match: paths are relative, and don't leave the directory")
	}
	g, err := parseGlob(p)
	if err != nil {
		return nil, err
	}
	var b budget
	return func(path string) (bool, error) {
		if err := b.spend(g.cost(path)); err != nil {
			return false, err
		}
		return g.match(path), nil
	}, nil
}
