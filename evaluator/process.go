package evaluator

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/evaluator/wire"
	"github.com/flytestar/flytestar/interp"
)

// process is an evaluator's process, as the parent has it.
type process struct {
	limits interp.Limits
	cmd    *osexec.Cmd
	pipe   *wire.Pipe
	ours   []*os.File
	stderr capped
	exited chan struct{} // closed once the process has ended

	mu     sync.Mutex
	reason error // why it was killed, if it was
}

// startProcess starts a process.
func startProcess(limits interp.Limits) (*process, error) {
	if err := limits.Check(); err != nil {
		return nil, err
	}
	self, err := selfPath()
	if err != nil {
		return nil, startError(err)
	}
	p := &process{limits: limits, exited: make(chan struct{})}
	theirs, err := p.openPipes()
	if err != nil {
		return nil, startError(err)
	}
	err = p.run(self, theirs)
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		p.closePipes()
		return nil, startError(err)
	}
	return p, nil
}

// How long the parent waits before it ends the process.
const (
	startTime = 10 * time.Second       // from the start of the process to its first message
	grace     = 300 * time.Millisecond // beyond a turn's limit, so that the evaluator can say where it is
)

// greet tells the process what to do and returns its lockdown, which is in force before it begins.
// It returns an error if options demand more.
func (p *process) greet(start startMsg, options Options) (lockdown.State, error) {
	clock := time.AfterFunc(startTime, func() {
		p.kill(diag.Errorf(diag.Position{}, diag.System, "the evaluator didn't start within %s", startTime))
	})
	defer clock.Stop()
	if err := p.pipe.Send(toEvaluator{Start: &start}); err != nil {
		return lockdown.State{}, p.death(err)
	}
	var m fromEvaluator
	if err := p.receive(&m); err != nil {
		return lockdown.State{}, p.death(err)
	}
	if m.Hello == nil {
		return lockdown.State{}, p.death(fmt.Errorf("%w: no greeting", wire.ErrMalformed))
	}
	state := lockdown.Of(m.Hello.Lockdown)
	if options.RequireSandbox {
		if err := state.Demand(); err != nil {
			return state, err
		}
	}
	if options.Locked != nil {
		options.Locked(state)
	}
	return state, nil
}

// receive reads a message and checks it.
func (p *process) receive(m *fromEvaluator) error {
	size, err := p.pipe.Receive(m)
	if err != nil {
		return err
	}
	m.size = size
	return m.check()
}

func startError(err error) *diag.Error {
	return diag.Errorf(diag.Position{}, diag.System, "can't start the evaluator: %w", err)
}

// openPipes makes the two pipes and returns the evaluator's ends, to be readFD and writeFD.
func (p *process) openPipes() ([]*os.File, error) {
	childR, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	r, childW, err := os.Pipe()
	if err != nil {
		childR.Close()
		w.Close()
		return nil, err
	}
	p.ours = []*os.File{r, w}
	widen(r)
	widen(w)
	p.pipe = wire.NewPipe(r, w, p.limits.Message)
	return []*os.File{childR, childW}, nil
}

func (p *process) closePipes() {
	for _, f := range p.ours {
		f.Close()
	}
}

// run starts the process, and waits for it on the same thread. The thread has to live as long as
// the process: the parent-death signal comes when it ends, not when the parent does.
func (p *process) run(self string, theirs []*os.File) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.start(self, theirs)
		started <- err
		if err == nil {
			// The error says how the process ended; ProcessState does as well.
			_ = p.cmd.Wait()
			close(p.exited)
		}
	}()
	return <-started
}

// start starts the process as the first of [lockdown.Users] that works on this machine.
func (p *process) start(self string, theirs []*os.File) (err error) {
	for _, user := range lockdown.Users() {
		p.cmd = p.command(self, theirs, user)
		if err = p.cmd.Start(); err == nil {
			return nil
		}
	}
	return err
}

// command is the process's command line. The process gets nothing of the environment, and keeps no
// directory busy. It is told the number of threads: otherwise Go's runtime watches the cgroup's
// through a file, and lockdown.CloseInherited closes files.
func (p *process) command(self string, theirs []*os.File, user int) *osexec.Cmd {
	return &osexec.Cmd{
		Path: self, Args: []string{evaluatorName}, Dir: "/",
		Env:    []string{"GOTRACEBACK=none", "GOMAXPROCS=" + strconv.Itoa(runtime.GOMAXPROCS(0))},
		Stderr: &p.stderr, ExtraFiles: theirs, SysProcAttr: lockdown.Attributes(user),
	}
}

// kill ends the process, and all processes that it may have started. The first reason counts.
func (p *process) kill(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason != nil {
		return
	}
	p.reason = reason
	select {
	case <-p.exited: // another process may have its id by now
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may just have exited
	}
}

// close kills the process if it still runs, and closes the pipes.
func (p *process) close(reason error) {
	p.kill(reason)
	<-p.exited
	p.closePipes()
}

// death waits for the process to end and says why it did. received is the error of reading its next
// message.
func (p *process) death(received error) error {
	if errors.Is(received, wire.ErrMalformed) {
		p.kill(diag.Errorf(diag.Position{}, diag.System, "the evaluator broke its rules: %w", received).
			WithHint("a workflow file may have taken the evaluator over; whatever it did, it could reach nothing of this machine"))
	}
	// If it still runs, it is of no use without its pipe.
	p.kill(errPipe)
	<-p.exited
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason != errPipe {
		return p.reason
	}
	return p.diagnose()
}

// errPipe is the reason to kill a process whose pipe is closed. Usually it is dying.
var errPipe = errors.New("the pipe was closed")

// diagnose makes an error of what the process wrote to its standard error.
func (p *process) diagnose() *diag.Error {
	words := p.stderr.String()
	switch {
	case strings.Contains(words, "stack exceeds"), strings.Contains(words, "stack overflow"):
		return interp.ErrStack.Errorf("evaluation needs more than %d MiB of stack", maxStack>>20).
			WithHint("a value nests too deeply: build lists and dicts flatter")
	case strings.Contains(words, "out of memory"), strings.Contains(words, "cannot allocate"), strings.Contains(words, "failed to create new OS thread"), strings.Contains(words, "pthread_create failed"):
		return p.limits.OverMemory()
	}
	first, _, _ := strings.Cut(strings.TrimSpace(words), "\n")
	return diag.Errorf(diag.Position{}, diag.System, "the evaluator died (%s): %s", p.cmd.ProcessState, printable(clipped(first)))
}

// capped keeps the first bytes that are written to it, and drops the rest.
type capped struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// maxStderr is how much of the evaluator's standard error is kept, in bytes.
const maxStderr = 64 << 10

// Write implements io.Writer. It always succeeds, so the writer never waits.
func (c *capped) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b.Write(data[:min(len(data), maxStderr-c.b.Len())])
	return len(data), nil
}

func (c *capped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.String()
}
