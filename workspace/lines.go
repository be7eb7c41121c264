package workspace

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
)

// maxExcerpt bounds what is read of a file for its excerpts, in bytes: more than a module may have.
const maxExcerpt = 4 << 20

// Lines returns the source lines of the files of the workspace at dir, for [diag.Render]. It reads
// each file once, when it is first asked for.
func Lines(dir string) diag.Lines {
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

// readLines reads a regular file within dir. It returns nil where there is none: an excerpt is an
// extra.
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
	data, err := io.ReadAll(io.LimitReader(f, maxExcerpt))
	if err != nil {
		return nil
	}
	return strings.Split(string(data), "\n")
}
