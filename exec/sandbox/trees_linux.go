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

// trees are detached mounts, to be handed to a container's first process. Nothing
// on the host sees them; they vanish with the last descriptor.
type trees struct {
	sandbox *Sandbox
	files   []*os.File
	next    int // the descriptor that the next one will be in the first process
}

// open clones the mount of a path, with ids mapped as the container's are: what
// root owns outside, root owns inside.
func (t *trees) open(path string, readOnly bool) (int, error) {
	return t.openAs(path, readOnly, true)
}

// openAs is open, the mapping of ids left to the caller.
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

// close lets go of this process's descriptors. It may be called again.
func (t *trees) close() {
	for _, f := range t.files {
		f.Close()
	}
	t.files = nil
}

// idmap maps a container's ids to this machine's.
type idmap struct {
	base int // of IDCount ids

	mu sync.Mutex
	ns *os.File
}

func (m *idmap) mappings() []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: 0, HostID: m.base, Size: IDCount}}
}

// inside returns the id in a container of one outside.
func (m *idmap) inside(id uint32) (int, error) {
	if n := int(id) - m.base; n >= 0 && n < IDCount {
		return n, nil
	}
	return 0, fmt.Errorf("id %d isn't a container's", id)
}

// namespace returns a user namespace with this mapping, for mounts to be mapped
// by. It is made once: mounts care for the mapping, not for the namespace.
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

// makeNamespace takes the namespace from a process that has it and does nothing else.
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
