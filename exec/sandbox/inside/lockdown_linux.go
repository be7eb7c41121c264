package inside

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// prepare makes this thread ready to fork the container's process: it sets limits and then gives up
// rights. None of that can be undone, and the process inherits all of it.
func (c *Config) prepare(id identity) error {
	if c.Workdir == "" {
		c.Workdir = "/"
	}
	unix.Umask(0o022)
	if err := makeWorkdir(c.Workdir, id); err != nil {
		return faultf("", "making the working directory: %w", err)
	}
	for fd := 1; fd <= 2; fd++ {
		// A process may open its own output again as /dev/stdout, so it must own the pipe.
		if err := unix.Fchown(fd, int(id.uid), int(id.gid)); err != nil {
			return fmt.Errorf("passing on the output: %w", err)
		}
	}
	if err := pin(c.CPUs); err != nil {
		return err
	}
	if err := c.limit(); err != nil {
		return err
	}
	// Nobody may look at this process's memory and descriptors: from here on its entries in /proc
	// belong to the host's root.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("guarding the first process: %w", err)
	}
	if err := dropCapabilities(c.Capabilities); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	if c.ScopeSockets {
		if err := scopeSockets(); err != nil {
			return fmt.Errorf("scoping abstract unix sockets: %w", err)
		}
	}
	return installFilter(c.Seccomp)
}

// makeWorkdir makes the working directory if it is missing. It then belongs to the user.
func makeWorkdir(dir string, id identity) error {
	if _, err := os.Stat(dir); err == nil {
		return os.MkdirAll(dir, 0o755) // which refuses what isn't a directory
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chown(dir, int(id.uid), int(id.gid))
}

// limit sets resource limits. It calls Setrlimit of syscall: after that of unix, Go's runtime would
// restore the old limit of descriptors in the child.
func (c *Config) limit() error {
	files := syscall.Rlimit{Cur: c.OpenFiles, Max: c.OpenFiles}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("limiting open files to %d: %w", c.OpenFiles, err)
	}
	// A core dump would go to the host's handler.
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	return nil
}

// dropCapabilities takes all capabilities but those in keep from this thread, and from what it
// executes as root.
func dropCapabilities(keep []int) error {
	var mask uint64
	for _, c := range keep {
		mask |= 1 << c
	}
	for c := 0; c < 64; c++ {
		if mask&(1<<c) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if err == unix.EINVAL {
			break // the kernel has no higher ones
		}
		if err != nil {
			return fmt.Errorf("dropping capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("dropping ambient capabilities: %w", err)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	lo, hi := uint32(mask), uint32(mask>>32)
	data := [2]unix.CapUserData{{Effective: lo, Permitted: lo}, {Effective: hi, Permitted: hi}}
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	return nil
}

// landlockRuleset is struct landlock_ruleset_attr of the kernel, ABI 6.
type landlockRuleset struct {
	fs, net, scoped uint64
}

// scopeAbstractSockets is LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET.
const scopeAbstractSockets = 1

// scopeSockets forbids this thread's descendants to connect to abstract unix sockets of others.
// Such sockets belong to a network namespace. If the container shares the host's, no mount or user
// namespace hides them.
func scopeSockets() error {
	attr := landlockRuleset{scoped: scopeAbstractSockets}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(fd))
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// installFilter installs an assembled seccomp filter on this thread.
func installFilter(filter []byte) error {
	const size = int(unsafe.Sizeof(unix.SockFilter{}))
	if len(filter) == 0 || len(filter)%size != 0 {
		return fmt.Errorf("a seccomp filter of %d bytes", len(filter))
	}
	prog := unix.SockFprog{
		Len:    uint16(len(filter) / size),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0])),
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("installing the seccomp filter: %w", errno)
	}
	return nil
}
