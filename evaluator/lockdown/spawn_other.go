//go:build !linux

package lockdown

import "syscall"

// Users returns the users that an evaluator may run as: only this process's.
func Users() []int { return []int{-1} }

// Attributes put the process into a session and a process group of its own, without a terminal.
// When the parent dies, the process notices the end of its pipe.
func Attributes(int) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
