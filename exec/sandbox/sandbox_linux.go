package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/sandbox/inside"
	"github.com/flytestar/flytestar/exec/sandbox/layer"
	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/internal/home"
	"github.com/flytestar/flytestar/plan"
)

var _ exec.Sandbox = (*Sandbox)(nil)

// Sandbox runs processes in containers. Its methods may be called concurrently.
type Sandbox struct {
	opts    Options
	layers  *layer.Unpacked
	filter  []byte // the seccomp filter, assembled
	runtime string // path of an OCI runtime, or empty
	ids     idmap
	groups  *cgroupSite
	cores   *cores
	scope   bool // whether the kernel can scope abstract sockets
	unswept error

	mu      sync.Mutex
	scratch *durable.Scratch // of this process; nil while no container runs
	users   int              // how many containers run
}

// New returns a sandbox. First it removes what killed processes left; [Sandbox.Unswept] says what it
// couldn't. If this machine can't run
// containers, the error is a *diag.Error of class System.
func New(opts Options) (*Sandbox, error) {
	s, err := newSandbox(opts)
	if err != nil {
		var e *diag.Error
		if errors.As(err, &e) {
			return nil, err
		}
		return nil, broken("setting up the sandbox: %w", err)
	}
	return s, nil
}

func newSandbox(opts Options) (*Sandbox, error) {
	if os.Geteuid() != 0 {
		return nil, broken("running containers needs root on this machine").
			WithHint("run flytestar with sudo; check, plan and graph work without")
	}
	if opts.IDBase == 0 {
		opts.IDBase = IDBase
	}
	if opts.Processes == 0 {
		opts.Processes = 4096
	}
	var err error
	if opts.Home, err = filepath.Abs(opts.Home); err != nil {
		return nil, err
	}
	s := &Sandbox{opts: opts, ids: idmap{base: int(opts.IDBase)}, scope: canScopeSockets(), cores: findCores()}
	if s.runtime, err = findRuntime(opts.Runtime); err != nil {
		return nil, err
	}
	if s.filter, err = assembleFilter(); err != nil {
		return nil, err
	}
	if s.layers, err = layer.Open(home.Dir(opts.Home).Layers()); err != nil {
		return nil, err
	}
	if s.groups, err = findCgroups(s.runtime != ""); err != nil {
		return nil, err
	}
	_, s.unswept = s.Sweep(context.Background())
	return s, nil
}

// Unswept returns why New couldn't remove some of what killed processes left, or nil. It is in
// nobody's way.
func (s *Sandbox) Unswept() error { return s.unswept }

// Run implements [exec.Sandbox]. A command that can't be executed is no error: the exit code is
// then 127 or 126, and stderr says why.
func (s *Sandbox) Run(ctx context.Context, c *exec.Container) (exit *exec.Exit, err error) {
	defer func() {
		var e *diag.Error
		switch {
		case err == nil || errors.As(err, &e):
		case ctx.Err() != nil:
			err = ctx.Err()
		default:
			err = broken("running a container for %s: %w", c.Name, err)
		}
	}()
	if err := check(c); err != nil {
		return nil, err
	}
	names, err := s.layers.Layers(ctx, c.Layers, s.scratchDir)
	if err != nil {
		return nil, err
	}
	if names = topmost(names); len(names) > plan.MaxLayers {
		return nil, broken("an image of %d layers: the kernel takes %d", len(names), plan.MaxLayers).WithHint("merge steps of the image")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, release, err := s.scratchDir()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	b := &box{sandbox: s, c: c, dir: dir, layers: names}
	return b.run(ctx)
}

// Unpack implements [exec.Sandbox].
func (s *Sandbox) Unpack(ctx context.Context, layers []exec.Layer) error {
	_, err := s.layers.Layers(ctx, layers, s.scratchDir)
	return err
}

// topmost keeps the topmost of layers that are the same. An overlay takes a directory only once,
// and whatever the lower one does, the one above it does again.
func topmost(names []string) []string {
	seen := map[string]bool{}
	var list []string
	for _, name := range slices.Backward(names) {
		if !seen[name] {
			list = append(list, name)
		}
		seen[name] = true
	}
	slices.Reverse(list)
	return list
}

// check refuses a container that can't be run.
func check(c *exec.Container) error {
	switch {
	case len(c.Args) == 0 || c.Args[0] == "":
		return broken("a container without a command")
	case c.Workdir != "" && !path.IsAbs(c.Workdir):
		return broken("the working directory %s isn't an absolute path", c.Workdir)
	}
	if err := Unsupported(c.Resource); err != nil {
		return err
	}
	for _, m := range c.Mounts {
		if err := checkTarget(m.Target); err != nil {
			return err
		}
	}
	for _, f := range c.Files {
		if err := checkTarget(f.Path); err != nil {
			return err
		}
	}
	return nil
}

// checkTarget refuses to mount something where the container has mounts of its own.
func checkTarget(target string) error {
	clean := path.Clean(target)
	top, _, _ := strings.Cut(strings.TrimPrefix(clean, "/"), "/")
	if !path.IsAbs(target) || top == "" || slices.Contains([]string{"proc", "sys", "dev"}, top) {
		return broken("nothing can be mounted at %q in a container", target)
	}
	return nil
}

// scratchDir makes a directory for one container. It lies in this process's scratch directory,
// which is removed with the last of them.
func (s *Sandbox) scratchDir() (dir string, release func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == 0 {
		if s.scratch, err = durable.OpenScratch(s.sandboxDir()); err != nil {
			return "", nil, fmt.Errorf("making a scratch directory: %w", err)
		}
	}
	s.users++
	dir, err = s.scratch.Dir(0o755)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("making a scratch directory: %w", err), s.leave())
	}
	return dir, func() error {
		err := durable.RemoveTree(dir)
		s.mu.Lock()
		defer s.mu.Unlock()
		return errors.Join(err, s.leave())
	}, nil
}

// leave counts a container out. The caller holds s.mu.
func (s *Sandbox) leave() error {
	s.users--
	if s.users > 0 {
		return nil
	}
	return s.scratch.Close()
}

func (s *Sandbox) sandboxDir() string { return home.Dir(s.opts.Home).Sandbox() }

// Sweep removes the cgroups and scratch directories that killed processes left. Their containers'
// processes and mounts died with them. What can't be removed doesn't keep it from removing the rest.
func (s *Sandbox) Sweep(ctx context.Context) (swept Swept, err error) {
	var groups, scratch error
	swept.Cgroups, groups = s.groups.sweep()
	swept.Scratch, scratch = durable.Sweep(s.sandboxDir())
	return swept, errors.Join(groups, scratch, ctx.Err())
}

// mounts returns what the container sees besides its layers, sorted by target. It adds the
// descriptors of these mounts to t.
func (b *box) mounts(t *trees) ([]inside.Mount, error) {
	var list []inside.Mount
	for _, m := range b.c.Mounts {
		if m.Private {
			private, err := b.private(m, t)
			if err != nil {
				return nil, err
			}
			list = append(list, private)
			continue
		}
		info, err := os.Stat(m.Source)
		if err != nil {
			return nil, err
		}
		fd, err := t.open(m.Source, !m.Writable)
		if err != nil {
			return nil, err
		}
		list = append(list, inside.Mount{Target: path.Clean(m.Target), Tree: fd, Dir: info.IsDir(), Write: m.Writable})
	}
	files := append(slices.Clone(b.c.Files), b.names()...)
	for _, f := range files {
		list = append(list, inside.Mount{Target: path.Clean(f.Path), Tree: -1, Mode: f.Mode, Data: f.Data})
	}
	slices.SortStableFunc(list, func(x, y inside.Mount) int { return strings.Compare(x.Target, y.Target) })
	for i := 1; i < len(list); i++ {
		if list[i].Target == list[i-1].Target {
			return nil, broken("two mounts at %s", list[i].Target)
		}
	}
	return list, nil
}

// private makes the scratch directories of a private mount.
func (b *box) private(m exec.Mount, t *trees) (p inside.Mount, err error) {
	b.privates++
	p = inside.Mount{Target: path.Clean(m.Target), Tree: -1, Dir: true, Write: true, Private: b.privates}
	if m.Source != "" {
		if p.Tree, err = t.open(m.Source, true); err != nil {
			return p, err
		}
	}
	number := strconv.Itoa(p.Private)
	return p, b.makeDirs("upper"+number, "work"+number)
}

// names returns the files by which a container resolves host names, without those that it brings
// itself. Its own name and localhost resolve in every container.
func (b *box) names() []exec.File {
	files := []exec.File{{Path: "/etc/hosts", Mode: 0o644, Data: b.hosts()}}
	if b.c.Network {
		if data, err := os.ReadFile("/etc/resolv.conf"); err == nil { // a host may do without one
			files = append(files, exec.File{Path: "/etc/resolv.conf", Mode: 0o644, Data: data})
		}
	}
	return slices.DeleteFunc(files, func(f exec.File) bool {
		same := func(target string) bool { return path.Clean(target) == f.Path }
		return slices.ContainsFunc(b.c.Mounts, func(m exec.Mount) bool { return same(m.Target) }) ||
			slices.ContainsFunc(b.c.Files, func(g exec.File) bool { return same(g.Path) })
	})
}

// hosts returns the container's /etc/hosts. With network it is the host's, with what that lacks.
func (b *box) hosts() []byte {
	const localhost = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	var hosts []byte
	if b.c.Network {
		hosts, _ = os.ReadFile("/etc/hosts") // a host may do without one
	}
	if len(hosts) > 0 && hosts[len(hosts)-1] != '\n' {
		hosts = append(hosts, '\n')
	}
	if !slices.Contains(strings.Fields(string(hosts)), "localhost") {
		hosts = append(hosts, localhost...)
	}
	return append(hosts, "127.0.0.1\t"+b.hostname()+"\n"...)
}

// hostname turns the container's name into a host name.
func (b *box) hostname() string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, b.c.Name)
	name = strings.Trim(name[:min(len(name), 63)], "-")
	if name == "" {
		return "container"
	}
	return name
}

// discard returns w, or a writer that drops everything if w is nil.
func discard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
