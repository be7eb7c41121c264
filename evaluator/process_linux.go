package evaluator

import (
	"os"

	"golang.org/x/sys/unix"
)

// selfPath is the binary that runs, also when its file has been replaced.
func selfPath() (string, error) { return "/proc/self/exe", nil }

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
