package inside

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// init runs the first process, and doesn't return, if this process was started as one. It doesn't
// wait for main: initialising all packages of the program takes 2 of the 10 ms between start and
// exit of a container.
func init() {
	switch {
	case len(os.Args) > 2 && os.Args[0] == InitPath:
		runtime.LockOSThread()
		os.Exit(mainInit(os.Args[1], os.Args[2:]))
	case len(os.Args) != 1:
	case os.Args[0] == Argv0:
		// Capabilities and filters belong to a thread. A process inherits those of the thread that
		// forks it.
		runtime.LockOSThread()
		os.Exit(run())
	case os.Args[0] == Argv0Hold:
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
}

// fault is an error of the image or of the container's description.
type fault struct {
	err  error
	hint string
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// faultf returns a fault.
func faultf(hint, format string, args ...any) error {
	return &fault{fmt.Errorf(format, args...), hint}
}

// run reads the config, sets the container up and waits for its process to end. Only a reader of
// strace sees the exit code: reports say what happened.
func run() int {
	// The task's process mustn't inherit the descriptors that this process was given.
	if err := unix.CloseRange(ConfigFD, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 3
	}
	reports := json.NewEncoder(os.NewFile(ReportFD, "report"))
	orders := json.NewDecoder(os.NewFile(ConfigFD, "config"))
	var c Config
	if err := orders.Decode(&c); err != nil {
		return 3 // the sandbox is gone, or sees that nothing was reported
	}
	closeFrom(c.Given)
	var pid atomic.Int64
	go obey(orders, &pid)
	child, made, err := c.started()
	if err != nil {
		r := Report{Error: err.Error()}
		var f *fault
		if errors.As(err, &f) {
			r.Fault, r.Hint = true, f.hint
		}
		_ = reports.Encode(r) // if it fails, the sandbox is gone
		return 1
	}
	pid.Store(int64(child.pid))
	if err := reports.Encode(Report{Ready: true, Made: made}); err != nil {
		return 3
	}
	end := child.wait()
	end.ShmFull = c.Foreign == nil && full("/dev/shm") // a runtime's is out of sight
	if err := reports.Encode(end); err != nil {
		return 3
	}
	return 0
}

// closeFrom closes the descriptors from first on, but for those that Go's runtime waits with.
func closeFrom(first int) {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // they are closed on exec in any case
	}
	for _, d := range list {
		fd, err := strconv.Atoi(d.Name())
		to, linkErr := os.Readlink("/proc/self/fd/" + d.Name())
		if err == nil && linkErr == nil && fd >= first && to != "anon_inode:[eventpoll]" && to != "anon_inode:[eventfd]" {
			_ = unix.Close(fd)
		}
	}
}

// obey follows orders, for the container's process once that has an id. It ends this process when
// the sandbox's end of the config pipe is closed, or when it is to stop what hasn't started. All
// others in its PID namespace end with it. The sandbox closes its end, or the kernel does when the
// sandbox's process has died. A parent-death signal wouldn't do: it follows a thread of that
// process, which may end earlier.
func obey(orders *json.Decoder, pid *atomic.Int64) {
	for {
		var o Order
		if orders.Decode(&o) != nil || pid.Load() == 0 {
			os.Exit(4)
		}
		_ = unix.Kill(int(pid.Load()), unix.Signal(o.Signal)) // fails if it has just ended
	}
}

// deadly are the signals that end a Go program by default.
var deadly = []unix.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV,
	unix.SIGTERM, unix.SIGSTKFLT, unix.SIGSYS,
}

// holdSignals makes signals harmless that the container's processes send to PID 1. With os/signal
// that would take a hundred switches between threads. A child would inherit ignored signals, but Go
// resets the signals that it handles itself when it forks, and these are among them. One of them may
// be left to os/signal.
func holdSignals(except unix.Signal) error {
	const ignore = 1 // SIG_IGN
	action := [4]uintptr{ignore}
	for _, sig := range deadly {
		if sig == except {
			continue
		}
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0); errno != 0 {
			return os.NewSyscallError("rt_sigaction", errno)
		}
	}
	return nil
}

// process is the container's process.
type process struct {
	pid   int
	since time.Time
	ended *Report // set if it couldn't be executed
	coded bool    // an exit code above 128 stands for a signal
}

// started calls start with signals held.
func (c *Config) started() (*process, []string, error) {
	if err := holdSignals(0); err != nil {
		return nil, nil, err
	}
	return c.start()
}

// start sets the container up and starts its process. It returns the paths that were made for mount
// points.
func (c *Config) start() (p *process, made []string, err error) {
	if c.Foreign != nil {
		return c.startForeign()
	}
	if err := c.enter(); err != nil {
		return nil, nil, err
	}
	r, err := openRoot("/")
	if err != nil {
		return nil, nil, err
	}
	defer r.close()
	f := &filler{root: r}
	if err := c.populate(f); err != nil {
		return nil, nil, err
	}
	id, err := c.identify(f)
	if err != nil {
		return nil, nil, err
	}
	if err := c.prepare(id); err != nil {
		return nil, nil, err
	}
	p, err = c.exec(id)
	return p, f.made, err
}

// wait reaps until the container's process ends. When this process exits after that, the kernel
// kills everything else in the container.
func (p *process) wait() Report {
	if p.ended != nil {
		return *p.ended
	}
	for {
		var ws unix.WaitStatus
		var ru unix.Rusage
		pid, err := unix.Wait4(-1, &ws, 0, &ru)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Report{Error: "waiting for the container's process: " + err.Error()}
		}
		if ws.Stopped() {
			letGo(pid, ws.StopSignal())
			continue
		}
		if pid != p.pid {
			continue
		}
		r := Report{Ended: true, Code: ws.ExitStatus(), MaxRSS: ru.Maxrss << 10, Duration: time.Since(p.since)}
		if ws.Signaled() {
			r.Code, r.Signal = 128+int(ws.Signal()), unix.SignalName(ws.Signal())
		}
		if p.coded && r.Code > 128 {
			r.Signal = unix.SignalName(unix.Signal(r.Code - 128)) // empty if there is no such signal
		}
		return r
	}
}

// full reports whether a file system has no room left.
func full(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Blocks > 0 && st.Bfree == 0
}

// letGo lets a child go on that asked to be traced by its parent, which is this process, and got a
// signal. The child gets the signal, but not the trap of an execve.
func letGo(pid int, sig syscall.Signal) {
	if sig == unix.SIGTRAP {
		sig = 0
	}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(pid), 0, uintptr(sig), 0, 0)
	if errno != 0 && errno != unix.ESRCH {
		_ = unix.Kill(pid, unix.SIGKILL) // rather than wait forever
	}
}

// exec starts the container's process on this thread, whose rights prepare has taken away. A
// command that can't be executed is reported as by a shell: with a line on stderr and exit code 127
// or 126.
func (c *Config) exec(id identity) (*process, error) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	attr := &syscall.ProcAttr{
		Dir: c.Workdir,
		// Not nil: that would mean this process's own environment.
		Env:   append([]string{}, c.Env...),
		Files: []uintptr{null.Fd(), 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: true, Credential: id.credential()},
	}
	p := &process{since: time.Now()}
	path, err := lookPath(c.Args[0], c.Env, c.Workdir)
	if err == nil {
		p.pid, err = syscall.ForkExec(path, c.Args, attr)
	}
	if err != nil {
		p.ended = &Report{Ended: true, Code: cannotExecute(c.Args[0], err)}
	}
	// The pipes must end with the container's processes, not with this one.
	unix.Close(1)
	unix.Close(2)
	return p, nil
}

// cannotExecute says on stderr why a command can't be executed. It returns the exit code that
// shells use.
func cannotExecute(command string, err error) int {
	fmt.Fprintf(os.Stderr, "flytestar: cannot execute %s: %v\n", command, err)
	if errors.Is(err, os.ErrNotExist) {
		return 127
	}
	return 126
}
