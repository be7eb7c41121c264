package statictest

import (
	"os/exec"
	"syscall"
)

// endTogether makes a process end when the thread ends that starts it.
func endTogether(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
