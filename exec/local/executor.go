// Package local runs attempts in containers of this machine: it is the exec.Executor of local runs.
//
// An [Executor] is handed the sandbox that runs containers, the images, and the store of this
// machine. It mounts inputs from the store and puts outputs into it.
package local

import (
	"cmp"
	"context"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

var _ exec.Executor = (*Executor)(nil)

// Executor runs attempts in containers of this machine.
type Executor struct {
	Sandbox exec.Sandbox
	Images  exec.Images
	Store   Store
	Secrets exec.Secrets // nil: attempts that need a secret are refused
	// Pattern reads the pattern of an output. nil: attempts with such an output are refused.
	Pattern func(string) (match func(path string) (bool, error), err error)
	// Grace is how long an attempt that is to end may go on after it was asked to; 0 means 10
	// seconds.
	Grace time.Duration
}

// Store is an exec.Store whose artifacts lie on this machine.
type Store interface {
	exec.Store
	// Path returns where a plan.File or plan.Dir lies, for a read-only mount. If the store doesn't
	// have it, the error matches fs.ErrNotExist.
	Path(ctx context.Context, v plan.Value) (string, error)
	// OutputDir makes an empty directory that every user of a container may write to, and no
	// other user of this machine. The caller calls remove, also when the directory isn't empty.
	OutputDir() (dir string, remove func() error, err error)
	// InputDir makes a directory, for a read-only mount, in which artifacts and small files lie at
	// these relative paths. An artifact that is nil is an empty directory. The caller calls remove,
	// whatever err is.
	InputDir(ctx context.Context, artifacts map[string]plan.Value, files map[string][]byte) (dir string, remove func() error, err error)
}

// defaultGrace is that of Docker.
const defaultGrace = 10 * time.Second

// defaultPath is PATH if the image has none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Run implements exec.Executor.
func (e *Executor) Run(ctx context.Context, a *exec.Attempt) (res *exec.Result, err error) {
	img, err := e.Images.Image(ctx, a.Image.Digest)
	if err != nil {
		return nil, err
	}
	secretEnv, secretFiles, err := e.secrets(ctx, a.Secrets)
	if err != nil {
		return nil, err
	}
	outputs, remove, err := e.Store.OutputDir()
	if err != nil {
		return nil, diag.Errorf(diag.Position{}, diag.System, "making a directory for outputs: %w", err)
	}
	defer func() {
		if rerr := remove(); err == nil && rerr != nil {
			res, err = nil, diag.Errorf(diag.Position{}, diag.System, "removing the directory for outputs: %w", rerr)
		}
	}()
	mounts, files, removeInputs, err := e.inputs(ctx, &a.Spec)
	defer func() {
		if rerr := removeInputs(); err == nil && rerr != nil {
			res, err = nil, diag.Errorf(diag.Position{}, diag.System, "removing the directory for inputs: %w", rerr)
		}
	}()
	if err != nil {
		return nil, diag.Errorf(diag.Position{}, diag.System, "inputs: %w", err)
	}
	log := &lockedWriter{w: a.Log}
	stdout := e.stdout(ctx, a.Outputs, log)
	defer stdout.end()
	matched := &matches{executor: e, outputs: a.Outputs}
	user := cmp.Or(a.User, img.User)
	exit, err := e.Sandbox.Run(ctx, &exec.Container{
		Name:       hostName(a.Task),
		Layers:     img.Layers,
		Args:       a.Args,
		Env:        environment(img.Env, a.Env, secretEnv),
		Workdir:    workdir(img),
		User:       user,
		Mounts:     append(mounts, exec.Mount{Source: outputs, Target: exec.OutputsPath, Writable: true}),
		Files:      append(secretFiles, files...),
		Network:    a.Network,
		Resource:   a.Resources,
		Stdout:     stdout.w,
		Written:    matched.written(ctx),
		Stderr:     log,
		Started:    a.Started,
		StopSignal: cmp.Or(img.StopSignal, "SIGTERM"),
		Grace:      cmp.Or(e.Grace, defaultGrace),
	})
	if err != nil {
		return nil, err
	}
	res = &exec.Result{Exit: *exit}
	if exit.Code != 0 {
		return res, nil
	}
	res.Outputs, res.Refused, err = collect(ctx, e.Store, outputs, &a.Spec)
	if err == nil {
		err = stdout.into(res)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, diag.Errorf(diag.Position{}, diag.System, "keeping outputs: %w", err)
	}
	maps.Copy(res.Outputs, matched.found)
	res.Refused = append(res.Refused, matched.refused...)
	return res, nil
}

// Capacity implements exec.Executor: an attempt for each CPU that this process may use.
func (e *Executor) Capacity(context.Context) (exec.Capacity, error) {
	return exec.Capacity{Attempts: runtime.GOMAXPROCS(0)}, nil
}

// Reap implements exec.Executor. It has nothing to do: the containers of this machine die with
// their driver, and the sandbox sweeps what they left on disk when it is opened.
func (e *Executor) Reap(context.Context, string) error { return nil }

// secrets looks up what an attempt refers to: as variables, and as files in the container's memory.
func (e *Executor) secrets(ctx context.Context, refs []exec.Secret) (env []string, files []exec.File, err error) {
	for _, ref := range refs {
		if e.Secrets == nil {
			return nil, nil, diag.Errorf(diag.Position{}, diag.System, "secret %q: this executor has no secrets", ref.Key)
		}
		value, err := e.Secrets.Secret(ctx, ref.Key)
		if err != nil {
			return nil, nil, err
		}
		if ref.EnvVar != "" {
			env = append(env, ref.EnvVar+"="+string(value))
		}
		if ref.Path != "" {
			files = append(files, exec.File{Path: ref.Path, Mode: 0o444, Data: value})
		}
	}
	return env, files, nil
}

// workdir returns the working directory of an attempt. Builders set "/" in images that declare none.
func workdir(img *exec.Image) string {
	if img.Workdir == "" || img.Workdir == "/" {
		return exec.WorkPath
	}
	return img.Workdir
}

// environment returns the image's variables with the attempt's on top. It adds PATH, without which
// many programs fail, where both have none.
func environment(layers ...[]string) []string {
	env := []string{"PATH=" + defaultPath}
	for _, layer := range layers {
		for _, kv := range layer {
			name, _, _ := strings.Cut(kv, "=")
			env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
			env = append(env, kv)
		}
	}
	return env
}

// hostName turns a task's name into a host name. It is the same for each attempt, since a task's
// result mustn't depend on the attempt.
func hostName(task string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, task)
	return strings.Trim(name[:min(len(name), 63)], "-")
}

// lockedWriter lets several goroutines write.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
