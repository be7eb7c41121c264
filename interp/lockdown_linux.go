package interp

import (
	"errors"
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
)

// lockDown takes from this process all that evaluating doesn't need: memory
// beyond the budget, files, the network, other processes. Limits are
// indispensable; what else the kernel can't do is reported.
func lockDown(limits Limits) ([]Layer, error) {
	if err := limitResources(limits.Memory); err != nil {
		return nil, err
	}
	return []Layer{
		layer("limits", nil),
		layer("landlock", denyFiles()),
		layer("seccomp", filterCalls()),
	}, nil
}

// maxFiles bounds the file descriptors: those that are open, and the runtime's own few.
const maxFiles = 32

// limitResources sets the limits that the kernel enforces. The one on memory
// is relative to what is mapped already: starlark reserves 4 GiB of addresses at start.
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
		if err := syscall.Setrlimit(l.resource, &syscall.Rlimit{Cur: l.value, Max: l.value}); err != nil {
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

// denyFiles denies every access to files, and to the network and other
// processes as far as this kernel's landlock can.
func denyFiles() error {
	version, err := landlocksyscall.LandlockGetABIVersion()
	if err != nil || version < 1 {
		return errors.New("this kernel has no landlock")
	}
	return landlock.V8.BestEffort().Restrict()
}

// allowedCalls are what Go's runtime needs to compute, to collect garbage and
// to sleep, and reading and writing what is open.
var allowedCalls = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_RESTART_SYSCALL,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_TGKILL, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2,
	unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE,
	unix.SYS_GETRANDOM, unix.SYS_RSEQ, unix.SYS_SET_ROBUST_LIST,
}

// Where a filter finds what it looks at: struct seccomp_data's fields, of
// which arguments are 64 bits in the machine's order, here little-endian.
const (
	callOffset  = 0
	archOffset  = 4
	flagsOffset = 16 // the low half of the first argument
)

// filterCalls allows allowedCalls, and new threads, to all threads. Any other call fails with EPERM.
func filterCalls() error {
	arch, ok := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("there is no filter for %s", runtime.GOARCH)
	}
	program, err := bpf.Assemble(callFilter(arch))
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

// callFilter is the filter's program. x32 calls have numbers of their own, and so are refused.
func callFilter(arch uint32) []bpf.Instruction {
	const denied = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	allow, deny := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}, bpf.RetConstant{Val: denied}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: arch, SkipTrue: 1},
		deny,
		bpf.LoadAbsolute{Off: callOffset, Size: 4},
	}
	for _, call := range allowedCalls {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: 1}, allow)
	}
	return append(program,
		// A C library that hears that there is no clone3, whose flags no filter can see, takes clone.
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE3, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_CLONE, SkipTrue: 1},
		deny,
		bpf.LoadAbsolute{Off: flagsOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.CLONE_THREAD, SkipTrue: 1},
		deny,
		allow,
	)
}
