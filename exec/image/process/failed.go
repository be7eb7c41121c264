package process

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/text"
)

// Failed says how a container's process failed.
type Failed struct {
	exec.Exit
	Log []string // the last lines of its log, safe to print
}

// Error implements error.
func (e *Failed) Error() string {
	switch {
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

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailBytes; n > tailBytes {
		t.buf = append([]byte{}, t.buf[n:]...)
	}
	return len(p), nil
}

// lines returns the last lines. They are safe to print: they have no credentials in URLs and no
// control characters.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	log := strings.ToValidUTF8(string(bytes.TrimSpace(t.buf)), "?")
	if log == "" {
		return nil
	}
	log = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, text.Redact(log))
	all := strings.Split(log, "\n")
	return all[max(0, len(all)-tailLines):]
}
