package engine

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// Files that a container task is given, besides its inputs.
const (
	scriptPath = "/var/flytestar/script"
	shimPath   = "/var/flytestar/python.py"
	callPath   = "/var/flytestar/call.json"
)

// shim runs a python task's function: it says at its top how.
//
//go:embed python.py
var shim []byte

// container is an attempt of a task that runs in a container.
func (a *action) container(ctx context.Context, n int) (plan.Value, error) {
	at, err := a.describe(n)
	if err != nil {
		return nil, err
	}
	log := &attemptLog{
		path: filepath.Join(a.run.dir, "logs", fmt.Sprintf("%s-%d.log", a.id, n)),
		line: func(line string) { a.emit(exec.Event{Kind: exec.ActionLog, Number: n, Line: line}) },
	}
	at.Log = log
	res, err := a.run.Executor.Run(ctx, at)
	logErr := log.Close()
	v, err := a.judge(ctx, res, err)
	if err == nil && logErr != nil {
		err = a.fail(plan.FailSystem, "writing its log: %v", logErr)
	}
	var f *plan.Failure
	if errors.As(err, &f) {
		f.Log, f.LogFile = log.Tail(), log.path
	}
	return v, err
}

// describe makes the attempt of an action.
func (a *action) describe(n int) (*exec.Attempt, error) {
	env := &a.run.Graph.Environments[a.task.Env]
	image, ok := a.run.Images[a.task.Env]
	if !ok {
		return nil, a.fail(plan.FailSystem, "no image was built for environment %q", env.Name)
	}
	set, carried, err := a.run.include(a.task)
	if err != nil {
		return nil, a.halt(err)
	}
	l, err := place(a.inputs)
	if err != nil {
		return nil, a.fail(plan.FailUser, "%v", err)
	}
	inputs, err := marshal(l.plain)
	if err != nil {
		return nil, a.fail(plan.FailUser, "inputs: %v", err)
	}
	at := &exec.Attempt{
		Run: a.run.id, Action: a.id, Number: n, Task: a.name, Image: image,
		Env:       variables(env.EnvVars, a.task.EnvVars),
		Files:     []exec.File{{Path: exec.InputsJSON, Mode: 0o444, Data: append(inputs, '\n')}},
		Inputs:    l.mounts,
		Resources: env.Resources,
		Network:   env.Network,
	}
	if carried {
		at.Inputs = append(at.Inputs, exec.Input{Path: exec.WorkspacePath, Artifact: set})
	}
	if a.task.Resources != nil {
		at.Resources = *a.task.Resources
	}
	return at, a.program(at, l)
}

// program fills in what the attempt runs.
func (a *action) program(at *exec.Attempt, l *layout) error {
	switch a.task.Body.Kind {
	case plan.BodyCommand:
		var err error
		if at.Args, err = expand(a.task.Body.Command, l.plain); err != nil {
			return a.fail(plan.FailUser, "%v", err)
		}
	case plan.BodyScript:
		at.Args = []string{scriptPath}
		at.Files = append(at.Files, exec.File{Path: scriptPath, Mode: 0o755, Data: []byte(a.task.Body.Script)})
	case plan.BodyPython:
		call, err := marshal(map[string]any{
			"file":     exec.WorkspacePath + "/" + a.task.Body.File,
			"function": a.task.Body.Function,
			"inputs":   l.tagged,
			"output":   outputType(a.task),
		})
		if err != nil {
			return a.fail(plan.FailUser, "inputs: %v", err)
		}
		at.Args = []string{"python3", "-u", shimPath}
		at.Files = append(at.Files, exec.File{Path: shimPath, Mode: 0o444, Data: shim}, exec.File{Path: callPath, Mode: 0o444, Data: call})
	}
	return nil
}

// variables merges environment variables; later ones win. The order is by name.
func variables(layers ...map[string]string) []string {
	all := map[string]string{}
	for _, vars := range layers {
		maps.Copy(all, vars)
	}
	var env []string
	for _, k := range sortedKeys(all) {
		env = append(env, k+"="+all[k])
	}
	return env
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// judge decides how an attempt ended: with a value, as a failure, or cancelled from without.
func (a *action) judge(ctx context.Context, res *exec.Result, err error) (plan.Value, error) {
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, a.interrupted(ctx)
	case err != nil:
		return nil, a.notRun(err)
	case res.Code == 0:
		v, err := a.result(ctx, res)
		switch {
		case err == nil:
			return v, nil
		case ctx.Err() != nil:
			return nil, a.interrupted(ctx)
		case res.OOM: // what was killed was a process of the task, and the task made an error of it
			return nil, a.outOfMemory()
		}
		return nil, err
	case res.OOM:
		return nil, a.outOfMemory()
	case res.Signal != "":
		return nil, a.fail(plan.FailUser, "killed by %s", res.Signal)
	}
	return nil, a.fail(plan.FailUser, "exit code %d", res.Code)
}

// interrupted is the error of an attempt whose context ended: its own
// timeout's failure, so that it is given the log, or the context's error.
func (a *action) interrupted(ctx context.Context) error {
	var f *plan.Failure
	if errors.As(context.Cause(ctx), &f) && f.Action == a.id {
		return f
	}
	return ctx.Err()
}

// notRun is the failure of an attempt that the executor couldn't run. Where
// that is the task's or the image's fault, the executor's error says so by its class.
func (a *action) notRun(err error) error {
	var e *diag.Error
	if !errors.As(err, &e) {
		return a.fail(plan.FailSystem, "%v", err)
	}
	kind := plan.FailSystem
	if e.Class == diag.Task {
		kind = plan.FailUser
	}
	return a.fail(kind, "%s", withHint(e))
}

func (a *action) outOfMemory() error {
	limit := a.run.Graph.Environments[a.task.Env].Resources.Memory
	if a.task.Resources != nil {
		limit = a.task.Resources.Memory
	}
	if limit == 0 {
		return a.fail(plan.FailOOM, "out of memory")
	}
	return a.fail(plan.FailOOM, "out of memory: it needs more than its limit of %s (hint: resources(memory = …) raises it)", mebibytes(limit))
}

func mebibytes(n int64) string {
	if n%(1<<20) != 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
