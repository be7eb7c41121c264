package layer

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// whiteout notes that the layer removes something of lower layers: base says what, in the directory
// that the tar calls dir.
func (u *unpacker) whiteout(dir, base string) error {
	name := strings.TrimPrefix(base, whiteoutPrefix)
	if name == "" || name == "." || name == ".." {
		return errors.New("a whiteout of nothing")
	}
	at, err := u.findDir(dir)
	switch {
	case errors.Is(err, errNoDir):
		return nil // then there is nothing in it to be removed
	case err != nil:
		return err
	case base == whiteoutOpaque:
		u.opaque[at] = true
	default:
		u.gone[path.Join(at, name)] = true
	}
	return nil
}

// finishWhiteouts writes the whiteouts, after all entries. An overlay shows a whiteout that hides
// nothing in a listing. So there is one only where lower layers have something.
func (u *unpacker) finishWhiteouts() error {
	if u.opaque["."] { // overlays take no note of that
		if err := u.clearTop(); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(u.opaque)) {
		if err := u.finishOpaque(name); err != nil {
			return fmt.Errorf("opaque directory %q: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(u.gone)) {
		if err := u.finishGone(name); err != nil {
			return fmt.Errorf("whiteout of %q: %w", name, err)
		}
	}
	return nil
}

// clearTop turns a whiteout of all that lower layers have into one of each.
func (u *unpacker) clearTop() error {
	delete(u.opaque, ".")
	u.leans = true
	names, err := u.lower.top()
	for _, name := range names {
		u.gone[name] = true
	}
	return err
}

// finishOpaque makes a directory opaque.
func (u *unpacker) finishOpaque(name string) error {
	if real, err := u.isReal(path.Dir(name)); err != nil || !real || u.gone[name] || u.hidden(name) {
		return err // for what is gone, finishGone does it
	}
	_, st, err := u.find(name)
	if err != nil || st == nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return err
	}
	// What was noted hides the directory's content, and not the directory: it stays as it is below.
	if err := u.mkdir(name); err != nil {
		return err
	}
	return u.setOpaque(name)
}

// finishGone hides what lower layers have at a path.
func (u *unpacker) finishGone(name string) error {
	if real, err := u.isReal(path.Dir(name)); err != nil || !real {
		return err
	}
	info, err := u.root.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return u.setOpaque(name)
	case err == nil:
		return nil // something else of this layer hides it
	case ignoreMissing(err) != nil:
		return err
	case u.hiddenIn(path.Dir(name)):
		return nil
	}
	u.leans = true
	_, st, err := u.lower.find(name)
	if err != nil || st == nil {
		return err
	}
	dir := path.Dir(name)
	if err := u.mkdir(dir); err != nil {
		return err
	}
	d, err := u.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Mknodat(int(d.Fd()), path.Base(name), unix.S_IFCHR, 0)
}

// isReal reports whether a path still is a directory, and no later entry has made it, or one above
// it, a link.
func (u *unpacker) isReal(dir string) (bool, error) {
	at, err := u.findDir(dir)
	if errors.Is(err, errNoDir) {
		return false, nil
	}
	return at == dir, err
}

func (u *unpacker) setOpaque(name string) error {
	d, err := u.root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Fsetxattr(int(d.Fd()), opaqueXattr, []byte("y"), 0)
}
