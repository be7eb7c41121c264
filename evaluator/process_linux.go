package evaluator

import (
	"os"

	"golang.org/x/sys/unix"
)

// selfPath returns the file of this program, even if another file has its name by now.
func selfPath() (string, error) { return "/proc/self/exe", nil }

// pipeSize is how many bytes a pipe should hold, so that the module or the graph of a large file
// passes in one piece.
const pipeSize = 1 << 20

// widen makes a pipe hold more. That fails if the user's pipes hold much already; then messages
// pass in more pieces.
func widen(f *os.File) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
}
