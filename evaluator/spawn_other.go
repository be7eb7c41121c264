//go:build !linux

package evaluator

import (
	"os"
	"syscall"
)

// selfPath is the binary that runs.
func selfPath() (string, error) { return os.Executable() }

// users are whom an evaluator may run as: whoever this process is.
func users() []int { return []int{-1} }

// processAttributes put the evaluator into a session and process group of its
// own, without a terminal. When the parent dies, the evaluator notices at the end of its pipe.
func processAttributes(int) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// widen does nothing: pipes here hold what they hold.
func widen(*os.File) {}
