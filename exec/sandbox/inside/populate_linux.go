package inside

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// root is a descriptor of the container's root directory. The image may be hostile, so paths are
// followed as if nothing were outside of that directory.
type root int

// openRoot opens the root directory at a path.
func openRoot(path string) (root, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return root(fd), err
}

func (r root) close() { unix.Close(int(r)) }

// open opens an existing path in the root.
func (r root) open(p string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(int(r), p, &how)
		if err != unix.EAGAIN && err != unix.EINTR { // EAGAIN: there was a rename at the same time, anywhere on the machine
			return fd, err
		}
	}
}

// filler puts the container's mounts into its root.
type filler struct {
	root
	owner int      // owner of what is made
	made  []string // paths that were made for mount points
}

// populate puts mounts and small files in place.
func (c *Config) populate(f *filler) error {
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if err := f.mount(m); err != nil {
			return fmt.Errorf("mounting %s: %w", m.Target, err)
		}
	}
	return nil
}

// mount puts m in place.
func (f *filler) mount(m *Mount) error {
	target, err := f.locate(m.Target, m.Dir, 0)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	if err := unsuspicious(target); err != nil {
		return err
	}
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	if err := unix.MoveMount(m.Tree, "", target, "", flags); err != nil {
		if err == unix.ENOTDIR || err == unix.EINVAL {
			return faultf("the image has something of another kind there", "a file can only be mounted on a file, a directory on a directory: %w", err)
		}
		return err
	}
	return unix.Close(m.Tree)
}

// unsuspicious refuses a target in /proc or /sys, where the image's links may have led. A mount
// there could cover what later checks rely on.
func unsuspicious(target int) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(target, &st); err != nil {
		return err
	}
	if st.Type == unix.PROC_SUPER_MAGIC || st.Type == unix.SYSFS_MAGIC {
		return faultf("", "a link in the image leads into /proc or /sys")
	}
	return nil
}

// locate opens a path in the root. It makes what is missing: a directory or an empty file, and the
// directories above. Links are followed within the root.
func (f *filler) locate(p string, dir bool, depth int) (int, error) {
	if depth > 40 {
		return -1, faultf("", "too many links in the image")
	}
	p = path.Clean(p)
	fd, err := f.open(p, unix.O_PATH)
	if err != unix.ENOENT {
		return fd, err
	}
	parent, err := f.locate(path.Dir(p), true, depth+1)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	name := path.Base(p)
	err = f.create(parent, name, dir)
	if err == unix.EEXIST { // a link that leads nowhere
		to, err := readlinkat(parent, name)
		if err != nil {
			return -1, err
		}
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(p), to)
		}
		return f.locate(to, dir, depth+1)
	}
	if err != nil {
		return -1, err
	}
	return f.open(p, unix.O_PATH)
}

// create makes a mount point and notes it. It leaves the parent's time as it was, so that the
// parent doesn't count as changed.
func (f *filler) create(parent int, name string, dir bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(parent, &st); err != nil {
		return err
	}
	if err := makeAt(parent, name, dir); err != nil {
		return err
	}
	if err := unix.Fchownat(parent, name, f.owner, f.owner, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	self := "/proc/self/fd/" + strconv.Itoa(parent)
	where, err := os.Readlink(self)
	if err != nil {
		return err
	}
	f.made = append(f.made, path.Join(where, name))
	return os.Chtimes(self, time.Unix(st.Atim.Unix()), time.Unix(st.Mtim.Unix()))
}

// makeAt makes an empty directory or file in a directory.
func makeAt(parent int, name string, dir bool) error {
	if dir {
		return unix.Mkdirat(parent, name, 0o755)
	}
	fd, err := unix.Openat(parent, name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// readlinkat returns where a link in a directory leads.
func readlinkat(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// openFiles writes the small files to the tmpfs at Staging, the current directory, and makes a tree
// of each. They never reach a disk, so they may hold credentials.
func (c *Config) openFiles() error {
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if m.Tree >= 0 {
			continue
		}
		name := "f" + strconv.Itoa(i)
		if err := os.WriteFile(name, m.Data, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", m.Target, err)
		}
		if err := os.Chmod(name, os.FileMode(m.Mode&0o777)); err != nil {
			return fmt.Errorf("writing %s: %w", m.Target, err)
		}
		tree, err := unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fmt.Errorf("binding %s: %w", m.Target, err)
		}
		if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("write-protecting %s: %w", m.Target, err)
		}
		m.Tree = tree
	}
	return nil
}
