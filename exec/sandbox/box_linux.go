package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/sandbox/inside"
	"github.com/flytestar/flytestar/exec/sandbox/layer"
)

// box is one container while it is set up and runs.
type box struct {
	sandbox  *Sandbox
	c        *exec.Container
	dir      string   // scratch directory
	layers   []string // names of unpacked layers, bottom first
	group    *cgroup  // nil if no cgroup can be made and no limit was asked for
	made     []string // paths that were made for mount points
	cpus     []int    // cores that it may use; empty: all
	privates int      // how many private mounts it has
}

// run takes the container from its cgroup to the reading of its changes.
func (b *box) run(ctx context.Context) (exit *exec.Exit, err error) {
	if b.group, err = b.sandbox.groups.make(b.c.Resource, b.sandbox.opts.Processes); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.group.remove()) }()
	var release func()
	b.cpus, release = b.sandbox.cores.take(b.c.Resource.MilliCPU)
	defer release()
	if err := b.makeScratch(); err != nil {
		return nil, err
	}
	exit, err = b.live(ctx)
	oom, oomErr := b.group.oom()
	if err != nil && oom && ctx.Err() == nil { // too little memory even to set the container up
		return &exec.Exit{Code: 128 + int(unix.SIGKILL), Signal: "SIGKILL", OOM: true}, nil
	}
	if err = cmp.Or(err, oomErr); err != nil {
		return nil, err
	}
	exit.OOM, exit.Crowded = oom, b.group.crowded()
	if b.c.Written != nil && exit.Code == 0 {
		if err := b.written(); err != nil {
			return nil, err
		}
	}
	if b.c.Diff == nil || exit.Code != 0 {
		return exit, nil
	}
	return exit, b.diff().Write(ctx, b.c.Diff)
}

// written hands over what the container wrote in its working directory. The container may have put
// links anywhere, so it is opened from a directory that it can't change.
func (b *box) written() error {
	upper, rel, number := "upper", strings.TrimPrefix(path.Clean("/"+b.c.Workdir), "/"), 0
	for _, m := range b.c.Mounts {
		if !m.Private {
			continue
		}
		number++
		if below, err := filepath.Rel(m.Target, b.c.Workdir); err == nil && filepath.IsLocal(below) {
			upper, rel = "upper"+strconv.Itoa(number), below
		}
	}
	top, err := os.OpenRoot(filepath.Join(b.dir, upper))
	if err != nil {
		return err
	}
	defer top.Close()
	dir, err := top.OpenRoot(cmp.Or(rel, "."))
	if err != nil { // it isn't there, or leads elsewhere
		return b.c.Written(nil)
	}
	defer dir.Close()
	return b.c.Written(dir)
}

// diff returns what the container has changed.
func (b *box) diff() *layer.Diff {
	d := &layer.Diff{Upper: filepath.Join(b.dir, "upper"), Skip: b.made, ID: b.sandbox.ids.inside}
	for _, name := range slices.Backward(b.layers) {
		d.Lowers = append(d.Lowers, filepath.Join(b.sandbox.layers.Path(), name))
	}
	return d
}

// makeScratch makes the directories that the container writes to. The container's root owns them.
func (b *box) makeScratch() error {
	base := b.sandbox.ids.base
	if err := os.Chmod(b.dir, 0o700); err != nil {
		return err
	}
	if err := os.Chown(b.dir, base, base); err != nil {
		return err
	}
	return b.makeDirs("upper", "work")
}

// makeDirs makes directories in the scratch directory.
func (b *box) makeDirs(names ...string) error {
	base := b.sandbox.ids.base
	for _, name := range names {
		dir := filepath.Join(b.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := os.Chown(dir, base, base); err != nil {
			return err
		}
	}
	return nil
}

// live starts the first process, sends it its config, and waits for its end. All of the container's
// processes end with it.
func (b *box) live(ctx context.Context) (*exec.Exit, error) {
	t := &trees{sandbox: b.sandbox, next: inside.FirstFD}
	defer t.close()
	config, err := b.config(t)
	if err != nil {
		return nil, err
	}
	config.Given = t.next
	p, err := b.spawn(t)
	if err != nil {
		return nil, err
	}
	t.close()
	abort := context.AfterFunc(ctx, p.kill)
	defer abort()
	err = errors.Join(b.group.join(p.cmd.Process.Pid), yield(p.cmd.Process.Pid))
	if err == nil {
		abort() // with its config it starts what may be asked to end, and what may cancel ctx by what it writes
		err = json.NewEncoder(p.config).Encode(config)
	}
	if err != nil {
		p.kill()
		p.reap()
		return nil, fmt.Errorf("starting a container: %w", err)
	}
	return b.follow(ctx, p)
}

// yield makes the kernel kill a container's processes, and not this one or its neighbours, when the
// machine's memory runs out. What a process starts inherits that.
func yield(pid int) error {
	data, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	own, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return err
	}
	return os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(strconv.Itoa(min(own+500, 1000))), 0)
}

// config returns what the first process is to do.
func (b *box) config(t *trees) (*inside.Config, error) {
	s := b.sandbox
	c := &inside.Config{
		Hostname: b.hostname(), Layers: slices.Clone(b.layers), Sys: -1, Shm: b.c.Resource.Shm,
		Args: b.c.Args, Env: b.c.Env, Workdir: b.c.Workdir, User: b.c.User,
		Capabilities: capabilities, Seccomp: s.filter, ScopeSockets: b.c.Network && s.scope,
	}
	slices.Reverse(c.Layers)
	c.CPUs = b.cpus
	if c.Shm == 0 {
		c.Shm = 64 << 20
	}
	var files unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files)
	if err != nil {
		return nil, err
	}
	c.OpenFiles = min(files.Max, 1<<20)
	if c.LayerTree, err = t.open(s.layers.Path(), true); err != nil {
		return nil, err
	}
	if c.Scratch, err = t.openAs(b.dir, false, false); err != nil {
		return nil, err
	}
	if b.c.Network {
		if c.Sys, err = t.openAs("/sys", true, false); err != nil {
			return nil, err
		}
	}
	if c.Groups, err = b.group.show(t); err != nil {
		return nil, err
	}
	if c.Mounts, err = b.mounts(t); err != nil || s.runtime == "" {
		return c, err
	}
	return c, b.foreign(c, t)
}

// firstProcess is a container's first process, seen from outside.
type firstProcess struct {
	cmd     *osexec.Cmd
	config  *os.File // closing it ends the container
	reports *os.File
	outputs *outputs
}

// namespaces are the kinds that every container has of its own.
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// spawn clones this program into new namespaces.
func (b *box) spawn(t *trees) (p *firstProcess, err error) {
	configR, configW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	reportR, reportW, err := os.Pipe()
	if err != nil {
		configR.Close()
		configW.Close()
		return nil, err
	}
	p = &firstProcess{config: configW, reports: reportR}
	stdout, stderr, err := p.capture(b.c.Stdout, b.c.Stderr, b.sandbox.ids.base)
	if err == nil {
		p.cmd = b.command(stdout, stderr, append([]*os.File{configR, reportW}, t.files...))
		err = p.cmd.Start()
	}
	for _, f := range []*os.File{configR, reportW, stdout, stderr} {
		if f != nil {
			f.Close()
		}
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("cloning the first process: %w", err)
	}
	return p, nil
}

// command returns the command that executes this program as a container's first process. With an
// OCI runtime, that process only guards: the runtime makes the container's namespaces.
func (b *box) command(stdout, stderr *os.File, extra []*os.File) *osexec.Cmd {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Setsid: true}
	if b.sandbox.runtime == "" {
		attr.Cloneflags = namespaces
		if !b.c.Network {
			attr.Cloneflags |= unix.CLONE_NEWNET
		}
		attr.UidMappings, attr.GidMappings = b.sandbox.ids.mappings(), b.sandbox.ids.mappings()
		attr.GidMappingsEnableSetgroups = true
		attr.Credential = &syscall.Credential{}
	}
	return &osexec.Cmd{
		Path:        "/proc/self/exe",
		Args:        []string{inside.Argv0},
		Env:         []string{"GOMAXPROCS=2"}, // one for the thread that has given up its rights, one for the rest
		Dir:         "/",
		Stdout:      stdout,
		Stderr:      stderr,
		ExtraFiles:  extra,
		SysProcAttr: attr,
	}
}

// kill ends all of the container's processes.
func (p *firstProcess) kill() {
	_ = p.cmd.Process.Kill() // fails only if it has ended
}

// close closes this process's ends of the pipes.
func (p *firstProcess) close() {
	p.config.Close()
	p.reports.Close()
	if p.outputs != nil {
		p.outputs.close()
	}
}

// reap waits for the first process, which no other of the container outlives, and closes the pipes.
func (p *firstProcess) reap() {
	_ = p.cmd.Wait() // its reports say how it ended
	p.close()
}

// follow waits for the container's end and returns how it ended.
func (b *box) follow(ctx context.Context, p *firstProcess) (*exec.Exit, error) {
	started := make(chan struct{})
	over, release := b.endWith(ctx, p, started)
	defer release()
	var last inside.Report
	ready := false
	for d := json.NewDecoder(p.reports); ; {
		var r inside.Report
		if err := d.Decode(&r); err != nil {
			break // it is dead or will be; last is its last report
		}
		if last = r; r.Ready && !ready {
			ready, b.made = true, r.Made
			close(started)
			if b.c.Started != nil {
				b.c.Started()
			}
		}
		if r.Ended || r.Error != "" {
			break
		}
	}
	if !last.Ended && last.Error == "" && !ready {
		p.kill() // it wrote something that isn't a report
	}
	_ = p.cmd.Wait()
	err := p.outputs.wait(over)
	p.close()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case last.Error != "":
		return nil, setupError(last)
	case err != nil: // this ends a container even while it is set up
		return nil, fmt.Errorf("passing on output: %w", err)
	case !ready:
		return nil, fmt.Errorf("the container's first process died while setting up: %s", p.cmd.ProcessState)
	case last.Ended:
		return &exec.Exit{Code: last.Code, Signal: last.Signal, MaxRSS: last.MaxRSS, Duration: last.Duration, ShmFull: last.ShmFull}, nil
	}
	// The first process was killed. The kernel does that when memory is short and nothing else is
	// left to kill.
	return &exec.Exit{Code: 128 + int(unix.SIGKILL), Signal: "SIGKILL"}, nil
}

// endWith ends the container when ctx ends. Its process is asked first if it has a signal for that,
// and has a moment. The context that is returned ends when all of the container is to be over.
func (b *box) endWith(ctx context.Context, p *firstProcess, started <-chan struct{}) (over context.Context, release func()) {
	over, end := context.WithCancel(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() {
		defer end()
		defer p.kill()
		if b.c.StopSignal == "" {
			return
		}
		grace := time.NewTimer(b.c.Grace)
		defer grace.Stop()
		select {
		case <-started: // it may have written something before we hear that it has started
			_ = json.NewEncoder(p.config).Encode(inside.Order{Signal: stopSignal(b.c.StopSignal)}) // fails if it has ended
		case <-over.Done():
		case <-grace.C:
			return
		}
		select {
		case <-over.Done():
		case <-grace.C:
		}
	})
	return over, func() { forget(); end() }
}

// stopSignal returns the number of a signal that an image names: 0 for none, SIGTERM for one that
// isn't known.
func stopSignal(name string) int {
	if name == "" {
		return 0
	}
	const lowest, highest = 34, 64 // of the real-time signals, as the C library counts them
	name = strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if n, ok := strings.CutPrefix(name, "RTMIN+"); ok {
		if n, err := strconv.Atoi(n); err == nil && n >= 0 && lowest+n <= highest {
			return lowest + n
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= highest {
		return n
	}
	return int(cmp.Or(unix.SignalNum("SIG"+name), unix.SIGTERM))
}

// setupError turns the report of a failed setup into an error.
func setupError(r inside.Report) error {
	class := diag.System
	if r.Fault {
		class = diag.Task
	}
	return &diag.Error{Class: class, Msg: "setting up a container: " + r.Error, Hint: r.Hint}
}

// outputs copies what a container writes to the writers that want it.
type outputs struct {
	readers []*os.File
	done    chan struct{} // closed when everything is copied
	mu      sync.Mutex
	err     error
}

// capture returns pipes for the first process's stdout and stderr. It makes pipes even if the
// writer is a file: with a descriptor of a terminal or a file of the host's the container could do
// more than write. If both writers are the same, so is the pipe, and the order of lines is kept.
func (p *firstProcess) capture(stdout, stderr io.Writer, owner int) (outW, errW *os.File, err error) {
	o := &outputs{done: make(chan struct{})}
	p.outputs = o
	writers := []io.Writer{discard(stdout)}
	if !same(stdout, stderr) {
		writers = append(writers, discard(stderr))
	}
	var ends []*os.File
	for range writers {
		r, w, err := os.Pipe()
		if err == nil {
			o.readers, ends = append(o.readers, r), append(ends, w)
			err = w.Chown(owner, owner)
		}
		if err != nil {
			for _, f := range ends {
				f.Close()
			}
			return nil, nil, err
		}
	}
	var wg sync.WaitGroup
	for i, w := range writers {
		wg.Go(func() { o.copy(p, w, o.readers[i]) })
	}
	go func() { wg.Wait(); close(o.done) }()
	return ends[0], ends[len(ends)-1], nil
}

// same reports whether two writers are the same. It returns false for writers that can't be
// compared.
func same(a, b io.Writer) bool {
	defer func() { _ = recover() }()
	return a == b
}

// copy copies until all of the container's processes have closed their end. If the writer fails, it
// ends the container, since output would be lost.
func (o *outputs) copy(p *firstProcess, w io.Writer, r *os.File) {
	_, err := io.Copy(w, r)
	if err == nil || errors.Is(err, os.ErrClosed) {
		return
	}
	o.mu.Lock()
	o.err = errors.Join(o.err, err)
	o.mu.Unlock()
	p.config.Close()
}

// wait waits until everything is copied or ctx ends.
func (o *outputs) wait(ctx context.Context) error {
	select {
	case <-o.done:
	case <-ctx.Done():
		o.close()
		<-o.done
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *outputs) close() {
	for _, r := range o.readers {
		r.Close()
	}
}
