package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Names in a layer that say what it removes from lower layers.
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// Attributes by which an overlay that a user may mount keeps its notes.
const (
	overlayXattrs = "user.overlay."
	opaqueXattr   = "user.overlay.opaque"
)

// unpacker writes the entries of a tar below root. It looks up paths by descriptors that can't
// leave root, whatever links the tar has made there.
type unpacker struct {
	root *os.Root
	dirs map[string]*tar.Header // their times and modes are set last, since entries in them change both

	here *os.Root // the directory of the last entry; most entries follow a sibling
	path string   // its path
}

// enter opens the directory at a path, and makes it if it is missing. It stays open until the next
// enter.
func (u *unpacker) enter(dir string) (*os.Root, error) {
	if u.here != nil && u.path == dir {
		return u.here, nil
	}
	u.leave()
	here, err := u.root.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		here, err = u.root.OpenRoot(dir)
	}
	if err != nil {
		return nil, err
	}
	u.here, u.path = here, dir
	return here, nil
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
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if sparse(h) {
		return errors.New("a sparse file: layers have files whole")
	}
	name := path.Clean(h.Name)
	if strings.HasPrefix(h.Name, "/") {
		name = path.Clean("." + h.Name)
	}
	if name == ".." || strings.HasPrefix(name, "../") || strings.ContainsRune(h.Name, 0) {
		return errors.New("it is outside of the layer")
	}
	if name == "." {
		return u.rootEntry(h)
	}
	dir, base := path.Dir(name), path.Base(name)
	at, err := u.enter(dir)
	if err != nil {
		return err
	}
	if rest, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		return u.whiteout(at, dir, base, rest)
	}
	return u.write(at, name, base, h, content)
}

// sparse reports whether an entry unpacks to more than its part of the tar. A hostile tar could
// fill the disk that way.
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
	if h.Typeflag != tar.TypeDir {
		return errors.New("the layer's root isn't a directory")
	}
	u.dirs["."] = h
	return nil
}

// whiteout notes that the layer removes something of lower layers.
func (u *unpacker) whiteout(at *os.Root, dir, base, name string) error {
	d, err := at.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	switch {
	case base == whiteoutOpaque:
		return unix.Fsetxattr(int(d.Fd()), opaqueXattr, []byte("y"), 0)
	case strings.HasPrefix(name, whiteoutPrefix):
		return nil // a note of another storage driver
	case name == "" || name == "." || name == "..":
		return errors.New("a whiteout of nothing")
	}
	if err := u.clear(at, path.Join(dir, name), false); err != nil {
		return err
	}
	return unix.Mknodat(int(d.Fd()), name, unix.S_IFCHR, 0)
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
	if info.IsDir() {
		maps.DeleteFunc(u.dirs, func(d string, _ *tar.Header) bool { return d == name || strings.HasPrefix(d, name+"/") })
	}
	return at.RemoveAll(base)
}

// write writes an entry that isn't a whiteout. name is its path, base its name in at.
func (u *unpacker) write(at *os.Root, name, base string, h *tar.Header, content io.Reader) error {
	if err := u.clear(at, name, h.Typeflag == tar.TypeDir); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := at.Mkdir(base, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		u.dirs[name] = h
		return nil
	case tar.TypeReg:
		return writeFile(at, base, h, content)
	case tar.TypeSymlink:
		if err := at.Symlink(h.Linkname, base); err != nil {
			return err
		}
		if err := at.Lchown(base, h.Uid, h.Gid); err != nil {
			return err
		}
		return setLinkTime(at, base, h)
	case tar.TypeLink:
		return u.link(name, h)
	case tar.TypeFifo:
		return writeFifo(at, base, h)
	case tar.TypeChar, tar.TypeBlock:
		return nil
	}
	return fmt.Errorf("type %q", h.Typeflag)
}

// link makes a hard link. Both ends lie below the root, and links at either end aren't followed.
func (u *unpacker) link(name string, h *tar.Header) error {
	target := path.Clean(strings.TrimLeft(h.Linkname, "/"))
	info, err := u.root.Lstat(target)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return errors.New("a hard link to a directory")
	}
	return u.root.Link(target, name)
}

// writeFile writes a regular file. It sets the owner before the mode and the mode before
// capabilities: each of them clears part of the next.
func writeFile(at *os.Root, name string, h *tar.Header, content io.Reader) error {
	f, err := at.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
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
