// Package engine drives runs: the call tree, concurrency, retries, failures and logs.
//
// An [Engine] works on a graph. It uses the contracts of package exec to evaluate bodies, to run
// attempts and to keep artifacts. A run is a tree of actions:
//
//   - engine.go starts the run.
//   - action.go takes one action through its attempts, and asks the recorders before.
//   - host.go answers what the body of an orchestrator asks for.
//   - container.go makes the attempts of every other body. include.go has the files that they
//     carry, inputs.go lays out their inputs, command.go fills in their arguments, log.go keeps what
//     they write, and outputs.go reads what they leave.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// Engine runs tasks of one graph. It may run several tasks at a time, each as a run of its own.
// Nobody changes its fields once it runs.
type Engine struct {
	Graph    *plan.Graph         // validated
	Bodies   exec.Bodies         // of the same graph
	Executor exec.Executor       // may be nil if no task of the run needs a container
	Store    exec.Store          // the Executor's
	Images   map[int]plan.Digest // manifest digests, by environment (an index into Graph.Environments)
	Source   fs.FS               // the workspace; it must refuse symbolic links that lead out of it, as os.Root does
	Jobs     int                 // attempts in containers at a time; 0: as many as the Executor says
	MaxValue int64               // bytes of a value that passes between tasks; 0: plan.MaxValue
	// Artifacts has what the Store keeps for Files and Dirs of the workspace, by their values in the
	// Graph.
	Artifacts map[plan.Value]plan.Value
	Watch     exec.Watch

	// Recorders are asked in order before an action runs: the first that knows its outcome answers.
	// Those asked before it are told that outcome. All are told what an action that ran came to.
	Recorders []exec.Recorder

	// Check, if set, is asked about every call that a body makes, after the
	// engine's own checks. Its error ends the run.
	Check func(call plan.Call) error
	// Backoff is the pause before the first retry; 0: half a second. It doubles with each further
	// retry, up to a minute. Each pause is then cut by up to a half, at random.
	Backoff time.Duration
}

// maxDepth bounds how deep calls nest (spec.md, "Bodies").
const maxDepth = 200

// maxCalls bounds how many calls of one body are under way at a time. Further ones wait.
const maxCalls = 1000

// Location says which run it is, and where it keeps things. The caller makes both.
type Location struct {
	Run  string // the run's id
	Logs string // an empty directory for the logs of attempts
}

// run is one run of an engine.
type run struct {
	*Engine
	Location
	ctx   context.Context         // of the run; its cause is what halted it
	halt  context.CancelCauseFunc // ends the run for a reason that isn't an action's failure
	tasks map[string]int          // by full name
	slots chan struct{}           // a place for each attempt in a container; nil without an Executor

	mu        sync.Mutex
	artifacts map[plan.Value]bool // every File and Dir that the run knows
	reach     map[int][]bool      // by environment: which ones its depends_on reaches
	sets      map[string]*set     // include sets, by their paths
}

// Run runs a task, by full name, and returns its value. Inputs are by name;
// those with a default may be missing. Files and Dirs among them are in the Store.
//
// The error is a *plan.Failure if an action failed and nothing caught that, a
// *diag.Error or diag.List for a bad input (class Usage), a finding or an
// exceeded limit in a body, or ctx's cause. When Run returns, nothing of the run is under way.
func (e *Engine) Run(ctx context.Context, at Location, task string, inputs map[string]plan.Value) (plan.Value, error) {
	r := e.newRun(at)
	r.ctx, r.halt = context.WithCancelCause(ctx)
	defer r.halt(nil)
	first, err := r.first(task, inputs)
	if err != nil {
		return nil, err
	}
	if err := r.carry(first.index); err != nil {
		return nil, err
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	v, err := first.do(r.ctx)
	if cause := context.Cause(r.ctx); cause != nil {
		err = cause // and not what the evaluator made of it
	}
	if err != nil {
		return nil, inBody(err)
	}
	return v, nil
}

// prepare asks the executor for its capacity, and to reap what an earlier driver of the run left.
func (r *run) prepare() error {
	if r.Executor == nil {
		return nil
	}
	capacity, err := r.Executor.Capacity(r.ctx)
	if err != nil {
		return err
	}
	r.slots = make(chan struct{}, max(cmp.Or(r.Jobs, capacity.Attempts), 1))
	return r.Executor.Reap(r.ctx, r.Location.Run)
}

// inBody changes the class of a limit that a body exceeded. The class decides the exit code, and a
// limit exceeded while loading has another one (spec.md, "Exit codes").
func inBody(err error) error {
	var e *diag.Error
	if !errors.As(err, &e) || e.Class != diag.Limit {
		return err
	}
	d := *e
	d.Class = diag.Task
	return &d
}

func (e *Engine) newRun(at Location) *run {
	r := &run{
		Engine:    e,
		Location:  at,
		tasks:     make(map[string]int, len(e.Graph.Tasks)),
		artifacts: map[plan.Value]bool{},
		reach:     map[int][]bool{},
		sets:      map[string]*set{},
	}
	for i := range e.Graph.Tasks {
		r.tasks[e.Graph.FullName(i)] = i
	}
	return r
}

// first makes the run's first action.
func (r *run) first(task string, inputs map[string]plan.Value) (*action, error) {
	i, ok := r.tasks[task]
	if !ok {
		return nil, diag.Errorf(diag.Position{}, diag.Usage, "there is no task %q", task)
	}
	t := &r.Graph.Tasks[i]
	bound, err := r.bind(t, inputs)
	if err != nil {
		return nil, diag.Errorf(diag.Position{}, diag.Usage, "task %q: %w", task, err)
	}
	for _, v := range bound {
		r.admit(v)
	}
	return &action{run: r, id: actionID(r.Location.Run, "0"), task: t, index: i, name: task, inputs: bound, pos: t.Pos}, nil
}

// bind returns the inputs as values of the task's types, defaults filled in. All their Files and Dirs
// are in the store.
func (r *run) bind(t *plan.Task, inputs map[string]plan.Value) (map[string]plan.Value, error) {
	bound := make(map[string]plan.Value, len(t.Inputs))
	for _, p := range t.Inputs {
		v, given := inputs[p.Name]
		if !given {
			if p.Default == nil {
				return nil, fmt.Errorf("input %q is missing", p.Name)
			}
			var err error
			if v, err = plan.UnmarshalValue(p.Default); err != nil {
				return nil, fmt.Errorf("default of input %q: %w", p.Name, err)
			}
		}
		v, err := plan.Conform(v, p.Type)
		if err == nil {
			v, err = r.stored(v)
		}
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", p.Name, err)
		}
		bound[p.Name] = v
	}
	for name := range inputs {
		if _, ok := bound[name]; !ok {
			return nil, fmt.Errorf("there is no input %q", name)
		}
	}
	if err := plan.CheckValue(bound, r.MaxValue); err != nil {
		return nil, fmt.Errorf("inputs: %w", err)
	}
	return bound, nil
}

// emit tells the watcher.
func (r *run) emit(ev exec.Event) {
	if r.Watch != nil {
		ev.Time = time.Now()
		r.Watch(ev)
	}
}

// reaches reports whether an environment's depends_on reaches another.
func (r *run) reaches(from, to int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	reached := r.reach[from]
	if reached == nil {
		reached = make([]bool, len(r.Graph.Environments))
		for _, env := range r.Graph.Closure(from) {
			reached[env] = true
		}
		r.reach[from] = reached
	}
	return reached[to]
}

// admit makes the Files and Dirs in v known to the run.
func (r *run) admit(v plan.Value) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = plan.EachArtifact(v, func(a plan.Value) error { // returns the function's errors, and it has none
		r.artifacts[a] = true
		return nil
	})
}

// stored returns v with what the store has for each File and Dir of the workspace. It is an error if
// it has nothing: the graph doesn't name that one.
func (r *run) stored(v plan.Value) (plan.Value, error) {
	return plan.MapArtifacts(v, func(a plan.Value) (plan.Value, error) {
		f, ok := a.(plan.File)
		if !ok {
			f = plan.File(a.(plan.Dir))
		}
		if f.Workspace == "" {
			return a, nil
		}
		if s, ok := r.Artifacts[a]; ok {
			r.admit(s)
			return s, nil
		}
		return nil, fmt.Errorf("the %s %s of the workspace isn't one that the run needs", plan.TypeName(a), f.Workspace)
	})
}

// own returns v as stored does. It is an error if v isn't known.
func (r *run) own(v plan.Value) (plan.Value, error) {
	v, err := r.stored(v)
	if err != nil {
		return nil, err
	}
	return v, r.known(v)
}

// known returns an error if v has a File or Dir that isn't of this run. Without this check, an
// evaluator could make digests up and read whatever else is in the store.
func (r *run) known(v plan.Value) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return plan.EachArtifact(v, func(a plan.Value) error {
		if !r.artifacts[a] {
			return fmt.Errorf("a %s that isn't of this run: %+v", plan.TypeName(a), a)
		}
		return nil
	})
}
