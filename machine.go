package flytestar

import (
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/artifact"
	"github.com/flytestar/flytestar/exec/engine"
	"github.com/flytestar/flytestar/exec/image"
	"github.com/flytestar/flytestar/exec/image/debian"
	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/local"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
	"github.com/flytestar/flytestar/workspace"
)

// machine holds what a build or run works with: what the options bring, and this machine's own for
// the rest. Opening it is a run's first effect.
type machine struct {
	workflow *Workflow
	builder  exec.Builder
	executor exec.Executor // nil where the plan has no image, and so no container
	store    exec.Store
	closers  []func() error // of what was opened, in that order
}

// openBuilder returns the builder, and a function that closes it. With no sandbox this machine's
// builder can only look.
func (w *Workflow) openBuilder(sandbox exec.Sandbox) (exec.Builder, func() error, error) {
	if w.opts.Builder != nil {
		return w.opts.Builder, func() error { return nil }, nil
	}
	sandbox = image.Limited(sandbox, w.opts.StepTimeout)
	b, err := image.NewBuilder(image.Options{
		Home:      string(w.home),
		Workspace: w.root.OS(),
		Sandbox:   sandbox,
		Debian:    hostDebian(w.home.Cache("debian"), sandbox),
		Jobs:      w.opts.Jobs,
		Unswept:   w.unswept,
	})
	if err != nil {
		return nil, nil, err
	}
	return b, b.Close, nil
}

// machine opens what carrying out p takes. The caller closes it.
func (w *Workflow) machine(p *plan.Plan) (*machine, error) {
	m := &machine{workflow: w}
	if err := m.open(p); err != nil {
		_ = m.Close() // why it couldn't be opened is what the user must know
		return nil, err
	}
	return m, nil
}

func (m *machine) open(p *plan.Plan) (err error) {
	w := m.workflow
	var containers exec.Sandbox
	if len(p.Images) > 0 && (w.opts.Builder == nil || w.opts.Executor == nil) {
		s, err := sandbox.New(sandbox.Options{Home: string(w.home), Runtime: w.opts.Runtime})
		if err != nil {
			return err
		}
		w.unswept(s.Unswept())
		if w.opts.Executor == nil {
			if err := w.limits(p, s.Limits); err != nil {
				return err
			}
		}
		containers = s
	}
	var closeBuilder func() error
	if m.builder, closeBuilder, err = w.openBuilder(containers); err != nil {
		return err
	}
	m.closers = append(m.closers, closeBuilder)
	if m.store = w.opts.Store; m.store != nil {
		m.executor = w.opts.Executor
		return nil
	}
	store, err := artifact.Open(w.home.Artifacts())
	if err != nil {
		return err
	}
	w.unswept(store.Unswept())
	m.store = store
	m.closers = append(m.closers, store.Close)
	switch {
	case w.opts.Executor != nil:
		m.executor = w.opts.Executor
	case containers != nil:
		m.executor = &local.Executor{Sandbox: containers, Images: m.builder, Store: store, Pattern: workspace.Pattern}
	}
	return nil
}

// unswept tells, in one line, why something that killed processes left is still there. It is in no
// run's way, so a run goes on. The names in err are a task's, who may have made many and long ones.
func (w *Workflow) unswept(err error) {
	if err == nil || w.opts.Notice == nil {
		return
	}
	why, _, _ := strings.Cut(err.Error(), "\n") // the first of several
	if len(why) > 300 {
		why = strings.ToValidUTF8(why[:300], "") + "…"
	}
	w.opts.Notice("what a killed process left can't be removed: " + why)
}

// limits returns the first error of check about the resources of the plan's tasks, at the task or the
// environment that asks for them.
func (w *Workflow) limits(p *plan.Plan, check func(plan.Resources) error) error {
	known := map[plan.Resources]bool{}
	for _, planned := range p.Tasks {
		if known[planned.Resources] || !planned.Body.InContainer() {
			continue
		}
		known[planned.Resources] = true
		err := check(planned.Resources)
		if err == nil {
			continue
		}
		var e *diag.Error
		if t, _ := w.Task(planned.Task); errors.As(err, &e) {
			task := &w.graph.Tasks[t]
			if e.Pos = task.Pos; task.Resources == nil {
				e.Pos = w.graph.Environments[task.Env].Pos
			}
		}
		return err
	}
	return nil
}

func orNil(e *diag.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// Close closes what was opened.
func (m *machine) Close() error {
	var errs []error
	for _, c := range slices.Backward(m.closers) {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// build builds the images of a plan in parallel, and notes their digests in it.
func (m *machine) build(ctx context.Context, p *plan.Plan) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range p.Images {
		g.Go(func() (err error) {
			p.Images[i].Digest, err = m.builder.Build(ctx, p.Images[i], m.workflow.opts.Watch)
			return err
		})
	}
	return g.Wait()
}

// engine returns the engine that runs tasks in the images of p, which are built.
func (m *machine) engine(p *plan.Plan) *engine.Engine {
	w := m.workflow
	return &engine.Engine{
		Graph:    w.graph,
		Bodies:   w.evaluator,
		Executor: m.executor,
		Store:    m.store,
		Images:   imagesByEnvironment(w.graph, p),
		Source:   w.files(),
		Jobs:     w.opts.Jobs,
		MaxValue: w.opts.Limits.Value,
		Check:    resolve.CallCheck(w.graph, w.files(), w.opts.Platform),
		Watch:    w.opts.Watch,
	}
}

// imagesByEnvironment returns the digests of a plan's images by environment, an index into g's.
func imagesByEnvironment(g *plan.Graph, p *plan.Plan) map[int]plan.Digest {
	byName := map[string]plan.Digest{}
	for _, i := range p.Images {
		for _, env := range i.Environments {
			byName[env] = i.Digest
		}
	}
	digests := map[int]plan.Digest{}
	for i, env := range g.Environments {
		if d, ok := byName[env.Name]; ok {
			digests[i] = d
		}
	}
	return digests
}

// hostDebian makes Debian bases from this machine's own apt sources. A machine without any is an
// error only when a workflow needs a Debian base.
func hostDebian(cache string, sandbox exec.Sandbox) image.Debian {
	sources, err := archive.HostSources("/")
	if err != nil {
		return noDebian{err}
	}
	return &debian.Debian{Mirror: &archive.Mirror{Sources: sources, Cache: cache}, Sandbox: sandbox}
}

// noDebian fails with the reason why this machine has no Debian sources.
type noDebian struct{ err error }

func (n noDebian) Resolve(context.Context, debian.Request, exec.Watch) (*debian.Closure, error) {
	return nil, n.err
}

func (n noDebian) Build(context.Context, *debian.Closure, string, exec.Watch) ([]*debian.Layer, error) {
	return nil, n.err
}

func (n noDebian) Fetch(context.Context, string, string, exec.Watch) (string, archive.Package, error) {
	return "", archive.Package{}, n.err
}

// closeInto keeps the error of close, unless there is one already.
func closeInto(err *error, close func() error) {
	if e := close(); *err == nil {
		*err = e
	}
}
