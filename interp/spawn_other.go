//go:build !linux

package interp

import (
	"os"
	"syscall"
)

// selfPath is the binary that runs.
func selfPath() (string, error) { return os.Executable() }

// processAttributes put the evaluator into a process group of its own. When
// the parent dies, the evaluator notices at the end of its pipe.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
