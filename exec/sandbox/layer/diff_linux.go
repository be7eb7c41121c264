package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Diff is what a container has changed: the upper directory of its overlay. The container's
// processes must be dead, so that nothing changes any more. What they left may be hostile.
type Diff struct {
	Upper  string
	Lowers []string // unpacked layers, top first
	// Skip has the paths in the container that were made for mount points. They don't count as
	// changes, and neither does what lies in /proc, /sys and /dev.
	Skip []string
	// ID returns the user or group id that an id of this machine has in the container. It fails for
	// an id that isn't a container's.
	ID func(id uint32) (int, error)

	skip  map[string]bool  // Skip and the system's directories, relative to the root
	links map[inode]string // where a file with several links came first
}

type inode struct{ dev, ino uint64 }

// Write writes the changes as the tar of an OCI layer. Entries are sorted by path, parents first.
func (d *Diff) Write(ctx context.Context, w io.Writer) error {
	d.skip, d.links = map[string]bool{}, map[inode]string{}
	for _, p := range append(slices.Clone(d.Skip), "/proc", "/sys", "/dev") { // what mounts of the container's own have covered
		d.skip[strings.TrimPrefix(p, "/")] = true
	}
	t := tar.NewWriter(w)
	if err := d.dir(ctx, t, "."); err != nil {
		return fmt.Errorf("reading what the container changed: %w", err)
	}
	return t.Close()
}

// change is an entry of a directory in the upper.
type change struct {
	name string // its name in the upper
	as   string // its name in the layer, which differs for a whiteout
	st   unix.Stat_t
}

// dir writes what is in a directory. Entries are sorted as whole paths: a directory is compared
// with the slash that ends it, so that "a/b" comes after "a-b".
func (d *Diff) dir(ctx context.Context, t *tar.Writer, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	changes, err := d.changes(dir)
	if err != nil {
		return err
	}
	if opaque, err := isOpaque(filepath.Join(d.Upper, dir)); err != nil {
		return err
	} else if opaque && dir != "." {
		if err := d.header(t, &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(dir, whiteoutOpaque)}); err != nil {
			return err
		}
	}
	for _, m := range changes {
		if err := d.change(ctx, t, dir, m); err != nil {
			return err
		}
	}
	return nil
}

// changes lists a directory of the upper in the order of the layer.
func (d *Diff) changes(dir string) ([]change, error) {
	entries, err := os.ReadDir(filepath.Join(d.Upper, dir))
	if err != nil {
		return nil, err
	}
	var list []change
	for _, e := range entries {
		m := change{name: e.Name(), as: e.Name()}
		if err := unix.Lstat(filepath.Join(d.Upper, dir, m.name), &m.st); err != nil {
			return nil, err
		}
		if isWhiteout(&m.st) {
			m.as = whiteoutPrefix + m.name
		}
		if strings.HasPrefix(m.name, whiteoutPrefix) {
			return nil, fmt.Errorf("%s: layers can't have a file with that name", path.Join(dir, m.name))
		}
		list = append(list, m)
	}
	key := func(m change) string {
		if m.st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return m.as + "/"
		}
		return m.as
	}
	slices.SortFunc(list, func(a, b change) int { return strings.Compare(key(a), key(b)) })
	return list, nil
}

// change writes one entry and what is below it.
func (d *Diff) change(ctx context.Context, t *tar.Writer, dir string, m change) error {
	name := path.Join(dir, m.name)
	switch m.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		keep, err := d.keepsDir(name, &m.st)
		if err != nil || !keep {
			return err
		}
		if err := d.entry(t, name, &m.st); err != nil {
			return err
		}
		return d.dir(ctx, t, name)
	case unix.S_IFSOCK:
		return nil // its process is dead
	case unix.S_IFCHR:
		if isWhiteout(&m.st) {
			return d.header(t, &tar.Header{Typeflag: tar.TypeReg, Name: path.Join(dir, m.as)})
		}
		return fmt.Errorf("%s: a device node", name)
	}
	if d.skip[name] {
		return nil
	}
	return d.entry(t, name, &m.st)
}

// keepsDir reports whether a directory belongs in the layer: something in it does, or it is new, or
// it differs from the one below. A directory that only got a mount point doesn't belong there.
func (d *Diff) keepsDir(name string, st *unix.Stat_t) (bool, error) {
	if slices.Contains([]string{"proc", "sys", "dev"}, name) {
		return false, nil
	}
	changes, err := d.changes(name)
	if err != nil {
		return false, err
	}
	for _, m := range changes {
		below := path.Join(name, m.name)
		keep := !d.skip[below] && m.st.Mode&unix.S_IFMT != unix.S_IFSOCK
		if m.st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if keep, err = d.keepsDir(below, &m.st); err != nil {
				return false, err
			}
		}
		if keep {
			return true, nil
		}
	}
	if d.skip[name] {
		return false, nil
	}
	if opaque, err := isOpaque(filepath.Join(d.Upper, name)); opaque || err != nil {
		return opaque, err
	}
	same, err := d.sameBelow(name, st)
	return !same, err
}

// sameBelow reports whether the layers have the directory with the same owner, mode and attributes.
func (d *Diff) sameBelow(name string, st *unix.Stat_t) (bool, error) {
	lower, low, err := stack(d.Lowers).find(name)
	if err != nil || lower == "" || low.Mode != st.Mode {
		return false, err
	}
	uid, err := d.ID(st.Uid)
	if err != nil {
		return false, err
	}
	gid, err := d.ID(st.Gid)
	if err != nil || uint32(uid) != low.Uid || uint32(gid) != low.Gid {
		return false, err
	}
	upperAttrs, err := xattrs(filepath.Join(d.Upper, name))
	if err != nil {
		return false, err
	}
	lowerAttrs, err := xattrs(lower)
	if err != nil || len(upperAttrs) != len(lowerAttrs) {
		return false, err
	}
	for k, v := range upperAttrs {
		if lowerAttrs[k] != v {
			return false, nil
		}
	}
	return true, nil
}

// entry writes a path of the upper.
func (d *Diff) entry(t *tar.Writer, name string, st *unix.Stat_t) error {
	full := filepath.Join(d.Upper, name)
	h := &tar.Header{Name: name, Mode: int64(st.Mode & 0o7777), ModTime: time.Unix(st.Mtim.Sec, 0)}
	var err error
	if h.Uid, err = d.ID(st.Uid); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if h.Gid, err = d.ID(st.Gid); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	attrs, err := xattrs(full)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for k, v := range attrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrPrefix+k] = v
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
		return d.header(t, h)
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = os.Readlink(full); err != nil {
			return err
		}
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFREG:
		return d.file(t, h, full, st)
	default:
		return fmt.Errorf("%s: a file of type %o", name, st.Mode&unix.S_IFMT)
	}
	return d.header(t, h)
}

// file writes a regular file. If another link to it was written before, it writes a link to that.
func (d *Diff) file(t *tar.Writer, h *tar.Header, full string, st *unix.Stat_t) error {
	if st.Nlink > 1 {
		id := inode{uint64(st.Dev), st.Ino}
		if first, ok := d.links[id]; ok {
			h.Typeflag, h.Linkname, h.PAXRecords = tar.TypeLink, first, nil
			return d.header(t, h)
		}
		d.links[id] = h.Name
	}
	h.Typeflag, h.Size = tar.TypeReg, st.Size
	if err := d.header(t, h); err != nil {
		return err
	}
	f, err := os.OpenFile(full, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t, f)
	return err
}

func (d *Diff) header(t *tar.Writer, h *tar.Header) error {
	if err := t.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	return nil
}

// isWhiteout reports whether a file is a whiteout of an overlay.
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// isOpaque reports whether a directory hides the same directory of lower layers.
func isOpaque(dir string) (bool, error) {
	v, err := getXattr(dir, opaqueXattr)
	if err != nil {
		return false, err
	}
	return string(v) == "y", nil
}

// getXattr returns an extended attribute, or nil if the path doesn't have it.
func getXattr(path, name string) ([]byte, error) {
	buf := make([]byte, 256)
	for {
		n, err := unix.Lgetxattr(path, name, buf)
		switch err {
		case nil:
			return buf[:n], nil
		case unix.ENODATA, unix.ENOTSUP:
			return nil, nil
		case unix.ERANGE:
			buf = make([]byte, 1<<16) // the kernel has no longer ones
		default:
			return nil, &fs.PathError{Op: "lgetxattr", Path: path, Err: err}
		}
	}
}

// xattrs returns those attributes of a path that belong in a layer.
func xattrs(path string) (map[string]string, error) {
	names := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		if errors.Is(err, unix.ENOTSUP) {
			return nil, nil
		}
		return nil, &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	var attrs map[string]string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if !portableXattr(name) {
			continue
		}
		v, err := getXattr(path, name)
		if err != nil {
			return nil, err
		}
		if name == capabilityXattr {
			v = rootCapability(v)
		}
		if attrs == nil {
			attrs = map[string]string{}
		}
		attrs[name] = string(v)
	}
	return attrs, nil
}

// rootCapability turns file capabilities into those of a layer (version 2). Capabilities that were
// set in a user namespace (version 3) name its root.
func rootCapability(v []byte) []byte {
	const version, version2, version3 = 0xff000000, 0x02000000, 0x03000000
	if len(v) != 24 || binary.LittleEndian.Uint32(v)&version != version3 {
		return v
	}
	v = bytes.Clone(v[:20])
	binary.LittleEndian.PutUint32(v, binary.LittleEndian.Uint32(v)&^uint32(version)|version2)
	return v
}
