package flytestar

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
)

// maxExcerptSource bounds what is read of a file for its excerpts, in bytes: more than a module may have.
const maxExcerptSource = 4 << 20

// Lines returns the source lines of a workflow's files, for [diag.Render]. The
// arguments are Load's, since a workflow that doesn't load has positions too.
func Lines(file string, opts Options) diag.Lines {
	dir, _, err := workspace(opts.Workspace, file)
	if err != nil {
		return nil
	}
	var mu sync.Mutex
	cache := map[string][]string{}
	return func(file string) []string {
		mu.Lock()
		defer mu.Unlock()
		lines, known := cache[file]
		if !known {
			lines = readLines(dir, file)
			cache[file] = lines
		}
		return lines
	}
}

// readLines reads a regular file within dir; nil where there is none, since an excerpt is only an extra.
func readLines(dir, file string) []string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	name := filepath.FromSlash(file)
	if info, err := root.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := root.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxExcerptSource))
	if err != nil {
		return nil
	}
	return strings.Split(string(data), "\n")
}
