package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An entry's parents needn't be in its layer. As if layers were unpacked one over the other, they
// are then those of lower layers: a directory keeps its owner and mode, and a link leads elsewhere.

// maxLinks is how many links one path may lead through, as on Linux.
const maxLinks = 40

// errNoDir means that neither the layer nor those below have a directory.
var errNoDir = errors.New("there is no such directory")

// findDir returns the path of the directory that the tar calls dir: the same without links. It
// fails with errNoDir if there is none.
func (u *unpacker) findDir(dir string) (string, error) {
	return u.walk(dir, func(string, *unix.Stat_t) error { return errNoDir })
}

// makeDir is findDir, but makes what is missing of dir in the layer.
func (u *unpacker) makeDir(dir string) (string, error) {
	at, err := u.walk(dir, func(name string, st *unix.Stat_t) error {
		if st != nil {
			return fmt.Errorf("%q isn't a directory", name)
		}
		return u.mkdir(name)
	})
	if err != nil {
		return "", err
	}
	return at, u.mkdir(at)
}

// walk takes the elements of a path one by one, and follows links. It calls missing where there is
// no directory, with what there is instead, if anything.
func (u *unpacker) walk(dir string, missing func(name string, st *unix.Stat_t) error) (string, error) {
	done, rest := ".", strings.Split(dir, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." || part == ".." {
			if part == ".." {
				done = path.Dir(done) // of the root, that is the root
			}
			continue
		}
		next := path.Join(done, part)
		full, st, err := u.find(next)
		if err != nil {
			return "", err
		}
		if st == nil || st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Mode&unix.S_IFMT != unix.S_IFLNK {
			if err := missing(next, st); err != nil {
				return "", err
			}
		}
		if st == nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%q leads through too many links: %w", dir, errNoDir)
		}
		to, err := u.readlink(full, next)
		if err != nil {
			return "", err
		}
		if path.IsAbs(to) {
			done = "."
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return done, nil
}

// find returns what is at a path: in the layer, or else in those below. Of the latter it also
// returns the file's path on this machine. Both are zero if nothing is there.
func (u *unpacker) find(name string) (string, *unix.Stat_t, error) {
	info, err := u.root.Lstat(name)
	if err == nil {
		return "", stat(info), nil
	}
	if errors.Is(err, unix.ENOTDIR) {
		return "", nil, nil
	}
	if !errors.Is(err, fs.ErrNotExist) || u.hidden(name) {
		return "", nil, ignoreMissing(err)
	}
	u.leans = true
	return u.lower.find(name)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readlink reads a link at the path full on this machine or, if that is empty, at name in the
// layer.
func (u *unpacker) readlink(full, name string) (string, error) {
	if full == "" {
		return u.root.Readlink(name)
	}
	return os.Readlink(full)
}

// hidden reports whether the layer removes what lower layers have at a path.
func (u *unpacker) hidden(name string) bool {
	return u.gone[name] || name != "." && u.hiddenIn(path.Dir(name))
}

// hiddenIn reports whether the layer removes what lower layers have in a directory.
func (u *unpacker) hiddenIn(dir string) bool { return u.opaque[dir] || u.hidden(dir) }

// mkdir makes a directory in the layer, and those above it, unless they are there. They get the
// owners, modes and attributes that they have in lower layers. No link leads to name.
func (u *unpacker) mkdir(name string) error {
	if name == "." {
		return nil
	}
	if _, err := u.root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := u.mkdir(path.Dir(name)); err != nil {
		return err
	}
	full, st, err := u.find(name)
	if err != nil {
		return err
	}
	if err := u.root.Mkdir(name, 0o755); err != nil || st == nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return err
	}
	u.dirs[name], err = lowerHeader(full, st)
	return err
}

// lowerHeader describes a directory of a lower layer as a tar would.
func lowerHeader(full string, st *unix.Stat_t) (*tar.Header, error) {
	attrs, err := xattrs(full)
	if err != nil {
		return nil, err
	}
	h := &tar.Header{
		Typeflag: tar.TypeDir, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()), PAXRecords: map[string]string{},
	}
	for k, v := range attrs {
		h.PAXRecords[xattrPrefix+k] = v
	}
	return h, nil
}

func stat(info fs.FileInfo) *unix.Stat_t {
	st := info.Sys().(*syscall.Stat_t)
	return &unix.Stat_t{Mode: st.Mode, Uid: st.Uid, Gid: st.Gid}
}
