package process

import (
	"fmt"
	"strings"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/text"
)

// Failed says how a container's process failed.
type Failed struct {
	exec.Exit
	TimedOut time.Duration // the limit that it ran into, if it did
	Log      []string      // the last lines of its log, safe to print
}

// Error implements error.
func (e *Failed) Error() string {
	switch {
	case e.TimedOut > 0:
		return fmt.Sprintf("ran longer than %v", e.TimedOut)
	case e.OOM:
		return "ran out of memory"
	case e.Signal != "":
		return "was killed by " + e.Signal
	}
	return fmt.Sprintf("exited with %d", e.Code)
}

// At returns the failure as an error at pos that says what failed. A note has the end of the log.
func (e *Failed) At(pos diag.Position, what string) *diag.Error {
	d := diag.Errorf(pos, diag.Build, "%s %s", what, e.Error())
	if strings.HasPrefix(what, "apt ") || strings.HasPrefix(what, "pip ") {
		d.Msg = what + ": it " + e.Error()
	}
	if e.TimedOut > 0 {
		d.Hint = "flytestar build --step-timeout says how long a container of a build may run"
	}
	if len(e.Log) > 0 {
		d.Notes = append(d.Notes, diag.Note{Msg: "the log ends with\n    " + strings.Join(e.Log, "\n    ")})
	}
	return d
}

// How much of a log is kept for messages.
const (
	tailLines = 20
	tailBytes = 8 << 10
)

// lastLines returns the lines of a log's end. They are safe to print, and have no credentials.
func lastLines(log *text.Tail) []string {
	end := text.Safe(text.Redact(strings.TrimSpace(log.String())))
	if end == "" {
		return nil
	}
	return strings.Split(end, "\n")
}
