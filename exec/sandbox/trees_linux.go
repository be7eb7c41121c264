package sandbox

import (
	"fmt"
	"os"
	osexec "os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/exec/sandbox/inside"
)

// trees are detached mounts for a container's first process. Nothing else on the host sees them,
// and each vanishes when its last descriptor is closed.
type trees struct {
	sandbox *Sandbox
	files   []*os.File
	next    int // the number that the next descriptor will have in the first process
}

// open clones the mount of a path and maps ids: what root owns outside, the container's root owns
// inside.
func (t *trees) open(path string, readOnly bool) (int, error) {
	return t.openAs(path, readOnly, true)
}

// openAs is open, but maps ids only if mapped is set.
func (t *trees) openAs(path string, readOnly, mapped bool) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	t.files = append(t.files, os.NewFile(uintptr(fd), path))
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if readOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if mapped {
		ns, err := t.sandbox.ids.namespace()
		if err != nil {
			return -1, err
		}
		attr.Attr_set |= unix.MOUNT_ATTR_IDMAP
		attr.Userns_fd = uint64(ns.Fd())
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		e := broken("%s can't be mounted for a container: %w", path, err)
		if mapped && err == unix.EINVAL {
			e.WithHint("its file system can't map ids; put it, and flytestar's home, on ext4, xfs, btrfs or tmpfs, with Linux 5.19 or later")
		}
		return -1, e
	}
	t.next++
	return t.next - 1, nil
}

// close closes this process's descriptors. It may be called again.
func (t *trees) close() {
	for _, f := range t.files {
		f.Close()
	}
	t.files = nil
}

// idmap maps a container's ids to this machine's.
type idmap struct {
	base int // the first of IDCount ids of this machine

	mu sync.Mutex
	ns *os.File
}

func (m *idmap) mappings() []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: 0, HostID: m.base, Size: IDCount}}
}

// inside returns the id that an id of this machine has in the container.
func (m *idmap) inside(id uint32) (int, error) {
	if n := int(id) - m.base; n >= 0 && n < IDCount {
		return n, nil
	}
	return 0, fmt.Errorf("id %d isn't a container's", id)
}

// namespace returns a user namespace with this mapping, by which mounts are mapped. It is made
// once: a mount takes over the mapping and doesn't depend on the namespace.
func (m *idmap) namespace() (*os.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ns != nil {
		return m.ns, nil
	}
	ns, err := m.makeNamespace()
	if err != nil {
		return nil, broken("making a user namespace: %w", err).
			WithHint("flytestar doctor says what this machine lacks; --runtime names an OCI runtime to use instead")
	}
	m.ns = ns
	return ns, nil
}

// makeNamespace starts a process in a new user namespace, opens that namespace, and ends the
// process.
func (m *idmap) makeNamespace() (*os.File, error) {
	stdin, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	cmd := &osexec.Cmd{
		Path:  "/proc/self/exe",
		Args:  []string{inside.Argv0Hold},
		Env:   []string{},
		Stdin: stdin,
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER, UidMappings: m.mappings(), GidMappings: m.mappings(), GidMappingsEnableSetgroups: true,
		},
	}
	if err := cmd.Start(); err != nil {
		hold.Close()
		return nil, err
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
	hold.Close()
	if werr := cmd.Wait(); err == nil && werr != nil {
		ns.Close()
		return nil, werr
	}
	return ns, err
}
