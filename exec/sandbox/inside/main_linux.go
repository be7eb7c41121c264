package inside

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// init runs the first process, and doesn't return, if this process was started
// as one. It doesn't wait for main: until all packages of the program are initialised,
// 2 of the 10 ms pass that a container takes from start to exit.
func init() {
	switch {
	case len(os.Args) > 1 && os.Args[0] == InitPath:
		runtime.LockOSThread()
		os.Exit(mainInit(os.Args[1:]))
	case len(os.Args) != 1:
	case os.Args[0] == Argv0:
		// Capabilities and filters belong to a thread, and a process inherits
		// those of the thread that forks it.
		runtime.LockOSThread()
		os.Exit(run())
	case os.Args[0] == Argv0Hold:
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
}

// fault is an error that the image or the container's description is to blame for.
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

// run reads the config, sets the container up and sees its process to the end.
// The exit code only matters to a reader of strace: reports say what happened.
func run() int {
	// What the engine handed down must not reach the task's process.
	if err := unix.CloseRange(ConfigFD, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 3
	}
	reports := json.NewEncoder(os.NewFile(ReportFD, "report"))
	config := os.NewFile(ConfigFD, "config")
	var c Config
	if err := json.NewDecoder(config).Decode(&c); err != nil {
		return 3 // the engine is gone, or will see that nothing was reported
	}
	go dieWith(config)
	child, made, err := c.started()
	if err != nil {
		r := Report{Error: err.Error()}
		var f *fault
		if errors.As(err, &f) {
			r.Fault, r.Hint = true, f.hint
		}
		_ = reports.Encode(r) // if it fails, the engine is gone
		return 1
	}
	if err := reports.Encode(Report{Ready: true, Made: made}); err != nil {
		return 3
	}
	if err := reports.Encode(child.wait()); err != nil {
		return 3
	}
	return 0
}

// dieWith ends this process, and with it all others of its PID namespace, when
// the engine's end of the config pipe is closed: by the engine, or by the
// kernel after the engine's death, whatever killed it. A parent-death signal would follow the
// engine's thread instead, which may end earlier.
func dieWith(config io.Reader) {
	_, _ = io.Copy(io.Discard, config)
	os.Exit(4)
}

// deadly are the signals that would end a Go program that doesn't ask for them.
var deadly = []unix.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV,
	unix.SIGTERM, unix.SIGSTKFLT, unix.SIGSYS,
}

// holdSignals makes signals that the container's processes send to PID 1
// harmless. os/signal would take a hundred switches between threads for that. What is
// ignored a child would inherit, but Go resets what it handles itself, as it does these, when it forks.
func holdSignals() error {
	const ignore = 1 // SIG_IGN
	action := [4]uintptr{ignore}
	for _, sig := range deadly {
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
	ended *Report // set if it could not even be executed
	coded bool    // whether an exit code above 128 stands for a signal
}

// started is start with signals held.
func (c *Config) started() (*process, []string, error) {
	if err := holdSignals(); err != nil {
		return nil, nil, err
	}
	return c.start()
}

// start sets the container up and starts its process. made lists what was made for mount points.
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
	if made, err = c.populate(r); err != nil {
		return nil, nil, err
	}
	id, err := r.lookUser(c.User)
	if err != nil {
		return nil, nil, err
	}
	if err := c.prepare(id); err != nil {
		return nil, nil, err
	}
	p, err = c.exec(id)
	return p, made, err
}

// wait reaps until the container's process ends. When this process then exits,
// the kernel kills whatever else there is in the container.
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
		if pid != p.pid {
			continue
		}
		r := Report{Ended: true, Code: ws.ExitStatus(), MaxRSS: ru.Maxrss << 10, Duration: time.Since(p.since)}
		if ws.Signaled() {
			r.Code, r.Signal = 128+int(ws.Signal()), unix.SignalName(ws.Signal())
		}
		if p.coded && r.Code > 128 {
			r.Signal = unix.SignalName(unix.Signal(r.Code - 128)) // or none, if there is no such signal
		}
		return r
	}
}

// exec starts the container's process on this thread, which prepare has locked down.
// A command that can't be executed is reported as a shell does: a line on
// stderr and exit code 127 or 126.
func (c *Config) exec(id identity) (*process, error) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	attr := &syscall.ProcAttr{
		Dir: c.Workdir,
		// Not nil, which would mean this process's own environment.
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
	// The pipes end with the container's processes, not with this one.
	unix.Close(1)
	unix.Close(2)
	return p, nil
}

// cannotExecute says on stderr why a command can't be executed, and returns the exit code that shells give it.
func cannotExecute(command string, err error) int {
	fmt.Fprintf(os.Stderr, "flytestar: cannot execute %s: %v\n", command, err)
	if errors.Is(err, os.ErrNotExist) {
		return 127
	}
	return 126
}
