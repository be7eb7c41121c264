package engine

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// Files that a container task is given, besides its inputs.
const (
	scriptPath = "/var/flytestar/script"
	shimPath   = "/var/flytestar/python.py"
	classPath  = "/var/flytestar/classes.py"
	callPath   = "/var/flytestar/call.json"
)

// shim is the program that runs a python task's function. Its docstring says how.
//
//go:embed python.py
var shim []byte

// classes is what shim loads to make the classes of a function's annotations.
//
//go:embed classes.py
var classes []byte

// container makes an attempt of a task that runs in a container.
func (a *action) container(c *clock, spec *exec.Spec, n int) (plan.Value, error) {
	log := &attemptLog{
		Tail: text.Tail{Bytes: maxTail, Lines: maxTailLine},
		path: filepath.Join(a.run.Logs, fmt.Sprintf("%s-%d.log", a.id, n)),
		show: func(lines string) { a.emit(exec.Event{Kind: exec.ActionLog, Number: n, Line: lines}) },
	}
	res, err := a.run.Executor.Run(c.ctx, &exec.Attempt{
		Spec:      *spec,
		Address:   exec.Address{Run: a.run.Location.Run, Action: a.id, Number: n, Task: a.name},
		Resources: a.resources(), Log: log, Started: c.start,
	})
	logErr := log.Close()
	v, err := a.judge(c.ctx, res, err)
	if err == nil && logErr != nil {
		err = a.fail(plan.FailSystem, "writing its log: %v", logErr)
	}
	var f *plan.Failure
	if errors.As(err, &f) {
		f.Log, f.LogFile = log.Tail.String(), log.path
		if hint := advice(f, res, a.resources()); hint != "" {
			f.Message += " (hint: " + hint + ")"
		}
	}
	return v, err
}

// resources returns the task's resources, or else its environment's.
func (a *action) resources() plan.Resources {
	if a.task.Resources != nil {
		return *a.task.Resources
	}
	return a.run.Graph.Environments[a.task.Env].Resources
}

// spec returns what the attempts of the action run: nil for an orchestrator.
func (a *action) spec() (*exec.Spec, error) {
	if !a.task.InContainer() {
		return nil, nil
	}
	env := &a.run.Graph.Environments[a.task.Env]
	image, ok := a.run.Images[a.task.Env]
	if !ok {
		return nil, a.fail(plan.FailSystem, "no image was built for environment %q", env.Name)
	}
	set, err := a.run.include(a.task)
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
	s := &exec.Spec{
		Image:   exec.ImageRef{Digest: image},
		Env:     variables(env.EnvVars, a.task.EnvVars),
		Files:   []exec.File{{Path: exec.InputsJSON, Mode: 0o444, Data: append(inputs, '\n')}},
		Inputs:  l.mounts,
		Outputs: a.task.Outputs,
		Strict:  a.task.Body.Kind != plan.BodyPython, // only its shim knows what a function returned
		Network: env.Network,
	}
	if set != nil {
		s.Inputs = append(s.Inputs, exec.Input{Path: exec.WorkspacePath, Artifact: set.dir})
	}
	return s, a.program(s, l, set)
}

// program fills in what the attempts run.
func (a *action) program(s *exec.Spec, l *layout, carried *set) error {
	body := &a.task.Body
	switch body.Kind {
	case plan.BodyStarlark:
		return a.fail(plan.FailSystem, "an orchestrator has no container")
	case plan.BodyCommand:
		err := checkShell(body.Command, l.mounts)
		if err != nil {
			return a.because(plan.FailUser, err)
		}
		if s.Args, err = expand(body.Command, l.plain, a.resources()); err != nil {
			return a.fail(plan.FailUser, "%v", err)
		}
	case plan.BodyScript:
		s.Args = []string{scriptPath}
		s.Files = append(s.Files, exec.File{Path: scriptPath, Mode: 0o755, Data: []byte(body.Script)})
		return a.scriptInputs(s, l)
	case plan.BodyPython:
		call, err := marshal(map[string]any{
			"file":     exec.WorkspacePath + "/" + body.File,
			"root":     path.Join(exec.WorkspacePath, carried.module.Root),
			"module":   carried.module.Name,
			"function": body.Function,
			"inputs":   l.tagged,
			"output":   outputType(a.task),
			"tuple":    !a.task.Single && len(a.task.Outputs) > 0, // a tuple gives the outputs in order
		})
		if err != nil {
			return a.fail(plan.FailUser, "inputs: %v", err)
		}
		s.Args = []string{"python3", "-u", shimPath}
		s.Files = append(s.Files, exec.File{Path: shimPath, Mode: 0o444, Data: shim},
			exec.File{Path: classPath, Mode: 0o444, Data: classes}, exec.File{Path: callPath, Mode: 0o444, Data: call})
	}
	return nil
}

// maxVariable bounds an input that is an environment variable, in bytes: the kernel takes 128 KiB.
const maxVariable = 64 << 10

// scriptInputs gives a script each of its inputs as an environment variable, and each that isn't a
// list, dict, record, File or Dir also as a file. What is None has neither.
func (a *action) scriptInputs(s *exec.Spec, l *layout) error {
	for _, name := range sortedKeys(l.plain) {
		v := l.plain[name]
		switch a.inputs[name].(type) {
		case nil, []plan.Value, map[string]plan.Value, plan.Struct:
			continue
		}
		text, err := written(v)
		if err != nil {
			return a.fail(plan.FailUser, "input %q: %v", name, err)
		}
		if !isArtifact(a.inputs[name]) {
			s.Files = append(s.Files, exec.File{Path: exec.InputsPath + "/" + name, Mode: 0o444, Data: []byte(text)})
		}
		if len(text) <= maxVariable && !strings.ContainsRune(text, 0) {
			s.Env = append(s.Env, name+"="+text)
		}
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

// judge decides how an attempt ended: with a value, with a failure, or cancelled.
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
		case res.OOM: // the kernel killed a child of the task, and the task reported that as its error
			return nil, a.outOfMemory()
		}
		return nil, err
	case res.OOM:
		return nil, a.outOfMemory()
	case res.Signal != "":
		return nil, a.fail(plan.FailUser, "killed by %s", res.Signal)
	case shellSignals[res.Code] != "":
		return nil, a.fail(plan.FailUser, "exit code %d: a program in it was killed by %s", res.Code, shellSignals[res.Code])
	}
	return nil, a.fail(plan.FailUser, "exit code %d", res.Code)
}

// interrupted returns the error of an attempt whose context ended. That is the failure of the
// attempt's own timeout, which then gets the log, or else the context's error.
func (a *action) interrupted(ctx context.Context) error {
	var f *plan.Failure
	if errors.As(context.Cause(ctx), &f) && f.Action == a.id {
		return f
	}
	return ctx.Err()
}

// notRun returns the failure of an attempt that the executor couldn't run. The class of the
// executor's error says whether the task or its image is to blame.
func (a *action) notRun(err error) error {
	var e *diag.Error
	if !errors.As(err, &e) {
		return a.fail(plan.FailSystem, "%v", err)
	}
	kind := plan.FailSystem
	if e.Class == diag.Task {
		kind = plan.FailUser
	}
	return a.because(kind, e)
}

func (a *action) outOfMemory() error {
	limit := a.resources().Memory
	if limit == 0 {
		return a.fail(plan.FailOOM, "out of memory")
	}
	f := a.fail(plan.FailOOM, "out of memory: it needs more than its limit of %s", mebibytes(limit))
	f.Hint = "resources(memory = …) raises it"
	return f
}

func mebibytes(n int64) string {
	if n%(1<<20) != 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
