package image

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// tree is what a layer does to the directories of an image: what is laid over an image must name
// directories that exist with the mode and owner that they have there, and must not
// replace a symbolic link (/bin, on today's systems) by a directory. Paths are
// relative and clean.
type tree struct {
	Dirs   map[string]dirEntry `json:"dirs"`
	Links  map[string]string   `json:"links"`  // symbolic links, and where they point
	Gone   map[string]bool     `json:"gone"`   // whiteouts
	Opaque map[string]bool     `json:"opaque"` // directories that hide what lies below them
}

// dirEntry is a directory's mode (permission bits) and owner.
type dirEntry struct {
	Mode int64 `json:"mode"`
	UID  int   `json:"uid,omitempty"`
	GID  int   `json:"gid,omitempty"`
}

func newTree() *tree {
	return &tree{map[string]dirEntry{}, map[string]string{}, map[string]bool{}, map[string]bool{}}
}

// How layers say that something below them is gone.
const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
)

// note adds an entry of the layer's tar.
func (t *tree) note(h *tar.Header) {
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	dir, base := path.Split(name)
	switch {
	case base == opaqueMarker:
		t.Opaque[path.Clean(dir)] = true
	case strings.HasPrefix(base, whiteoutPrefix):
		t.Gone[path.Join(dir, strings.TrimPrefix(base, whiteoutPrefix))] = true
	case h.Typeflag == tar.TypeDir:
		t.Dirs[name] = dirEntry{h.Mode & 0o7777, h.Uid, h.Gid}
	case h.Typeflag == tar.TypeSymlink:
		t.Links[name] = h.Linkname
	}
}

// readTree reads a layer's tar to its very end.
func readTree(r io.Reader) (*tree, error) {
	t, tr := newTree(), tar.NewReader(r)
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			_, err := io.Copy(io.Discard, r)
			return t, err
		}
		if err != nil {
			return nil, err
		}
		t.note(hdr)
	}
}

// hides reports whether the layer removes name, or a directory above it.
func (t *tree) hides(name string) bool {
	for n := name; n != "."; n = path.Dir(n) {
		if t.Gone[n] || (n != name && t.Opaque[n]) {
			return true
		}
	}
	return false
}

func (s *store) treePath(diffID string) string {
	return filepath.Join(s.home, "index", "trees", strings.TrimPrefix(diffID, "sha256:")+".json")
}

// trees reads the trees of layers, bottom first.
func (s *store) trees(layers []layer) (forest, error) {
	var f forest
	for _, l := range layers {
		t, ok, err := recall[*tree](s.treePath(l.DiffID), nil)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("layer %s has no tree: %w", l.DiffID, os.ErrNotExist)
		}
		f = append(f, t)
	}
	return f, nil
}

// forest is the trees of an image's layers, bottom first.
type forest []*tree

// link returns where the symbolic link at name points, and whether there is one.
func (f forest) link(name string) (string, bool) {
	for i := len(f) - 1; i >= 0; i-- {
		if to, ok := f[i].Links[name]; ok {
			return to, true
		}
		if _, ok := f[i].Dirs[name]; ok || f[i].hides(name) {
			return "", false
		}
	}
	return "", false
}

// dir returns the directory at name, and whether there is one.
func (f forest) dir(name string) (dirEntry, bool) {
	for i := len(f) - 1; i >= 0; i-- {
		if d, ok := f[i].Dirs[name]; ok {
			return d, true
		}
		if f[i].hides(name) {
			break
		}
	}
	return dirEntry{}, false
}

// maxLinks is how many symbolic links one path may lead through, as on Linux.
const maxLinks = 40

// resolve follows the symbolic links in an absolute path of the image, its last
// element included, and returns it relative to the image's root.
func (f forest) resolve(name string) (string, error) {
	rest := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	done := "."
	for links := 0; len(rest) > 0; {
		next := path.Join(done, rest[0])
		rest = rest[1:]
		to, ok := f.link(next)
		if !ok {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s leads through too many symbolic links", name)
		}
		if path.IsAbs(to) {
			done = "."
		}
		// A ".." at the root stays there, as in a container.
		done = path.Clean("/" + path.Join(done, to))[1:]
		rest = append(strings.Split(done, "/"), rest...)
		done = "."
	}
	if done == "." {
		return ".", nil
	}
	return strings.TrimPrefix(done, "/"), nil
}

// parents returns the directories above name, top first, with the mode and
// owner that they have, or will have if they aren't there yet.
func (f forest) parents(name string) (names []string, dirs []dirEntry) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		names = append([]string{dir}, names...)
	}
	for _, n := range names {
		d, ok := f.dir(n)
		if !ok {
			d = dirEntry{Mode: 0o755}
		}
		dirs = append(dirs, d)
	}
	return names, dirs
}
