package flytestar

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/artifact"
	"github.com/flytestar/flytestar/exec/engine"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/internal/home"
	"github.com/flytestar/flytestar/internal/ociref"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/language"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
	"github.com/flytestar/flytestar/workspace"
)

// Options say how a workflow is loaded and run. Each zero value has a meaning.
type Options struct {
	Workspace   string        // root directory that load can see; default: see spec.md, "Modules"
	Home        string        // images, logs, artifacts and compiled modules; default: $FLYTESTAR_HOME, else under the XDG data directory
	Limits      interp.Limits // of the evaluator
	Jobs        int           // attempts in containers at a time; 0: the number of CPUs
	StepTimeout time.Duration // how long a container of a build runs at most; 0: an hour
	Runtime     string        // an OCI runtime on PATH ("runc"); default: flytestar's own sandbox
	Platform    string        // default: "linux/" and this machine's architecture
	Watch       exec.Watch    // told what happens in builds and runs
	// What builds images, runs attempts and keeps artifacts. Default: this machine, under Home. The
	// caller closes what it brings. A Store of one's own needs an Executor that reads it.
	Builder  exec.Builder
	Executor exec.Executor
	Store    exec.Store
	// RequireSandbox makes it an error of class System if the evaluator isn't fully locked down.
	// The error comes before the evaluator gets any source.
	RequireSandbox bool
	// Locked is told how far the evaluator is locked down, before it gets any source. Default:
	// nobody is.
	Locked func(lockdown.State)
	// Print is told what modules and orchestrators print; task is "" while modules load. Default:
	// nobody is.
	Print func(pos diag.Position, task, text string)
	// GraphOnly lets the evaluator end once the graph is there. Running an orchestrator is an error
	// then.
	GraphOnly bool
	// Notice is told why compiled modules can't be kept or used, and why something that killed
	// processes left can't be removed. That isn't an error. It may be called by several goroutines.
	// Default: nobody is.
	Notice func(text string)
}

// Init must be the first call in main, and in TestMain of tests that use this package. The
// evaluator is this program, started again; in it, Init never returns.
func Init() { evaluator.Init(language.New, lint.Tools(language.New)) }

// Workflow is a loaded file: its graph, and the evaluator that made it.
// Its methods may be called concurrently.
type Workflow struct {
	opts      Options
	root      *workspace.Root
	home      home.Dir
	evaluator *evaluator.Evaluator
	graph     *plan.Graph
}

// Load starts an evaluator, which loads file and what it loads. Findings are a diag.List or
// *diag.Error. The caller closes the workflow.
func Load(ctx context.Context, file string, opts Options) (_ *Workflow, err error) {
	dir, entry, err := workspace.LocateFile(opts.Workspace, file)
	if err != nil {
		return nil, err
	}
	if opts.Store != nil && opts.Executor == nil {
		return nil, usage("a Store without an Executor that reads it")
	}
	if err := opts.complete(); err != nil {
		return nil, err
	}
	w := &Workflow{opts: opts, home: home.Dir(opts.Home)}
	if w.root, err = workspace.Open(dir, opts.Home); err != nil {
		return nil, err
	}
	if w.evaluator, w.graph, err = opts.evaluate(ctx, entry, interp.NewFiles(w.root.OS())); err != nil {
		_ = w.root.Close() // why it couldn't be loaded is what the user must know
		return nil, err
	}
	return w, nil
}

// complete fills in what zero values stand for.
func (o *Options) complete() error {
	if o.Platform == "" {
		o.Platform = "linux/" + runtime.GOARCH
	}
	dir, err := home.Find(o.Home)
	o.Home = string(dir)
	return err
}

// note tells whoever watches something that only those want to know who ask.
func (o *Options) note(format string, args ...any) {
	if o.Watch != nil {
		o.Watch(exec.Event{Time: time.Now(), Kind: exec.Note, Msg: fmt.Sprintf(format, args...)})
	}
}

// evaluate starts an evaluator, which loads the module entry and reads all modules through source.
func (o *Options) evaluate(ctx context.Context, entry string, source interp.Source) (*evaluator.Evaluator, *plan.Graph, error) {
	return evaluator.Start(ctx, evaluator.Options{
		Source: source, Entry: entry, Limits: o.Limits, RequireSandbox: o.RequireSandbox, Locked: o.Locked, Print: o.Print,
		Cache: home.Dir(o.Home).Programs(), Predeclared: language.Predeclared(), Notice: o.Notice, GraphOnly: o.GraphOnly,
	})
}

// Lines returns the source lines of a workflow's files, for [diag.Render]. The arguments are those
// of Load, since a workflow that doesn't load has positions too.
func Lines(file string, opts Options) diag.Lines {
	dir, _, err := workspace.LocateFile(opts.Workspace, file)
	if err != nil {
		return nil
	}
	return workspace.Lines(dir)
}

// Close ends the evaluator.
func (w *Workflow) Close() error {
	err := w.evaluator.Close()
	if e := w.root.Close(); err == nil {
		err = e
	}
	return err
}

// Lockdown returns how far the evaluator is locked down.
func (w *Workflow) Lockdown() lockdown.State { return w.evaluator.Lockdown() }

// Graph returns what the file declares. The caller doesn't change it.
func (w *Workflow) Graph() *plan.Graph { return w.graph }

// Task returns the index of a task in the graph, by its name or full name. An
// unknown or ambiguous name is an error of class Usage.
func (w *Workflow) Task(name string) (int, error) { return resolve.Task(w.graph, name) }

// Check returns the errors of the whole file, and the warnings that become errors if a possible
// call is made.
func (w *Workflow) Check() diag.List { return resolve.Check(w.graph, w.files(), w.opts.Platform) }

// Lint returns the findings of Check, and warnings and infos about what the graph declares.
func (w *Workflow) Lint() diag.List { return resolve.Lint(w.graph, w.files(), w.opts.Platform) }

// Sizes returns how many bytes each image that is built takes in the store, by index into the
// graph's images. It has no effect. It leaves out an image whose files can't be read: Check finds
// that.
func (w *Workflow) Sizes() (sizes map[int]int64, err error) {
	if _, err := os.Stat(w.home.Images()); w.opts.Builder == nil && errors.Is(err, fs.ErrNotExist) {
		return nil, nil // nothing was built: spares reading the files that images name
	}
	b, closeBuilder, err := w.openBuilder(nil) // only looks
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, closeBuilder)
	sizes = map[int]int64{}
	for i := range w.graph.Images {
		img, err := resolve.Image(w.graph, w.files(), i, w.opts.Platform)
		if err != nil {
			continue
		}
		n, err := b.Size(*img)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			sizes[i] = n
		}
	}
	return sizes, nil
}

// Plan returns what running a task would build, pull and run. It has no effect. Findings in the
// task's reach are an error.
func (w *Workflow) Plan(ctx context.Context, task string) (p *plan.Plan, err error) {
	if _, p, err = w.plan(task); err != nil || len(p.Images) == 0 {
		return p, err
	}
	b, closeBuilder, err := w.openBuilder(nil) // only looks
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, closeBuilder)
	for i := range p.Images {
		if p.Images[i], err = b.State(ctx, p.Images[i]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// plan looks up a task, checks what it reaches, and plans it. It has no effect.
func (w *Workflow) plan(task string) (int, *plan.Plan, error) {
	t, err := w.Task(task)
	if err != nil {
		return 0, nil, err
	}
	if err := resolve.CheckTask(w.graph, w.files(), t, w.opts.Platform).Err(); err != nil {
		return 0, nil, err
	}
	p, err := resolve.Plan(w.graph, w.files(), t, w.opts.Platform)
	if err == nil && w.opts.Executor == nil {
		err = w.limits(p, func(r plan.Resources) error { return orNil(sandbox.Unsupported(r)) })
	}
	return t, p, err
}

// Build builds the images that running a task needs. The plan that it returns has each image's
// digest.
func (w *Workflow) Build(ctx context.Context, task string) (p *plan.Plan, err error) {
	if _, p, err = w.plan(task); err != nil || len(p.Images) == 0 {
		return p, err
	}
	m, err := w.machine(p)
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, m.Close)
	return p, m.build(ctx, p)
}

// Run runs a task with inputs by name. A [Path] among them stands for a File or Dir. An action's
// failure is a *plan.Failure. Findings, an unknown task and inputs that don't fit are errors,
// before anything has an effect.
func (w *Workflow) Run(ctx context.Context, task string, inputs map[string]plan.Value) (v plan.Value, err error) {
	t, p, err := w.plan(task)
	if err != nil {
		return nil, err
	}
	bound, err := bind(w.graph, t, inputs)
	if err != nil {
		return nil, err
	}
	for _, l := range p.LeftOut {
		w.opts.note("left out of what tasks see: %s", l.Why)
	}
	m, err := w.machine(p)
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, m.Close)
	if err := m.build(ctx, p); err != nil {
		return nil, err
	}
	values, err := store(ctx, m.store, w.graph.Tasks[t].Inputs, bound)
	if err != nil {
		return nil, err
	}
	artifacts, err := storeArtifacts(ctx, m.store, w.files(), resolve.Artifacts(w.graph, t))
	if err != nil {
		return nil, err
	}
	id, logs, err := w.home.NewRun()
	if err != nil {
		return nil, diag.Errorf(diag.Position{}, diag.System, "making the run's directory: %w", err)
	}
	e := m.engine(p)
	e.Artifacts = artifacts
	return e.Run(ctx, engine.Location{Run: id, Logs: logs}, w.graph.FullName(t), values)
}

// Path returns where a File or Dir of a run's result lies on this machine. The caller must not
// change it. It is an error of class Usage if the caller's own Store has no method Path as the
// local one has: nothing lies on this machine then.
func (w *Workflow) Path(v plan.Value) (path string, err error) {
	if w.opts.Store != nil {
		local, ok := w.opts.Store.(interface {
			Path(context.Context, plan.Value) (string, error)
		})
		if !ok {
			return "", usage("the store keeps no files on this machine")
		}
		return local.Path(context.Background(), v)
	}
	s, err := artifact.Open(w.home.Artifacts())
	if err != nil {
		return "", err
	}
	defer closeInto(&err, s.Close)
	return s.Path(context.Background(), v)
}

// Reference returns the name by which tools find a built image: "oci:DIR:NAME",
// where NAME is how the builder lists it in its layout (spec.md, "Images").
func (w *Workflow) Reference(i plan.BuildImage) string {
	hex := i.Declared.Hex()
	return ociref.FromLayout(w.home.Images(), hex[:min(12, len(hex))])
}

// files returns the workspace's files, for packages that only read them.
func (w *Workflow) files() fs.FS { return w.root.FS() }
