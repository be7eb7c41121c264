package lockdown

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	landlocksyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// CloseInherited closes what whoever started flytestar has left open and not
// marked to be closed, a file, a socket, a lock, and the files that this process has open itself. What stays is the
// poller of Go's runtime, without which the next wait would end the process: packages open files before
// main, and the first of them opens it.
func CloseInherited(last int) error {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= last || isPoller(fd, dir+"/"+e.Name()) {
			continue
		}
		if err := unix.Close(fd); err != nil && err != unix.EBADF { // the directory's own is closed already
			return err
		}
	}
	return nil
}

// isPoller reports whether a descriptor is one of the two that the runtime's poller has. An inherited one isn't
// marked to be closed.
func isPoller(fd int, name string) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		return false
	}
	target, err := os.Readlink(name)
	return err == nil && (target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]")
}

// Enter takes from this process all that evaluating doesn't need: memory
// beyond the budget, rights, files, the network, other processes. Limits are
// indispensable; what else the kernel can't do is reported.
func Enter(memory int64) ([]Layer, error) {
	if err := limitResources(memory); err != nil {
		return nil, err
	}
	return []Layer{
		layer("limits", fmt.Sprintf("%d MiB of memory", memory>>20), nil),
		dropPrivileges(),
		denyFiles(),
		filterCalls(),
	}, nil
}

// maxFiles bounds the file descriptors: those that are open, and the runtime's own few.
const maxFiles = 32

// limitResources sets the limits that the kernel enforces. The one on memory
// is relative to what is mapped already: starlark reserves 4 GiB of addresses at start. There is none
// on CPU time, since runs last for days: the clock of a turn stands in. Nor on processes, which would count all of
// the user's: the filter refuses new ones.
func limitResources(memory int64) error {
	mapped, err := mappedBytes()
	if err != nil {
		return err
	}
	limits := []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_AS, mapped + uint64(memory)},
		{unix.RLIMIT_FSIZE, 0},
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NOFILE, maxFiles},
	}
	for _, l := range limits {
		var has syscall.Rlimit // may be stricter: this user can't raise it
		if err := syscall.Getrlimit(l.resource, &has); err != nil {
			return fmt.Errorf("resource limit %d: %w", l.resource, err)
		}
		value := min(l.value, has.Max)
		if err := syscall.Setrlimit(l.resource, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("resource limit %d: %w", l.resource, err)
		}
	}
	return nil
}

// mappedBytes returns the size of this process's address space.
func mappedBytes() (uint64, error) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(statm), " ")
	pages, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("/proc/self/statm: %w", err)
	}
	return pages * uint64(os.Getpagesize()), nil
}

// dropPrivileges takes what capabilities there are from all threads. An
// evaluator of root's is another user already, unless this machine can't do that; see [Users].
func dropPrivileges() Layer {
	unix.Umask(0o777)
	// Else its memory would be handed to the machine's handler of core dumps, whatever their limit is.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return layer("privileges", "", err)
	}
	detail := "no capabilities"
	switch uid := os.Getuid(); {
	case uid == 0:
		detail += ", but the user is root"
	case uid >= firstUser:
		detail += ", a user of its own"
	case uid == nobody:
		detail += ", nobody"
	}
	none := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has, data [2]unix.CapUserData
	if err := unix.Capget(&none, &has[0]); err != nil {
		return layer("privileges", "", err)
	}
	if has == data {
		return layer("privileges", detail, nil)
	}
	if _, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&none)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return layer("privileges", "", fmt.Errorf("capset: %w", errno))
	}
	return layer("privileges", detail, nil)
}

// denyFiles denies every access to files, and to the network and other
// processes as far as this kernel's landlock can: what its version can't deny
// the filter of calls refuses.
func denyFiles() Layer {
	const known = 11 // the newest version that go-landlock makes use of
	version, err := landlocksyscall.LandlockGetABIVersion()
	if err != nil {
		return layer("landlock", "", fmt.Errorf("this kernel has none: %w", err))
	}
	// From version 1 on something is denied, or this is an error.
	err = landlock.V11.BestEffort().Restrict()
	return layer("landlock", fmt.Sprintf("version %d", min(version, known)), err)
}

// allowedCalls are what Go's runtime needs to compute, to collect garbage and
// to sleep, and reading and writing what is open.
var allowedCalls = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE,
	unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_RESTART_SYSCALL,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2,
	unix.SYS_GETRANDOM, unix.SYS_RSEQ, unix.SYS_SET_ROBUST_LIST,
}

// threadFlags are what a clone may ask for: a thread, as Go's runtime and C libraries make them.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM |
	unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID | unix.CLONE_CHILD_SETTID | unix.CLONE_DETACHED

// Where a filter finds what it looks at: struct seccomp_data's fields, of
// which arguments are 64 bits in the machine's order, here little-endian.
const (
	callOffset     = 0
	archOffset     = 4
	argumentOffset = 16
)

// filterCalls refuses all threads every call but the few that computing needs. Refused calls fail with EPERM.
func filterCalls() Layer {
	const name = "seccomp"
	arch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !ok {
		return layer(name, "", fmt.Errorf("there is no filter for %s", runtime.GOARCH))
	}
	detail := fmt.Sprintf("%d calls", len(allowedCalls)+len(boundCalls(0)))
	return layer(name, detail, Install(callFilter(arch, uint32(os.Getpid()))))
}

// Install puts a filter on all threads.
func Install(instructions []bpf.Instruction) error {
	program, err := bpf.Assemble(instructions)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	// The kernel wants no_new_privs of the thread that asks, and gives it to the others with the filter.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	switch {
	case errno != 0:
		return errno
	case thread != 0:
		return fmt.Errorf("thread %d didn't take the filter", thread)
	}
	return nil
}

// Verdicts of the filter.
var (
	allowCall = bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	denyCall  = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	// A C library that hears that there is no clone3, whose flags no filter can see, takes clone.
	noCall = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
)

// boundCall is a call that is allowed with some arguments only. The test
// decides by the low half of the argument, which is all that the kernel looks at.
type boundCall struct {
	number   uint32
	argument uint32
	test     []bpf.Instruction // ends with a verdict
}

// boundCalls are those that are bound: new threads but no processes, memory
// but no code, signals to this process's own threads.
func boundCalls(pid uint32) []boundCall {
	notExecutable := []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.PROT_EXEC, SkipTrue: 1}, allowCall, denyCall}
	return []boundCall{
		{unix.SYS_MMAP, 2, notExecutable},
		{unix.SYS_MPROTECT, 2, notExecutable},
		{unix.SYS_TGKILL, 0, []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: pid, SkipTrue: 1}, allowCall, denyCall}},
		{unix.SYS_CLONE, 0, []bpf.Instruction{
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: ^uint32(threadFlags), SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.CLONE_THREAD, SkipTrue: 1},
			allowCall, denyCall,
		}},
	}
}

// callFilter is the filter's program. x32 calls have numbers of their own, and so are refused.
func callFilter(arch, pid uint32) []bpf.Instruction {
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: arch, SkipTrue: 1},
		denyCall,
		bpf.LoadAbsolute{Off: callOffset, Size: 4},
	}
	for _, call := range allowedCalls {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: 1}, allowCall)
	}
	for _, call := range boundCalls(pid) {
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call.number, SkipTrue: uint8(len(call.test)) + 1},
			bpf.LoadAbsolute{Off: argumentOffset + 8*call.argument, Size: 4})
		program = append(program, call.test...)
	}
	return append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE3, SkipTrue: 1}, noCall, denyCall)
}
