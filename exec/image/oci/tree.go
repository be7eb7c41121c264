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
	Dirs   map[string]DirEntry `json:"dirs"`
	Links  map[string]string   `json:"links"`  // symbolic links, and where they point
	Gone   map[string]bool     `json:"gone"`   // whiteouts
	Opaque map[string]bool     `json:"opaque"` // directories that hide what lies below them
}

// MarshalJSON implements [json.Marshaler].
func (t *tree) MarshalJSON() ([]byte, error) {
	type plain tree
	return json.Marshal(&plain{keys(t.Dirs, textOf), values(keys(t.Links, textOf), textOf), keys(t.Gone, textOf), keys(t.Opaque, textOf)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *tree) UnmarshalJSON(data []byte) error {
	type plain tree
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	*t = tree{keys(p.Dirs, bytesOf), values(keys(p.Links, bytesOf), bytesOf), keys(p.Gone, bytesOf), keys(p.Opaque, bytesOf)}
	return nil
}

// textOf writes a path for JSON. One that isn't UTF-8 becomes "//" and hexadecimal digits.
func textOf(path string) string {
	if utf8.ValidString(path) && !strings.HasPrefix(path, "//") {
		return path
	}
	return "//" + hex.EncodeToString([]byte(path))
}

// bytesOf reads what textOf wrote.
func bytesOf(text string) string {
	if digits, ok := strings.CutPrefix(text, "//"); ok {
		if raw, err := hex.DecodeString(digits); err == nil {
			return string(raw)
		}
	}
	return text
}

// keys returns a map with other keys.
func keys[V any](m map[string]V, as func(string) string) map[string]V {
	out := make(map[string]V, len(m))
	for k, v := range m {
		out[as(k)] = v
	}
	return out
}

// values returns a map with other values.
func values(m map[string]string, as func(string) string) map[string]string {
	for k, v := range m {
		m[k] = as(v)
	}
	return m
}

// DirEntry is a directory's mode (permission bits) and owner.
type DirEntry struct {
	Mode int64 `json:"mode"`
	UID  int   `json:"uid,omitempty"`
	GID  int   `json:"gid,omitempty"`
}

func newTree() *tree {
	return &tree{map[string]DirEntry{}, map[string]string{}, map[string]bool{}, map[string]bool{}}
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
		return
	case strings.HasPrefix(base, whiteoutPrefix):
		t.Gone[path.Join(dir, strings.TrimPrefix(base, whiteoutPrefix))] = true
		return
	}
	// Of entries with one name the last counts.
	delete(t.Dirs, name)
	delete(t.Links, name)
	switch h.Typeflag {
	case tar.TypeDir:
		t.Dirs[name] = DirEntry{h.Mode & 0o7777, h.Uid, h.Gid}
	case tar.TypeSymlink:
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
		if to, ok := f[i].Links[name]; ok {
			return to, true
		}
		if _, ok := f[i].Dirs[name]; ok || f[i].hides(name) {
			return "", false
		}
	}
	return "", false
}

// Dir returns the directory at name, and whether there is one.
func (f Forest) Dir(name string) (DirEntry, bool) {
	for i := len(f) - 1; i >= 0; i-- {
		if d, ok := f[i].Dirs[name]; ok {
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
