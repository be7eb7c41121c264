package layer

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// stack is the directories of unpacked layers, top first.
type stack []string

// find returns what the layers have at a path, or "" and nil if they have nothing. Lower layers are
// hidden by a whiteout or a file at the path or above it, and by an opaque directory. Links above
// the path aren't followed.
func (s stack) find(name string) (string, *unix.Stat_t, error) {
	parts := strings.Split(name, "/")
layers:
	for _, lower := range s {
		last := false
		at := lower
		for i, part := range parts {
			at = filepath.Join(at, part)
			var st unix.Stat_t
			err := unix.Lstat(at, &st)
			if err == unix.ENOENT {
				if last {
					return "", nil, nil
				}
				continue layers
			}
			if err != nil {
				return "", nil, &fs.PathError{Op: "lstat", Path: at, Err: err}
			}
			if isWhiteout(&st) {
				return "", nil, nil
			}
			if i == len(parts)-1 {
				return at, &st, nil
			}
			if st.Mode&unix.S_IFMT != unix.S_IFDIR {
				return "", nil, nil
			}
			opaque, err := isOpaque(at)
			if err != nil {
				return "", nil, err
			}
			last = last || opaque
		}
	}
	return "", nil, nil
}

// top lists the names in the root, also those that are hidden.
func (s stack) top() ([]string, error) {
	var names []string
	for _, dir := range s {
		list, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
