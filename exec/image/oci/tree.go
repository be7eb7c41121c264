package oci

import (
	"archive/tar"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/flytestar/flytestar/plan"
)

// tree is what a layer does to the directories of an image. A layer that is laid over an image must
// name each directory with the mode and owner that it has there, and must not replace a symbolic
// link (/bin, on today's systems) by a directory. Paths are relative and clean.
type tree struct {
	Dirs   map[treePath]DirEntry `json:"dirs"`
	Links  map[treePath]treePath `json:"links"`  // symbolic links, and where they point
	Gone   map[treePath]bool     `json:"gone"`   // whiteouts
	Opaque map[treePath]bool     `json:"opaque"` // directories that hide what lies below them
}

// treePath is a path that is kept as JSON, also one that isn't UTF-8: as "//" and hexadecimal digits.
type treePath string

// MarshalText implements [encoding.TextMarshaler].
func (p treePath) MarshalText() ([]byte, error) {
	if utf8.ValidString(string(p)) && !strings.HasPrefix(string(p), "//") {
		return []byte(p), nil
	}
	return []byte("//" + hex.EncodeToString([]byte(p))), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *treePath) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), "//")
	if !ok {
		*p = treePath(text)
		return nil
	}
	raw, err := hex.DecodeString(digits)
	*p = treePath(raw)
	return err
}

// DirEntry is a directory's mode (permission bits) and owner.
type DirEntry struct {
	Mode int64 `json:"mode"`
	UID  int   `json:"uid,omitempty"`
	GID  int   `json:"gid,omitempty"`
}

func newTree() *tree {
	return &tree{map[treePath]DirEntry{}, map[treePath]treePath{}, map[treePath]bool{}, map[treePath]bool{}}
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
		t.Opaque[treePath(path.Clean(dir))] = true
		return
	case strings.HasPrefix(base, whiteoutPrefix):
		t.Gone[treePath(path.Join(dir, strings.TrimPrefix(base, whiteoutPrefix)))] = true
		return
	}
	// Of entries with one name the last counts.
	delete(t.Dirs, treePath(name))
	delete(t.Links, treePath(name))
	switch h.Typeflag {
	case tar.TypeDir:
		t.Dirs[treePath(name)] = DirEntry{h.Mode & 0o7777, h.Uid, h.Gid}
	case tar.TypeSymlink:
		t.Links[treePath(name)] = treePath(h.Linkname)
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
		if t.Gone[treePath(n)] || (n != name && t.Opaque[treePath(n)]) {
			return true
		}
	}
	return name != "." && t.Opaque["."]
}

func (l *Layout) treePath(diffID plan.Digest) string {
	return filepath.Join(l.Trees, diffID.Hex()+".json")
}

func (l *Layout) writeTree(diffID plan.Digest, t *tree) error {
	data, err := json.MarshalIndent(t, "", " ")
	if err != nil {
		return err
	}
	return l.Scratch.WriteFile(l.treePath(diffID), data, 0o644)
}

// Forest reads the trees of layers, bottom first.
func (l *Layout) Forest(layers []Layer) (Forest, error) {
	f := make(Forest, len(layers))
	for i, layer := range layers {
		path := l.treePath(layer.DiffID)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("layer %s has no tree: %w", layer.DiffID, err)
		}
		if err := json.Unmarshal(data, &f[i]); err != nil {
			return nil, fmt.Errorf("%s is damaged, remove it: %w", path, err)
		}
	}
	return f, nil
}

// Forest is what the layers of an image do to its directories: a tree for each layer, bottom first.
type Forest []*tree

// link returns where the symbolic link at name points, and whether there is one.
func (f Forest) link(name string) (string, bool) {
	for i := len(f) - 1; i >= 0; i-- {
		if to, ok := f[i].Links[treePath(name)]; ok {
			return string(to), true
		}
		if _, ok := f[i].Dirs[treePath(name)]; ok || f[i].hides(name) {
			return "", false
		}
	}
	return "", false
}

// Dir returns the directory at name, and whether there is one.
func (f Forest) Dir(name string) (DirEntry, bool) {
	for i := len(f) - 1; i >= 0; i-- {
		if d, ok := f[i].Dirs[treePath(name)]; ok {
			return d, true
		}
		if f[i].hides(name) {
			break
		}
	}
	return DirEntry{}, false
}

// maxLinks is how many symbolic links one path may lead through, as on Linux.
const maxLinks = 40

// Resolve follows the symbolic links in an absolute path of the image, also one in its last
// element. It returns the path relative to the image's root.
func (f Forest) Resolve(name string) (string, error) {
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

// Parents returns the directories above name, top first, with the mode and owner that they have.
// Those that aren't there yet get root's, readable by all.
func (f Forest) Parents(name string) (names []string, dirs []DirEntry) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		names = append([]string{dir}, names...)
	}
	for _, n := range names {
		d, ok := f.Dir(n)
		if !ok {
			d = DirEntry{Mode: 0o755}
		}
		dirs = append(dirs, d)
	}
	return names, dirs
}
