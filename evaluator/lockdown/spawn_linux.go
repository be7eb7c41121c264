package lockdown

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// firstUser is the first user and group id for evaluators of root; each adds the parent's process
// id. The ids come after those of exec/sandbox's containers. Nobody else has any of them.
const firstUser = 0x70010000

// nobody is by convention the user who owns nothing.
const nobody = 65534

// sameUser stands for the user of this process.
const sameUser = -1

// Users returns the users that an evaluator may run as, the best first. For root that is a user of
// its own, then nobody, for containers with few ids. Last comes root itself: there may be no other
// user, or none that may execute the program. The lockdown then says so.
func Users() []int {
	if os.Geteuid() != 0 || !canKill() {
		return []int{sameUser}
	}
	return []int{firstUser + os.Getpid(), nobody, sameUser}
}

// canKill reports whether this process may end processes of other users.
func canKill() bool {
	var has [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &has[0])
	return err == nil && has[0].Effective&(1<<unix.CAP_KILL) != 0
}

// Attributes put the process into a session and a process group of its own, without a terminal. It
// dies with the thread that starts it. A user other than this one is in no group but its own.
func Attributes(user int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if user != sameUser {
		attr.Credential = &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}
	}
	return attr
}
