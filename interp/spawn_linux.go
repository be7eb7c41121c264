package interp

import "syscall"

// selfPath is the binary that runs, also when its file has been replaced.
func selfPath() (string, error) { return "/proc/self/exe", nil }

// processAttributes put the evaluator into a process group of its own and let
// it die with the thread that starts it.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
