package lockdown

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// firstUser is the first of the user and group ids that evaluators of root's
// run under: the parent's process id is added. They follow those of exec/sandbox's containers, and
// neither is an id that anybody else has.
const firstUser = 0x70010000

// nobody is the user who owns nothing, by convention.
const nobody = 65534

// sameUser stands for whoever this process is.
const sameUser = -1

// Users are whom an evaluator may run as, the best first. Root's is a user of
// its own; in a container that hasn't got as many, nobody; and where there is no other user, or the
// binary isn't theirs to execute, root after all, which the lockdown says.
func Users() []int {
	if os.Geteuid() != 0 || !canKill() {
		return []int{sameUser}
	}
	return []int{firstUser + os.Getpid(), nobody, sameUser}
}

// canKill reports whether this process may end those of another user.
func canKill() bool {
	var has [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &has[0])
	return err == nil && has[0].Effective&(1<<unix.CAP_KILL) != 0
}

// Attributes put the evaluator into a session and process group of its
// own, without a terminal, and let it die with the thread that starts it. Another user is in no group but its own.
func Attributes(user int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if user != sameUser {
		attr.Credential = &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}
	}
	return attr
}
