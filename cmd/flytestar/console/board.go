package console

import (
	"fmt"
	"time"

	"github.com/flytestar/flytestar/exec"
)

// board is the live part of the console. It has a row for each image being built and for each task
// with running or waiting actions, in the order in which they began.
type board struct {
	images []*imageRow
	tasks  []*taskRow
	states map[string]exec.EventKind // of actions, by id
}

// imageRow is an image that is being built.
type imageRow struct {
	name, step   string
	bytes, total int64 // of the step
	began        time.Time
	over         bool
}

// taskRow counts the actions of a task by state.
type taskRow struct {
	name                          string
	queued, running, done, failed int
	began                         time.Time // the first of those that haven't ended
}

func newBoard() *board { return &board{states: map[string]exec.EventKind{}} }

// update records an event.
func (b *board) update(e exec.Event) {
	switch e.Kind {
	case exec.ImageStep:
		row := b.image(e)
		row.over = false
		row.step, row.bytes, row.total = e.Step, e.Bytes, e.Total
	case exec.ImageDone, exec.ImageHit, exec.ImageFailed:
		b.image(e).over = true
	case exec.ActionQueued, exec.ActionStarted, exec.ActionRetried, exec.ActionDone, exec.ActionFailed:
		b.action(e)
	}
}

func (b *board) image(e exec.Event) *imageRow {
	for _, r := range b.images {
		if r.name == e.Image {
			return r
		}
	}
	r := &imageRow{name: e.Image, began: e.Time}
	b.images = append(b.images, r)
	return r
}

// action moves an action from its old state to its new one.
func (b *board) action(e exec.Event) {
	row := b.task(e)
	if before, known := b.states[e.Action]; known {
		*row.count(before)--
	} else if row.queued+row.running == 0 {
		row.began = e.Time
	}
	b.states[e.Action] = e.Kind
	*row.count(e.Kind)++
}

func (b *board) task(e exec.Event) *taskRow {
	for _, r := range b.tasks {
		if r.name == e.Task {
			return r
		}
	}
	r := &taskRow{name: e.Task}
	b.tasks = append(b.tasks, r)
	return r
}

func (r *taskRow) count(k exec.EventKind) *int {
	switch k {
	case exec.ActionStarted:
		return &r.running
	case exec.ActionDone:
		return &r.done
	case exec.ActionFailed:
		return &r.failed
	}
	return &r.queued // also between two attempts
}

// rows returns the board as at most max rows of text.
func (b *board) rows(now time.Time, max int) []string {
	var rows []string
	for _, r := range b.images {
		if !r.over {
			rows = append(rows, r.text(now))
		}
	}
	for _, r := range b.tasks {
		if r.queued+r.running > 0 {
			rows = append(rows, r.text(now))
		}
	}
	if len(rows) > max {
		more := len(rows) - max + 1
		rows = append(rows[:max-1], fmt.Sprintf("… and %d more", more))
	}
	return rows
}

func (r *imageRow) text(now time.Time) string {
	s := fmt.Sprintf("image %-20s %6s  %s", r.name, seconds(now.Sub(r.began)), r.step)
	if r.bytes > 0 || r.total > 0 {
		s += "  " + amount(r.bytes, r.total)
	}
	return s
}

func (r *taskRow) text(now time.Time) string {
	s := fmt.Sprintf("task  %-20s %6s  %d running", r.name, seconds(now.Sub(r.began)), r.running)
	for _, c := range []struct {
		n    int
		what string
	}{{r.queued, "queued"}, {r.done, "done"}, {r.failed, "failed"}} {
		if c.n > 0 {
			s += fmt.Sprintf(", %d %s", c.n, c.what)
		}
	}
	return s
}

// amount returns "3.1 of 12.0 MB", or "3.1 MB" if the total isn't known.
func amount(bytes, total int64) string {
	const mb = 1e6
	if total > 0 {
		return fmt.Sprintf("%.1f of %.1f MB", float64(bytes)/mb, float64(total)/mb)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/mb)
}
