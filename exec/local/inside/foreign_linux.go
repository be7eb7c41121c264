package inside

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TreePath is where a foreign runtime finds the i-th of Config.Mounts.
func TreePath(i int) string { return Staging + "/m" + strconv.Itoa(i) }

// RootPath is where a foreign runtime finds the container's root file system.
const RootPath = Staging + "/root"

// startForeign mounts what the container is made of and starts an OCI runtime.
// This process is PID 1 of the runtime and of the container too, so that both
// die with it, however the engine ends.
func (c *Config) startForeign() (*process, error) {
	if err := c.mountRoot(); err != nil {
		return nil, err
	}
	// The runtime looks processes up by the numbers that they have here.
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("proc", "/proc", "proc", safe, ""); err != nil {
		return nil, fmt.Errorf("mounting /proc: %w", err)
	}
	for i := range c.Mounts {
		if err := c.Mounts[i].place(TreePath(i)); err != nil {
			return nil, fmt.Errorf("mounting %s: %w", c.Mounts[i].Target, err)
		}
	}
	if err := os.WriteFile(Staging+"/config.json", c.Foreign.Spec, 0o600); err != nil {
		return nil, err
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	p := &process{since: time.Now()}
	p.pid, err = syscall.ForkExec(c.Foreign.Path, c.Foreign.Args, &syscall.ProcAttr{
		Dir: Staging, Env: []string{"PATH=" + defaultPath}, Files: []uintptr{null.Fd(), 1, 2},
	})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Foreign.Path, err)
	}
	return p, nil
}

// place makes a mount or a small file visible at a path.
func (m *Mount) place(at string) error {
	if m.Tree < 0 {
		if err := os.WriteFile(at, m.Data, 0o600); err != nil {
			return err
		}
		return os.Chmod(at, os.FileMode(m.Mode&0o777))
	}
	if err := makeAt(unix.AT_FDCWD, at, m.Dir); err != nil {
		return err
	}
	return attach(m.Tree, at)
}
