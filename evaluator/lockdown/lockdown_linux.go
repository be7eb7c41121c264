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

// CloseInherited closes every file, socket and lock that this process has open or has inherited,
// except descriptors up to last. The poller of Go's runtime stays open: without it the next wait
// would end the process. Packages open files before main, and the first file opens the poller.
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
		if err := unix.Close(fd); err != nil && err != unix.EBADF { // the directory is closed already
			return err
		}
	}
	return nil
}

// isPoller reports whether a descriptor is one of the two of the runtime's poller. Those are marked
// to be closed on exec; an inherited one isn't.
func isPoller(fd int, name string) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		return false
	}
	target, err := os.Readlink(name)
	return err == nil && (target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]")
}

// Enter takes from this process what evaluation doesn't need: rights, files, the network, other
// processes, and memory beyond that many bytes. It fails only if the limits can't be set. If the
// kernel can't do something else, the layers say so.
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

// maxFiles bounds the file descriptors: the open ones, and a few that the runtime needs.
const maxFiles = 32

// limitResources sets the limits that the kernel enforces. The limit on memory comes on top of what
// is mapped already: starlark reserves 4 GiB of addresses at the start. CPU time has no limit,
// because runs last for days; the clock of a turn bounds it. Processes have none, because it would
// count all of the user's; the filter refuses new ones.
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
		var has syscall.Rlimit // may be stricter; this user can't raise it
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

// dropPrivileges takes all capabilities from all threads. If the parent is root, this process is
// another user already, unless this machine has no other; see [Users].
func dropPrivileges() Layer {
	unix.Umask(0o777)
	// Otherwise the machine's handler of core dumps would get the memory, whatever the limit of
	// core dumps.
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

// denyFiles denies access to all files, and to the network and other processes as far as this
// kernel's landlock can. The filter of calls refuses the rest.
func denyFiles() Layer {
	const known = 11 // the newest version that go-landlock uses
	version, err := landlocksyscall.LandlockGetABIVersion()
	if err != nil {
		return layer("landlock", "", fmt.Errorf("this kernel has none: %w", err))
	}
	// Even with version 1 this denies something, or it fails.
	err = landlock.V11.BestEffort().Restrict()
	return layer("landlock", fmt.Sprintf("version %d", min(version, known)), err)
}

// allowedCalls are the calls that Go's runtime needs to compute, to collect garbage and to sleep,
// and those that read and write open files.
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

// threadFlags are the flags that a clone may have: those of a thread, as Go's runtime and C
// libraries make them.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM |
	unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID | unix.CLONE_CHILD_SETTID | unix.CLONE_DETACHED

// Offsets in struct seccomp_data, which the filter looks at. An argument has 64 bits in the
// machine's order, here little-endian.
const (
	callOffset     = 0
	archOffset     = 4
	argumentOffset = 16
)

// filterCalls refuses every call but the few that computing needs, on all threads. A refused call
// fails with EPERM.
func filterCalls() Layer {
	const name = "seccomp"
	arch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !ok {
		return layer(name, "", fmt.Errorf("there is no filter for %s", runtime.GOARCH))
	}
	detail := fmt.Sprintf("%d calls", len(allowedCalls)+len(boundCalls(0)))
	return layer(name, detail, Install(callFilter(arch, uint32(os.Getpid()))))
}

// Install puts a filter of system calls on all threads of this process.
func Install(instructions []bpf.Instruction) error {
	program, err := bpf.Assemble(instructions)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	// The kernel demands no_new_privs of this thread, and sets it on the others with the filter.
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
	// No filter can see the flags of clone3. A C library that is told that there is none uses
	// clone.
	noCall = bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
)

// boundCall is a call that is allowed only with some arguments. The test decides by the low half of
// one argument; the kernel doesn't look at the other half.
type boundCall struct {
	number   uint32
	argument uint32
	test     []bpf.Instruction // ends with a verdict
}

// boundCalls allow new threads but no processes, memory but no code, and signals only to this
// process's own threads.
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

// callFilter is the filter's program. It refuses x32 calls, since they have other numbers.
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
