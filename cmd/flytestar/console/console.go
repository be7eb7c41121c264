// Package console shows on standard error what happens in a build or a run.
//
//   - [Console] prints plain lines or, on a terminal, redraws a board in place (board.go).
//   - [Events] writes every event to a file, as a line of JSON each.
package console

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/text"
)

// Console writes to standard error during a build or run. It shows what happens: as plain lines, or
// on a terminal as a board below the lines, redrawn in place. It also shows the logs of tasks, with
// the task's name before each line.
type Console struct {
	w       io.Writer
	quiet   bool // neither progress nor logs; warnings stay
	verbose bool // also shows what is there already, and orchestrators
	size    func() (width, height int, err error)

	mu    sync.Mutex
	board *board          // nil if w is no terminal, or if quiet
	lines []string        // to write above the board at the next redraw
	drawn int             // rows of the board on the screen
	steps map[string]step // by image: the last message about it, if there is no board
	began map[string]time.Time
	logs  map[string]*shownLog // by action, or "" for what orchestrators and modules print
	err   error                // of writing
	stop  chan struct{}
	done  chan struct{}
}

// step is the last message about an image.
type step struct {
	name  string
	began time.Time
}

// redrawEvery is the time between redraws of the board. It is short enough to look live, and long
// enough that a thousand log lines a second cost nothing.
const redrawEvery = 100 * time.Millisecond

// New returns a console on w. The caller closes it.
func New(w io.Writer, quiet, verbose bool) *Console {
	c := &Console{w: w, quiet: quiet, verbose: verbose, steps: map[string]step{}, began: map[string]time.Time{}, logs: map[string]*shownLog{}}
	f, ok := w.(*os.File)
	if ok && !quiet && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		c.size = func() (int, int, error) { return term.GetSize(int(f.Fd())) }
		c.board = newBoard()
		c.stop, c.done = make(chan struct{}), make(chan struct{})
		go c.redraw()
	}
	return c
}

// Close removes the board and returns the first error of writing.
func (c *Console) Close() error {
	if c.board != nil {
		close(c.stop)
		<-c.done
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draw(nil)
	return c.err
}

func (c *Console) redraw() {
	defer close(c.done)
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case now := <-tick.C:
			c.mu.Lock()
			c.draw(c.rows(now))
			c.mu.Unlock()
		}
	}
}

// rows returns the rows of the board that fit the terminal now.
func (c *Console) rows(now time.Time) []string {
	w, h, err := c.size()
	if err != nil || w < 20 || h < 4 {
		return nil
	}
	rows := c.board.rows(now, min(h-2, 16))
	for i, r := range rows {
		rows[i] = text.Cut(text.OneLine(r), w-1)
	}
	return rows
}

// draw writes the waiting lines, and below them the rows of the board, over the rows that were
// there. It does so in one write, and clears nothing before writing it anew, so that the board
// doesn't flicker.
func (c *Console) draw(rows []string) {
	if len(c.lines) == 0 && len(rows) == 0 && c.drawn == 0 {
		return
	}
	out := ""
	if c.drawn > 0 {
		out = fmt.Sprintf("\x1b[%dA\r", c.drawn)
	}
	end := "\n"
	if c.board != nil {
		end = "\x1b[K\n"
	}
	for _, l := range append(c.lines, rows...) {
		out += l + end
	}
	if c.drawn > len(rows) {
		out += "\x1b[J"
	}
	c.lines, c.drawn = nil, len(rows)
	if _, err := io.WriteString(c.w, out); err != nil && c.err == nil {
		c.err = err
	}
}

// say writes a line above the board.
func (c *Console) say(format string, args ...any) {
	c.lines = append(c.lines, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`)) // or it would pass for two
	if c.board == nil {
		c.draw(nil)
	}
}

// Print writes what a module or an orchestrator printed.
func (c *Console) Print(pos diag.Position, task, text string) {
	if c.quiet {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if task == "" {
		task = pos.String()
	}
	c.log("", task, text)
}

// Locked shows how far the evaluator is locked down.
func (c *Console) Locked(l lockdown.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if line := LockdownLine(l, c.verbose && !c.quiet); line != "" {
		c.say("%s", line)
	}
}

// Watch shows an event. It is an exec.Watch.
func (c *Console) Watch(e exec.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Kind == exec.Warning {
		for i, line := range strings.Split(text.Safe(e.Msg), "\n") {
			c.say("%s%s", [...]string{"flytestar: warning: ", "    "}[min(i, 1)], line)
		}
		return
	}
	if c.quiet {
		return
	}
	if e.Kind == exec.Note {
		if c.verbose {
			c.say("flytestar: note: %s", text.Safe(e.Msg))
		}
		return
	}
	if c.board != nil {
		c.board.update(e)
	}
	switch e.Kind {
	case exec.ImageStep, exec.ImageHit, exec.ImageDone, exec.ImageFailed:
		c.image(e)
	case exec.ActionLog:
		c.log(e.Action, e.Label.Of(e.Task), e.Line)
	default:
		if e.Kind != exec.ActionQueued {
			delete(c.logs, e.Action)
		}
		c.action(e)
	}
}

func (c *Console) image(e exec.Event) {
	last, known := c.steps[e.Image]
	if !known {
		last.began = e.Time
	}
	took := e.Time.Sub(last.began)
	switch e.Kind {
	case exec.ImageStep:
		if c.board == nil && e.Step != last.name {
			c.say("image %s: %s", e.Image, text.Safe(e.Step))
		}
		c.steps[e.Image] = step{e.Step, last.began}
	case exec.ImageHit:
		if c.verbose {
			c.say("image %s: there already, %s", e.Image, e.Digest.Short())
		}
	case exec.ImageDone:
		c.say("image %s: built %s in %s", e.Image, e.Digest.Short(), seconds(took))
	case exec.ImageFailed:
		c.say("image %s: failed after %s", e.Image, seconds(took))
	}
}

func (c *Console) action(e exec.Event) {
	quietKinds := c.board != nil && !c.verbose // the board shows these
	switch e.Kind {
	case exec.ActionStarted:
		if _, again := c.began[e.Action]; !again {
			c.began[e.Action] = e.Time
		}
		if !quietKinds {
			c.say("task %s: started%s", e.Label.Of(e.Task), c.id(e))
		}
	case exec.ActionRetried:
		c.say("task %s: attempt %d failed, trying again%s: %s", e.Label.Of(e.Task), e.Number, c.id(e), message(e))
	case exec.ActionDone:
		if !quietKinds {
			c.say("task %s: done in %s%s", e.Label.Of(e.Task), seconds(e.Time.Sub(c.began[e.Action])), c.id(e))
		}
	case exec.ActionFailed:
		c.say("task %s: failed%s: %s", e.Label.Of(e.Task), c.id(e), message(e))
	}
}

// id returns the name of the action, if verbose asks for it.
func (c *Console) id(e exec.Event) string {
	if !c.verbose || e.Action == "" {
		return ""
	}
	return " (" + e.Action + ")"
}

// message returns the first line of the reason why an action failed.
func message(e exec.Event) string {
	msg := e.Msg
	if e.Error != nil {
		msg = e.Error.Message
	}
	for i, r := range msg {
		if r == '\n' {
			msg = msg[:i]
			break
		}
	}
	return text.Safe(msg)
}

// seconds formats a duration for progress.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", max(d, 0).Seconds()) }

// LockdownLine returns the line to print about an evaluator's lockdown, or "".
func LockdownLine(l lockdown.State, verbose bool) string {
	switch {
	case l.Level != lockdown.Full:
		return text.Safe(fmt.Sprintf("flytestar: warning: the evaluator's sandbox is %s: %s", l.Level, strings.Join(l.Missing(), "; ")))
	case verbose:
		return text.Safe(fmt.Sprintf("evaluator's sandbox: %s", l))
	}
	return ""
}
