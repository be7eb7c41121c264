package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/durable"
)

// Names in a layer that say what it removes from lower layers.
const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh." // begins the names of storage drivers' notes
	whiteoutOpaque = whiteoutMeta + ".opq"
)

// Attributes by which an overlay that a user may mount keeps its notes.
const (
	overlayXattrs = "user.overlay."
	opaqueXattr   = "user.overlay.opaque"
)

// unpacker writes the entries of a tar below root, as the layer above others. It looks up paths by
// descriptors that can't leave root. It follows the links that the tar, or a layer below, has for
// directories as a container would: from root, and never out of it (paths_linux.go).
type unpacker struct {
	ctx   context.Context
	root  *os.Root
	lower stack
	leans bool // what was written depends on lower

	// These are noted by path, and written last (finish): entries in a directory change its time, and
	// what a whiteout removes depends on lower layers only, not on the order of entries.
	dirs   map[string]*tar.Header // directories of the layer
	gone   map[string]bool        // what lower layers have there is removed
	opaque map[string]bool        // what lower layers have in this directory is removed

	nodes map[string]bool // devices, which are left out

	here *os.Root // the directory of the last entry; most entries follow a sibling
	name string   // its name in the tar
	path string   // its path: name without links
}

// enter opens the directory that the tar calls dir, and makes it if it is missing. It stays open
// until the next enter. enter also returns its path.
func (u *unpacker) enter(dir string) (*os.Root, string, error) {
	if u.here != nil && u.name == dir {
		return u.here, u.path, nil
	}
	u.leave()
	at, err := u.makeDir(dir)
	if err != nil {
		return nil, "", err
	}
	here, err := u.root.OpenRoot(at)
	if err != nil {
		return nil, "", err
	}
	u.here, u.name, u.path = here, dir, at
	return here, at, nil
}

// leave closes the directory that enter has opened.
func (u *unpacker) leave() {
	if u.here != nil {
		u.here.Close()
		u.here = nil
	}
}

// entry writes one entry.
func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader || h.Typeflag == gnuVolume {
		return nil
	}
	name := path.Clean(h.Name)
	if strings.HasPrefix(h.Name, "/") {
		name = path.Clean("." + h.Name)
	}
	if name == ".." || strings.HasPrefix(name, "../") || strings.ContainsRune(h.Name, 0) {
		return errors.New("it is outside of the layer")
	}
	h.Uid, h.Gid = mappable(h.Uid), mappable(h.Gid)
	if name == "." {
		return u.rootEntry(h)
	}
	dir, base := path.Dir(name), path.Base(name)
	if base == whiteoutOpaque || !strings.Contains("/"+name, "/"+whiteoutMeta) && strings.HasPrefix(base, whiteoutPrefix) {
		return u.whiteout(dir, base)
	}
	if strings.Contains("/"+name, "/"+whiteoutMeta) {
		return nil // a note of another storage driver
	}
	at, real, err := u.enter(dir)
	if err != nil {
		return err
	}
	return u.write(at, path.Join(real, base), base, h, content)
}

// Types of entries that GNU tar writes and package tar doesn't name.
const (
	gnuVolume = 'V' // the name of the tar
	gnuDir    = 'D' // a directory with a list of its members as content
)

// nobody owns in a container what belongs to an id that containers don't have.
const nobody = maxID - 1

// maxID is the greatest id in a container.
const maxID = 65535

// mappable returns the id that a file gets for the one in the tar. A file of an id that isn't
// mapped couldn't be changed, copied or given away by anybody in the container.
func mappable(id int) int {
	if id < 0 || id > maxID {
		return nobody
	}
	return id
}

// sparse reports whether an entry has holes.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// rootEntry notes the mode and owner of the layer's root, which exists already.
func (u *unpacker) rootEntry(h *tar.Header) error {
	if h.Typeflag != tar.TypeDir && h.Typeflag != gnuDir {
		return errors.New("the layer's root isn't a directory")
	}
	u.dirs["."] = h
	return nil
}

// clear removes what is at a path, so that an entry can take its place: of two entries with the
// same name the later one counts. A directory stays if the new entry is a directory too.
func (u *unpacker) clear(at *os.Root, name string, dir bool) error {
	base := path.Base(name)
	info, err := at.Lstat(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || dir && info.IsDir() {
		return err
	}
	if dir {
		u.gone[name] = true // the file that was there hid a directory of lower layers
	}
	if info.IsDir() {
		below := func(d string) bool { return d == name || strings.HasPrefix(d, name+"/") }
		maps.DeleteFunc(u.dirs, func(d string, _ *tar.Header) bool { return below(d) })
		maps.DeleteFunc(u.opaque, func(d string, _ bool) bool { return below(d) })
		maps.DeleteFunc(u.gone, func(d string, _ bool) bool { return d != name && below(d) })
	}
	if !info.IsDir() {
		return at.Remove(base)
	}
	// A layer may nest deeper than this process may have files open. No link is on the way: see enter.
	return durable.RemoveTree(filepath.Join(u.root.Name(), filepath.FromSlash(u.path), base))
}

// write writes an entry that isn't a whiteout. name is its path, base its name in at.
func (u *unpacker) write(at *os.Root, name, base string, h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeLink {
		return u.link(at, name, h)
	}
	if err := u.clear(at, name, h.Typeflag == tar.TypeDir || h.Typeflag == gnuDir); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir, gnuDir:
		if err := at.Mkdir(base, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		u.dirs[name] = h
		return nil
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return u.writeFile(at, base, h, content)
	case tar.TypeSymlink:
		if err := at.Symlink(h.Linkname, base); err != nil {
			return err
		}
		if err := at.Lchown(base, h.Uid, h.Gid); err != nil {
			return err
		}
		return setLinkTime(at, base, h)
	case tar.TypeFifo:
		return writeFifo(at, base, h)
	case tar.TypeChar, tar.TypeBlock:
		u.nodes[name], u.gone[name] = true, true
		return nil
	}
	return fmt.Errorf("its type is %q, which layers don't have", h.Typeflag)
}

// link makes a hard link, also to a file of a lower layer: unpacked layers lie on one file system,
// and nothing in them changes.
func (u *unpacker) link(at *os.Root, name string, h *tar.Header) error {
	target := path.Clean("/" + h.Linkname)[1:]
	dir, err := u.findDir(path.Dir(target))
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", h.Linkname, err)
	}
	target = path.Join(dir, path.Base(target))
	full, st, err := u.find(target)
	switch {
	case err != nil:
		return err
	case st == nil && u.nodes[target]:
		u.nodes[name], u.gone[name] = true, true
		return u.clear(at, name, false)
	case st == nil:
		return fmt.Errorf("hard link to %q: there is no such file", h.Linkname)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return fmt.Errorf("hard link to %q: it is a directory", h.Linkname)
	case target == name && full == "":
		return nil
	}
	if err := u.clear(at, name, false); err != nil {
		return err
	}
	if full == "" {
		return u.root.Link(target, name)
	}
	d, err := at.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Linkat(unix.AT_FDCWD, full, int(d.Fd()), path.Base(name), 0)
}

// writeFile writes a regular file. It sets the owner before the mode and the mode before
// capabilities: each of them clears part of the next.
func (u *unpacker) writeFile(at *os.Root, name string, h *tar.Header, content io.Reader) error {
	f, err := at.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if sparse(h) {
		err = copyHoles(f, exec.Cancellable(u.ctx, content), h.Size)
	} else {
		_, err = io.Copy(f, content)
	}
	if err != nil {
		return err
	}
	if err := f.Chown(h.Uid, h.Gid); err != nil {
		return err
	}
	if err := unix.Fchmod(int(f.Fd()), uint32(h.Mode&0o7777)); err != nil {
		return err
	}
	if err := setXattrs(f, h); err != nil {
		return err
	}
	ts := []unix.Timespec{unix.NsecToTimespec(h.ModTime.UnixNano()), unix.NsecToTimespec(h.ModTime.UnixNano())}
	if err := futimens(f, ts); err != nil {
		return err
	}
	return f.Close()
}

// copyHoles writes a file and leaves out the blocks that are zero: a small layer can hold the
// description of a large file.
func copyHoles(f *os.File, r io.Reader, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	buf, zero := make([]byte, 1<<16), make([]byte, 1<<16)
	for at := int64(0); ; {
		n, err := io.ReadFull(r, buf)
		if !bytes.Equal(buf[:n], zero[:n]) {
			if _, err := f.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF && at == size {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// writeFifo makes a named pipe.
func writeFifo(at *os.Root, name string, h *tar.Header) error {
	d, err := at.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Mknodat(int(d.Fd()), name, unix.S_IFIFO|0o600, 0); err != nil {
		return err
	}
	if err := at.Lchown(name, h.Uid, h.Gid); err != nil {
		return err
	}
	if err := at.Chmod(name, fs.FileMode(h.Mode&0o777)); err != nil {
		return err
	}
	return setLinkTime(at, name, h)
}

// setLinkTime sets the time of a link or pipe, which can't be opened.
func setLinkTime(at *os.Root, name string, h *tar.Header) error {
	d, err := at.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	t := unix.NsecToTimespec(h.ModTime.UnixNano())
	return unix.UtimesNanoAt(int(d.Fd()), name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}

// finishDirs sets the owners, modes and times of directories, after their entries.
func (u *unpacker) finishDirs() error {
	for name, h := range u.dirs {
		d, err := u.root.Open(name)
		if err != nil {
			return err
		}
		err = finishDir(d, h)
		d.Close()
		if err != nil {
			return fmt.Errorf("directory %q: %w", name, err)
		}
	}
	return nil
}

func finishDir(d *os.File, h *tar.Header) error {
	if info, err := d.Stat(); err != nil || !info.IsDir() {
		return err
	}
	if err := d.Chown(h.Uid, h.Gid); err != nil {
		return err
	}
	if err := unix.Fchmod(int(d.Fd()), uint32(h.Mode&0o7777)); err != nil {
		return err
	}
	if err := setXattrs(d, h); err != nil {
		return err
	}
	t := unix.NsecToTimespec(h.ModTime.UnixNano())
	return futimens(d, []unix.Timespec{t, t})
}

// futimens sets the times of an open file.
func futimens(f *os.File, ts []unix.Timespec) error {
	return unix.UtimesNanoAt(int(f.Fd()), "", ts, unix.AT_EMPTY_PATH)
}

// xattrPrefix begins the names by which tars carry extended attributes.
const xattrPrefix = "SCHILY.xattr."

// setXattrs sets the attributes that layers may bring: file capabilities and users' own, but not
// those that an overlay would take for its notes.
func setXattrs(f *os.File, h *tar.Header) error {
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, xattrPrefix)
		if !ok || !portableXattr(name) {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0); err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

// portableXattr reports whether an attribute belongs in a layer.
func portableXattr(name string) bool {
	return name == capabilityXattr || strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, overlayXattrs)
}

// capabilityXattr is the attribute that holds file capabilities.
const capabilityXattr = "security.capability"
