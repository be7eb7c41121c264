package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// report writes an error for people: findings with their source line, a failed
// task with its callers and its log's tail, hints on lines of their own. Text without a position
// begins with "flytestar: ". That standard error can't be written has nowhere to go.
func (a *app) report(ctx context.Context, err error) {
	var b bytes.Buffer
	var (
		sig     interrupted
		done    status
		failure *plan.Failure
		list    diag.List
		one     *diag.Error
	)
	switch {
	case errors.As(err, &done):
		return
	case errors.As(context.Cause(ctx), &sig):
		fmt.Fprintf(&b, "flytestar: %v\n", sig)
	case errors.As(err, &failure):
		a.writeFailure(&b, failure)
	case errors.As(err, &list):
		writeFindings(&b, list, a.lines)
	case errors.As(err, &one):
		writeFindings(&b, diag.List{one}, a.lines)
	default:
		fmt.Fprintf(&b, "flytestar: %v\n", err)
	}
	io.WriteString(a.err, safe(b.String()))
}

// writeFindings renders findings; those without a position after "flytestar: ".
func writeFindings(b *bytes.Buffer, l diag.List, lines diag.Lines) {
	for _, e := range l {
		if !e.Pos.IsValid() {
			b.WriteString("flytestar: ")
		}
		diag.Render(b, diag.List{e}, lines) // a Buffer takes everything
	}
}

// maxCallers is how many callers of a failed action are listed.
const maxCallers = 10

// writeFailure writes how a task failed, and which tasks led to it.
func (a *app) writeFailure(b *bytes.Buffer, f *plan.Failure) {
	e := &diag.Error{Pos: f.Pos, Msg: fmt.Sprintf("task %s failed (%s): %s", f.Task, f.Kind, f.Message)}
	writeFindings(b, diag.List{e}, a.lines)
	callers := a.actions.callers(f.Action)
	for i, task := range callers {
		if i == maxCallers {
			fmt.Fprintf(b, "  … and %d more\n", len(callers)-i)
			break
		}
		fmt.Fprintf(b, "  called by %s\n", task)
	}
	if f.Log != "" {
		b.WriteString("  the end of its log:\n")
		for line := range strings.Lines(f.Log) {
			b.WriteString("    | " + safeLine(line) + "\n")
		}
	}
	if f.LogFile != "" {
		fmt.Fprintf(b, "  log: %s\n", f.LogFile)
	}
}

// actions remembers who called whom in a run, from its events.
type actions struct {
	mu    sync.Mutex
	known map[string]exec.Event // the first event of each action
}

// Watch is an exec.Watch.
func (a *actions) Watch(e exec.Event) {
	if e.Action == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known = map[string]exec.Event{}
	}
	if _, again := a.known[e.Action]; !again {
		a.known[e.Action] = exec.Event{Parent: e.Parent, Task: e.Task}
	}
}

// callers returns the tasks that led to an action, nearest first.
func (a *actions) callers(id string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var tasks []string
	for e := a.known[id]; e.Parent != ""; {
		e = a.known[e.Parent]
		tasks = append(tasks, e.Task)
	}
	return tasks
}
