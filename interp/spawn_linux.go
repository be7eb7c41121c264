package interp

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// selfPath is the binary that runs, also when its file has been replaced.
func selfPath() (string, error) { return "/proc/self/exe", nil }

// firstUser is the first of the user and group ids that evaluators of root's
// run under: the parent's process id is added. They follow those of exec/local's containers, and
// neither is an id that anybody else has.
const firstUser = 0x70010000

// processAttributes put the evaluator into a session and process group of its
// own, without a terminal, and let it die with the thread that starts it. An evaluator of root's gets
// a user of its own, without groups, unless asRoot.
func processAttributes(asRoot bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 && !asRoot {
		id := firstUser + uint32(os.Getpid())
		attr.Credential = &syscall.Credential{Uid: id, Gid: id}
	}
	return attr
}

// pipeSize is what a pipe should hold, in bytes: a module or a graph of a large file passes in one piece.
const pipeSize = 1 << 20

// widen lets a pipe hold more. Where a user's pipes hold much already it can't, and messages pass in more pieces.
func widen(f *os.File) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
}
