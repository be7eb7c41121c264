package inside

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TreePath returns where a runtime finds the i-th of Config.Mounts.
func TreePath(i int) string { return Staging + "/m" + strconv.Itoa(i) }

// Where a runtime finds the container's root file system, and where the container writes.
const (
	rootPath = Staging + "/root"
	logPath  = Staging + "/log"
	pidPath  = Staging + "/pid"
)

// startForeign mounts what the container is made of and starts an OCI runtime. This process is PID
// 1 for the runtime and for the container too. So both die with it, however the sandbox's process
// ends.
func (c *Config) startForeign() (p *process, made []string, err error) {
	if err := c.mountRoot(); err != nil {
		return nil, nil, err
	}
	// The runtime looks processes up by the numbers that they have in this namespace.
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("proc", "/proc", "proc", safe, ""); err != nil {
		return nil, nil, fmt.Errorf("mounting /proc: %w", err)
	}
	r, err := openRoot(rootPath)
	if err != nil {
		return nil, nil, err
	}
	defer r.close()
	f := &filler{root: r, owner: c.Foreign.RootID}
	if err := c.stage(f); err != nil {
		return nil, nil, err
	}
	id, err := c.identify(f)
	if err != nil {
		return nil, nil, err
	}
	if err := c.Foreign.writeSpec(id, c.Env); err != nil {
		return nil, nil, err
	}
	for _, at := range f.made {
		made = append(made, strings.TrimPrefix(at, rootPath))
	}
	p, err = c.Foreign.start()
	return p, made, err
}

// stage puts mounts where the runtime finds them. It also makes their mount points: a runtime would
// make them too, but not say which.
func (c *Config) stage(f *filler) error {
	for i := range c.Mounts {
		m := &c.Mounts[i]
		err := m.place(TreePath(i), c.Foreign.RootID)
		if err == nil && m.Target == InitPath {
			continue // the runtime mounts its own /dev over it
		}
		var fd int
		if err == nil {
			fd, err = f.locate(m.Target, m.Dir, 0)
		}
		if err != nil {
			return fmt.Errorf("mounting %s: %w", m.Target, err)
		}
		unix.Close(fd)
	}
	return nil
}

// place makes a mount, or a small file of the container's root, visible at a path.
func (m *Mount) place(at string, rootID int) error {
	if m.Tree < 0 {
		if err := os.WriteFile(at, m.Data, 0o600); err != nil {
			return err
		}
		if err := os.Chown(at, rootID, rootID); err != nil {
			return err
		}
		return os.Chmod(at, os.FileMode(m.Mode&0o777))
	}
	if err := makeAt(unix.AT_FDCWD, at, m.Dir); err != nil {
		return err
	}
	return attach(m.Tree, at)
}

// writeSpec writes config.json with the user and the environment filled in.
func (f *Foreign) writeSpec(id identity, env []string) error {
	var spec map[string]json.RawMessage
	var process map[string]any
	if err := json.Unmarshal(f.Spec, &spec); err != nil {
		return err
	}
	if err := json.Unmarshal(spec["process"], &process); err != nil {
		return err
	}
	process["user"] = map[string]any{"uid": id.uid, "gid": id.gid, "additionalGids": id.groups, "umask": 0o022}
	process["env"] = env
	if id.uid != 0 { // a runtime would leave them to any user
		caps := process["capabilities"].(map[string]any)
		delete(caps, "effective")
		delete(caps, "permitted")
	}
	var err error
	if spec["process"], err = json.Marshal(process); err != nil {
		return err
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(Staging+"/config.json", data, 0o600)
}

// start makes the runtime create the container and then start it. With "run" a runtime would copy
// the output, stdout apart from stderr.
func (f *Foreign) start() (*process, error) {
	if err := f.command("create", "--bundle", Staging, "--pid-file", pidPath, containerID); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(pidPath)
	if err != nil {
		return nil, err
	}
	p := &process{since: time.Now(), coded: true}
	if p.pid, err = strconv.Atoi(strings.TrimSpace(string(data))); err != nil {
		return nil, err
	}
	return p, f.command("start", containerID)
}

// containerID is the container's name for the runtime. Nobody else sees the runtime's state.
const containerID = "container"

// command runs the runtime. If that fails, it returns what the runtime logged.
func (f *Foreign) command(args ...string) error {
	// Not /dev/null: crun gives the files that it passes on to the container's root, and the host has
	// only one /dev/null.
	stdin, err := os.OpenFile(Staging+"/stdin", os.O_RDONLY|os.O_CREATE, 0o444)
	if err != nil {
		return err
	}
	defer stdin.Close()
	if err := stdin.Chmod(0o444); err != nil { // whatever the umask: a process may open /dev/stdin
		return err
	}
	argv := append([]string{f.Path, "--root", Staging + "/state", "--log", logPath, "--log-format", "json"}, args...)
	pid, err := syscall.ForkExec(f.Path, argv, &syscall.ProcAttr{
		Dir: Staging, Env: []string{"PATH=" + defaultPath, "XDG_RUNTIME_DIR=" + Staging}, Files: []uintptr{stdin.Fd(), 1, 2},
	})
	if err != nil {
		return fmt.Errorf("executing %s: %w", f.Path, err)
	}
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &ws, 0, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return err
		}
	}
	if ws.ExitStatus() != 0 {
		return fmt.Errorf("%s %s: %s", f.Path, args[0], runtimeError())
	}
	return nil
}

// runtimeError returns the last error in the runtime's log.
func runtimeError() string {
	last := "it failed, and its log doesn't say why"
	f, err := os.Open(logPath)
	if err != nil {
		return last
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct{ Level, Msg string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && (line.Level == "error" || line.Level == "fatal") {
			last = line.Msg
		}
	}
	return last
}

// InitPath is where a runtime's container has this program. It is the container's first process,
// executes its arguments and reaps. Without it the container's process would be PID 1, and no
// signal of its own could end it.
const InitPath = "/dev/flytestar-init"

// mainInit is the first process in a foreign runtime's container. Its arguments are an Init and the
// container's.
func mainInit(setup string, args []string) int {
	var in Init
	if err := json.Unmarshal([]byte(setup), &in); err != nil || holdSignals(unix.Signal(in.Signal)) != nil {
		return 3
	}
	orders := make(chan os.Signal, 1)
	if in.Signal != 0 {
		signal.Notify(orders, unix.Signal(in.Signal))
	}
	err := pin(in.CPUs)
	var dir, path string
	if err == nil {
		dir, err = os.Getwd()
	}
	if err == nil {
		path, err = lookPath(args[0], os.Environ(), dir)
	}
	p := &process{since: time.Now()}
	if err == nil {
		p.pid, err = syscall.ForkExec(path, args, &syscall.ProcAttr{
			Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
		})
	}
	if err != nil {
		return cannotExecute(args[0], err)
	}
	go func() {
		for s := range orders {
			_ = unix.Kill(p.pid, s.(unix.Signal)) // fails if it has just ended
		}
	}()
	return p.wait().Code
}
