package inside

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// mountPrivate makes a tree of each private directory, in the current directory.
func (c *Config) mountPrivate() error {
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if m.Private == 0 {
			continue
		}
		if err := m.overlay(strconv.Itoa(m.Private)); err != nil {
			return fmt.Errorf("making %s: %w", m.Target, err)
		}
	}
	return nil
}

// overlay lays the scratch directories of a number over m's tree, and makes m a tree of both.
func (m *Mount) overlay(number string) (err error) {
	lower, at := "empty", "private"+number
	if m.Tree >= 0 {
		lower = "below" + number
		if err := unix.Mkdir(lower, 0o755); err != nil {
			return err
		}
		if err := attach(m.Tree, lower); err != nil {
			return err
		}
	}
	if err := unix.Mkdir(at, 0o755); err != nil {
		return err
	}
	if err := mountOverlay(at, lower, number); err != nil {
		return err
	}
	if m.Tree, err = unix.OpenTree(unix.AT_FDCWD, at, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err != nil {
		return err
	}
	m.dir, err = unix.Openat(m.Tree, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

// own gives a private directory, and all that it begins with, to a user. Root is given nothing: it
// may write there anyway. The files of others are copied by that.
func (m *Mount) own(owner int, id identity) error {
	if m.Private == 0 {
		return nil
	}
	defer unix.Close(m.dir)
	if id.uid == 0 {
		return nil
	}
	return filepath.WalkDir("/proc/self/fd/"+strconv.Itoa(m.dir)+"/.", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(p, owner+int(id.uid), owner+int(id.gid)); err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(p, info.Mode().Perm()|0o200)
	})
}
