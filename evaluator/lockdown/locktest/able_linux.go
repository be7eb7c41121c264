package locktest

import (
	"errors"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/evaluator/lockdown"
)

// attempt is something that a process must not be able to do once it is locked down.
type attempt struct {
	name string
	do   func() error
}

// Attempts returns the names of everything that [Able] tries.
func Attempts() []string {
	var names []string
	for _, a := range attempts(1) {
		names = append(names, a.name)
	}
	return names
}

// attempts returns everything to try, in order.
func attempts(parent int) []attempt {
	var (
		none    uintptr
		p       = uintptr(parent)
		minus   = ^none // -1
		scratch [64]byte
		buffer  = uintptr(unsafe.Pointer(&scratch))
		remote  = uintptr(unsafe.Pointer(&kept)) // the parent is the same program, so it is there as well
		temp    = filepath.Join(os.TempDir(), fmt.Sprintf("flytestar-probe-%d", os.Getpid()))
		nowhere = cString("/nonexistent/flytestar")
	)
	list := []attempt{
		{"read a file", func() error { _, err := os.ReadFile("/proc/self/status"); return err }},
		{"list a directory", func() error { _, err := os.ReadDir("/"); return err }},
		{"write a file", func() error { return os.WriteFile(temp, nil, 0o600) }},
		{"remove a file", func() error { return os.Remove(temp) }},
		{"stat", func() error { _, err := os.Stat("/"); return err }},
		{"connect", func() error { _, err := net.Dial("tcp", "127.0.0.1:1"); return err }},
		{"listen", func() error { return opened(net.Listen("tcp", "127.0.0.1:0")) }},
		{"execute", func() error { return osexec.Command("/bin/true").Run() }},
		{"fork", fork},
		{"raise a limit", func() error {
			return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: unix.RLIM_INFINITY})
		}},
	}
	for _, c := range []struct {
		name   string
		number uintptr
		args   []uintptr
	}{
		{"read a link", unix.SYS_READLINKAT, []uintptr{atCWD, cString("/proc/self/exe"), buffer, 64}},
		{"make a device", unix.SYS_MKNODAT, []uintptr{atCWD, nowhere, unix.S_IFCHR, minus}},
		{"rename", unix.SYS_RENAMEAT2, []uintptr{atCWD, nowhere, atCWD, nowhere, 0}},
		{"link", unix.SYS_LINKAT, []uintptr{atCWD, nowhere, atCWD, nowhere, 0}},
		{"change a mode", unix.SYS_FCHMODAT, []uintptr{atCWD, nowhere, 0}},
		{"change an owner", unix.SYS_FCHOWNAT, []uintptr{atCWD, nowhere, 0, 0, 0}},
		{"open by handle", unix.SYS_OPEN_BY_HANDLE_AT, []uintptr{atCWD, none, 0}},
		{"open with openat2", unix.SYS_OPENAT2, []uintptr{atCWD, nowhere, none, 0}},
		{"make a file of memory", unix.SYS_MEMFD_CREATE, []uintptr{nowhere, 0}},
		{"change directory", unix.SYS_CHDIR, []uintptr{nowhere}},
		{"chroot", unix.SYS_CHROOT, []uintptr{nowhere}},
		{"pivot_root", unix.SYS_PIVOT_ROOT, []uintptr{nowhere, nowhere}},
		{"mount", unix.SYS_MOUNT, []uintptr{none, none, none, 0, none}},
		{"unmount", unix.SYS_UMOUNT2, []uintptr{nowhere, 0}},
		{"open a tree", unix.SYS_OPEN_TREE, []uintptr{minus, nowhere, 0}},
		{"move a mount", unix.SYS_MOVE_MOUNT, []uintptr{minus, nowhere, minus, nowhere, 0}},
		{"unshare", unix.SYS_UNSHARE, []uintptr{0}},
		{"unshare the user namespace", unix.SYS_UNSHARE, []uintptr{unix.CLONE_NEWUSER | 1}},
		{"enter a namespace", unix.SYS_SETNS, []uintptr{minus, 0}},
		{"make an internet socket", unix.SYS_SOCKET, []uintptr{unix.AF_INET, unix.SOCK_STREAM, 0}},
		{"make an internet v6 socket", unix.SYS_SOCKET, []uintptr{unix.AF_INET6, unix.SOCK_DGRAM, 0}},
		{"make a local socket", unix.SYS_SOCKET, []uintptr{unix.AF_UNIX, unix.SOCK_STREAM, 0}},
		{"make a netlink socket", unix.SYS_SOCKET, []uintptr{unix.AF_NETLINK, unix.SOCK_RAW, 0}},
		{"make a packet socket", unix.SYS_SOCKET, []uintptr{unix.AF_PACKET, unix.SOCK_RAW, 0}},
		{"make a pair of sockets", unix.SYS_SOCKETPAIR, []uintptr{unix.AF_UNIX, unix.SOCK_STREAM, 0, buffer}},
		{"connect a socket", unix.SYS_CONNECT, []uintptr{minus, buffer, 16}},
		{"send", unix.SYS_SENDTO, []uintptr{minus, buffer, 1, 0, none, 0}},
		{"send a file descriptor", unix.SYS_SENDMSG, []uintptr{minus, buffer, 0}},
		{"receive", unix.SYS_RECVMSG, []uintptr{minus, buffer, 0}},
		{"execve", unix.SYS_EXECVE, []uintptr{nowhere, none, none}},
		{"execveat", unix.SYS_EXECVEAT, []uintptr{atCWD, nowhere, none, none, 0}},
		{"clone3", unix.SYS_CLONE3, []uintptr{buffer, 0}},
		{"clone into a namespace", unix.SYS_CLONE, []uintptr{unix.CLONE_THREAD | unix.CLONE_NEWUSER}},
		{"trace the parent", unix.SYS_PTRACE, []uintptr{unix.PTRACE_SEIZE, p, 0, 0}},
		{"read the parent's memory", unix.SYS_PROCESS_VM_READV, []uintptr{p, iovec(buffer), 1, iovec(remote), 1, 0}},
		{"write the parent's memory", unix.SYS_PROCESS_VM_WRITEV, []uintptr{p, iovec(buffer), 1, iovec(0), 1, 0}},
		{"compare descriptors with the parent", unix.SYS_KCMP, []uintptr{p, p, 0, 0, 0}},
		{"learn the parent's id", unix.SYS_GETPPID, nil},
		{"signal the parent", unix.SYS_KILL, []uintptr{p, 0}},
		{"signal init", unix.SYS_KILL, []uintptr{1, 0}},
		{"signal its group", unix.SYS_KILL, []uintptr{0, 0}},
		{"signal everybody", unix.SYS_KILL, []uintptr{minus, 0}},
		{"signal a thread of the parent's", unix.SYS_TGKILL, []uintptr{p, p, 0}},
		{"signal any thread", unix.SYS_TKILL, []uintptr{p, 0}},
		{"queue a signal", unix.SYS_RT_SIGQUEUEINFO, []uintptr{p, 0, none}},
		{"open a process", unix.SYS_PIDFD_OPEN, []uintptr{p, 0}},
		{"take a descriptor of a process", unix.SYS_PIDFD_GETFD, []uintptr{minus, 0, 0}},
		{"signal an open process", unix.SYS_PIDFD_SEND_SIGNAL, []uintptr{minus, 0, none, 0}},
		{"limit the parent", unix.SYS_PRLIMIT64, []uintptr{p, unix.RLIMIT_NOFILE, none, buffer}},
		{"schedule the parent", unix.SYS_SCHED_SETSCHEDULER, []uintptr{p, minus, buffer}},
		{"set priorities", unix.SYS_SETPRIORITY, []uintptr{minus, 0, 0}},
		{"set up io_uring", unix.SYS_IO_URING_SETUP, []uintptr{0, none}},
		{"use bpf", unix.SYS_BPF, []uintptr{9999, none, 0}},
		{"use the keyring", unix.SYS_KEYCTL, []uintptr{unix.KEYCTL_GET_KEYRING_ID, minus - 2, 0}}, // the session's
		{"add a key", unix.SYS_ADD_KEY, []uintptr{none, none, none, 0, 0}},
		{"watch events of the processor", unix.SYS_PERF_EVENT_OPEN, []uintptr{none, 0, minus, minus, 0}},
		{"handle page faults", unix.SYS_USERFAULTFD, []uintptr{1}},
		{"watch files", unix.SYS_INOTIFY_INIT1, []uintptr{0}},
		{"share memory", unix.SYS_SHMAT, []uintptr{minus, none, 0}},
		{"open a message queue", unix.SYS_MQ_OPEN, []uintptr{none, 0, 0, none}},
		{"map code", unix.SYS_MMAP, []uintptr{none, 4096, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_PRIVATE | unix.MAP_ANON, minus, 0}},
		{"make memory executable", unix.SYS_MPROTECT, []uintptr{none, 0, unix.PROT_EXEC}},
		{"type into the terminal", unix.SYS_IOCTL, []uintptr{0, unix.TIOCSTI, buffer}},
		{"change personality", unix.SYS_PERSONALITY, []uintptr{0xffffffff}},
		{"ask for privileges", unix.SYS_PRCTL, []uintptr{unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0}},
		{"survive the parent", unix.SYS_PRCTL, []uintptr{unix.PR_GET_PDEATHSIG, buffer, 0, 0, 0}},
		{"change the filter", unix.SYS_SECCOMP, []uintptr{unix.SECCOMP_GET_ACTION_AVAIL, 0, buffer}},
		{"set capabilities", unix.SYS_CAPSET, []uintptr{buffer, none}},
		{"set its user", unix.SYS_SETUID, []uintptr{uintptr(os.Getuid())}},
		{"leave its session", unix.SYS_SETPGID, []uintptr{minus, 0}},
		{"learn the machine's name", unix.SYS_UNAME, []uintptr{uintptr(unsafe.Pointer(new(unix.Utsname)))}},
		{"set the clock", unix.SYS_CLOCK_SETTIME, []uintptr{unix.CLOCK_MONOTONIC, none}},
		{"reboot", unix.SYS_REBOOT, []uintptr{0, 0, 0, 0}},
		// This must be the last: from then on every signal stops this process until the parent
		// looks at it.
		{"be traced", unix.SYS_PTRACE, []uintptr{unix.PTRACE_TRACEME, 0, 0, 0}},
	} {
		list = append(list, attempt{c.name, func() error { return raw(c.number, c.args...) }})
	}
	return list
}

// atCWD is AT_FDCWD as an argument.
const atCWD = ^uintptr(99)

// cString returns a string as an argument. It stays in memory for good.
func cString(s string) uintptr {
	b := append([]byte(s), 0)
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// iovec returns a struct iovec for 8 bytes as an argument.
func iovec(base uintptr) uintptr {
	v := &[2]uintptr{base, 8}
	kept = append(kept, v)
	return uintptr(unsafe.Pointer(v))
}

var kept []any

func raw(number uintptr, args ...uintptr) error {
	a := make([]uintptr, 6)
	copy(a, args)
	if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func opened(l net.Listener, err error) error {
	if err == nil {
		return l.Close()
	}
	return err
}

// fork makes a process that ends at once.
func fork() error {
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	switch {
	case errno != 0:
		return errno
	case pid == 0:
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	_, err := unix.Wait4(int(pid), nil, 0, nil)
	return err
}

// Able tries everything. It returns the names of the attempts that permissions didn't prevent, one
// per line.
func Able(parent int) string {
	var able []string
	for _, a := range attempts(parent) {
		if err := a.do(); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOSYS) {
			able = append(able, a.name)
		}
	}
	return strings.Join(able, "\n")
}

// WithoutCalls makes system calls, given by number, fail for this process and its children as they
// do on a kernel that lacks them.
func WithoutCalls(numbers string) error {
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: 0, Size: 4}} // the call's number
	for _, n := range strings.Split(numbers, ",") {
		number, err := strconv.Atoi(n)
		if err != nil {
			return err
		}
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(number), SkipTrue: 1}, bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
	}
	return lockdown.Install(append(program, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}))
}
