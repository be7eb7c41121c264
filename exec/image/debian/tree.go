package debian

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// tree merges the files of packages into one root file system. It writes a tar in which no path
// comes twice and no path leads through a link.
type tree struct {
	w       *layerWriter
	entries map[string]entry // by path without a leading slash; "" is the root
}

// entry is what lies at a path.
type entry struct {
	kind byte   // a tar type flag
	link string // target of a symbolic link
	by   string // the package that it is from
}

func newTree(w *layerWriter) *tree {
	return &tree{w: w, entries: map[string]entry{"": {kind: tar.TypeDir}}}
}

// add adds an entry of a package as dpkg would unpack it. A directory that is there already stays,
// and so does a link to one.
func (t *tree) add(by string, hdr *tar.Header, r io.Reader) error {
	name, err := t.place(by, hdr.Name)
	if err != nil {
		return fmt.Errorf("%s: %q: %w", by, hdr.Name, err)
	}
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("%s: %q is sparse: its size can be anything", by, hdr.Name)
		}
	}
	h := *hdr
	h.PAXRecords = nil // dpkg doesn't unpack extended attributes
	h.Name = name
	switch h.Typeflag {
	case tar.TypeDir:
		return t.addDir(by, &h)
	case tar.TypeReg, tar.TypeSymlink:
	case tar.TypeLink:
		if h.Linkname, err = t.place(by, hdr.Linkname); err != nil {
			return fmt.Errorf("%s: %q: %w", by, hdr.Name, err)
		}
		if t.entries[h.Linkname].kind != tar.TypeReg {
			return fmt.Errorf("%s: %q links to %q, which isn't a file before it", by, hdr.Name, hdr.Linkname)
		}
	default:
		return fmt.Errorf("%s: %q is of a type that no base has (%q)", by, hdr.Name, h.Typeflag)
	}
	if old, ok := t.entries[name]; ok {
		if h.Typeflag == tar.TypeSymlink && (old.kind == tar.TypeDir || old.link == h.Linkname) {
			return nil
		}
		return fmt.Errorf("%s: %q is already in %s", by, hdr.Name, old.by)
	}
	t.entries[name] = entry{h.Typeflag, h.Linkname, by}
	if h.Typeflag == tar.TypeLink {
		t.entries[name] = entry{tar.TypeReg, "", by}
	}
	return t.w.add(&h, r)
}

func (t *tree) addDir(by string, h *tar.Header) error {
	if old, ok := t.entries[h.Name]; ok {
		if old.kind != tar.TypeDir && old.kind != tar.TypeSymlink {
			return fmt.Errorf("%s: directory %q is a file in %s", by, h.Name, old.by)
		}
		return nil
	}
	t.entries[h.Name] = entry{tar.TypeDir, "", by}
	h.Name += "/"
	return t.w.add(h, nil)
}

// file adds a file that is in no package, with the directories that it needs.
func (t *tree) file(name string, mode int64, data []byte) error {
	return t.add("the base", &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data)), ModTime: t.w.epoch}, bytes.NewReader(data))
}

// place returns the path where name ends up. It follows links among the parents, as in a root file
// system, and makes missing parents.
func (t *tree) place(by, name string) (string, error) {
	if strings.ContainsRune(name, 0) || len(name) > 4096 {
		return "", errors.New("not a path")
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return "", errors.New("a path that leaves its directory")
		}
	}
	clean := path.Clean("/" + name)[1:]
	if clean == "" {
		return "", nil
	}
	dir, err := t.follow(path.Dir("/" + clean)[1:])
	if err != nil {
		return "", err
	}
	if err := t.parents(by, dir); err != nil {
		return "", err
	}
	return path.Join(dir, path.Base(clean)), nil
}

// follow resolves all links in a directory's path.
func (t *tree) follow(dir string) (string, error) {
	done := ""
	for hops, rest := 0, dir; rest != ""; {
		part, after, _ := strings.Cut(rest, "/")
		next := path.Join(done, part)
		old := t.entries[next]
		switch old.kind {
		case tar.TypeSymlink:
			if hops++; hops > 40 {
				return "", errors.New("too many links")
			}
			target := old.link
			if !strings.HasPrefix(target, "/") {
				target = "/" + done + "/" + target
			}
			done, rest = "", strings.TrimPrefix(path.Join("/", target, after), "/")
			continue
		case 0, tar.TypeDir:
		default:
			return "", fmt.Errorf("%q is a file in %s", next, old.by)
		}
		done, rest = next, after
	}
	return done, nil
}

func (t *tree) parents(by, dir string) error {
	if _, ok := t.entries[dir]; ok {
		return nil
	}
	if err := t.parents(by, strings.TrimPrefix(path.Dir("/"+dir), "/")); err != nil {
		return err
	}
	return t.addDir(by, &tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: t.w.epoch})
}

// link adds a symbolic link that is in no package.
func (t *tree) link(name, target string) error {
	return t.add("the base", &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: t.w.epoch}, nil)
}
