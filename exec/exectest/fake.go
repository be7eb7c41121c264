// Package exectest has what tests of exec and of its implementations share.
//
//   - [Run] is the suite that every Executor passes; [Image] makes it an image.
//   - [Fake] is an Executor that runs Go functions, and [Bodies] orchestrators
//     that are Go functions, for tests of the engine.
package exectest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

var (
	_ exec.Executor = (*Fake)(nil)
	_ exec.Bodies   = Bodies(nil)
)

// Bodies has orchestrators' bodies by full name.
type Bodies map[string]func(ctx context.Context, inputs map[string]plan.Value, host plan.Host) (plan.Value, error)

// Body implements exec.Bodies.
func (b Bodies) Body(ctx context.Context, task string, inputs map[string]plan.Value, host plan.Host) (plan.Value, error) {
	body, ok := b[task]
	if !ok {
		return nil, fmt.Errorf("the test has no body for %q", task)
	}
	return body(ctx, inputs, host)
}

// Fake runs attempts as Go functions.
type Fake struct {
	Store exec.Store
	// Start is called, if set, before the function of an attempt: the attempt counts as started once
	// Start has returned.
	Start func(ctx context.Context, a *exec.Attempt)
	// Tasks by full name. A function that returns once ctx has ended counts as killed.
	Tasks map[string]func(ctx context.Context, t *Task) exec.Exit

	mu      sync.Mutex
	running int
	most    int
	reaped  []string
}

// Task is an attempt as a function sees it.
type Task struct {
	*exec.Attempt
	refused []string
	outputs map[string]string
}

// Input returns an input as it stands in inputs.json.
func (t *Task) Input(name string) any {
	var inputs map[string]any
	for _, f := range t.Files {
		if f.Path == exec.InputsJSON {
			if err := json.Unmarshal(f.Data, &inputs); err != nil {
				panic(err)
			}
		}
	}
	return inputs[name]
}

// Output leaves a file in OutputsPath.
func (t *Task) Output(name, content string) { t.outputs[name] = content }

// Refuse leaves something there that can't be kept.
func (t *Task) Refuse(what string) { t.refused = append(t.refused, what) }

// Most returns how many attempts ran at the same time at most.
func (f *Fake) Most() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

// Running returns how many attempts are under way.
func (f *Fake) Running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

// Run implements exec.Executor.
func (f *Fake) Run(ctx context.Context, a *exec.Attempt) (*exec.Result, error) {
	run, ok := f.Tasks[a.Task]
	if !ok {
		return nil, fmt.Errorf("the test has no function for %q", a.Task)
	}
	f.count(1)
	defer f.count(-1)
	t := &Task{Attempt: a, outputs: map[string]string{}}
	if f.Start != nil {
		f.Start(ctx, a)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.Started()
	start := time.Now()
	exit := run(ctx, t)
	exit.Duration = time.Since(start)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	res := &exec.Result{Exit: exit, Refused: t.refused}
	if exit.Code != 0 {
		return res, nil
	}
	res.Outputs = map[string]plan.Value{}
	for name, content := range t.outputs {
		if a.Strict && !slices.ContainsFunc(a.Outputs, func(p plan.Param) bool { return p.Name == name }) {
			continue
		}
		file, err := f.Store.PutFile(ctx, name, strings.NewReader(content))
		if err != nil {
			return nil, err
		}
		res.Outputs[name] = file
	}
	return res, nil
}

// Capacity implements exec.Executor.
func (f *Fake) Capacity(context.Context) (exec.Capacity, error) {
	return exec.Capacity{Attempts: 4}, nil
}

// Reap implements exec.Executor. It remembers the run, for [Fake.Reaped].
func (f *Fake) Reap(_ context.Context, run string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reaped = append(f.reaped, run)
	return nil
}

// Reaped returns the runs that Reap was called for, in order.
func (f *Fake) Reaped() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.reaped)
}

func (f *Fake) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running += n
	f.most = max(f.most, f.running)
}
