//go:build !linux

package lockdown

import "syscall"

// Users are whom an evaluator may run as: whoever this process is.
func Users() []int { return []int{-1} }

// Attributes put the evaluator into a session and process group of its
// own, without a terminal. When the parent dies, the evaluator notices at the end of its pipe.
func Attributes(int) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
