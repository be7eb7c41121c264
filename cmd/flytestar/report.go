package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// report writes an error for people. Findings have their source line. A failed task has its callers
// and the end of its log. Hints are on their own lines. Text without a position begins with
// "flytestar: ". If standard error can't be written, that error is dropped.
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
	io.WriteString(a.err, text.Safe(b.String()))
}

// writeFindings renders findings. Those without a position follow "flytestar: ".
func writeFindings(b *bytes.Buffer, l diag.List, lines diag.Lines) {
	for _, e := range l {
		if !e.Pos.IsValid() {
			b.WriteString("flytestar: ")
		}
		diag.Render(b, diag.List{e}, lines) // a Buffer never fails
	}
}

// maxCallers is how many callers of a failed action are listed.
const maxCallers = 10

// writeFailure writes how a task failed. Like a traceback, it shows the calls that led to it.
func (a *app) writeFailure(b *bytes.Buffer, f *plan.Failure) {
	e := &diag.Error{Pos: f.Pos, Msg: fmt.Sprintf("task %s failed (%s): %s", f.Label.Of(f.Task), f.Kind, f.Message), Hint: f.Hint, Notes: f.Frames}
	writeFindings(b, diag.List{e}, a.lines)
	for i, c := range f.Callers {
		if i == maxCallers {
			fmt.Fprintf(b, "  … and %d more\n", len(f.Callers)-i)
			break
		}
		fmt.Fprintf(b, "  called by %s", cmp.Or(c.Function, c.Label.Of(c.Task)))
		if c.Pos.IsValid() && c.Pos != f.Pos {
			fmt.Fprintf(b, " at %s", text.SafeLine(c.Pos.String()))
			if line := a.sourceLine(c.Pos); line != "" {
				b.WriteString("\n      " + text.SafeLine(line))
			}
		}
		b.WriteByte('\n')
	}
	if f.Log != "" {
		b.WriteString("  the end of its log:\n")
		for line := range strings.Lines(f.Log) {
			b.WriteString("    | " + text.SafeLine(line) + "\n")
		}
	}
	if f.LogFile != "" {
		fmt.Fprintf(b, "  log: %s\n", f.LogFile)
	}
}

// sourceLine returns the source line at a position without the space around it, or "".
func (a *app) sourceLine(pos diag.Position) string {
	if a.lines == nil {
		return ""
	}
	if lines := a.lines(pos.File); pos.Line > 0 && pos.Line <= len(lines) {
		return strings.TrimSpace(lines[pos.Line-1])
	}
	return ""
}
