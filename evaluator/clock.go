package evaluator

import (
	"sync"
	"time"

	"github.com/flytestar/flytestar/interp"
)

// turnClock kills a process whose turn takes too long. As in the process itself, waiting for a
// processor doesn't count, up to interp.Patience.
type turnClock struct {
	process *process
	what    string
	share   int // how many times max-wall the process may compute: other bodies have turns too
	began   time.Time
	used    time.Duration // of processors, when the turn began

	mu      sync.Mutex
	told    bool // that the turn has begun
	stopped bool
	timer   *time.Timer
}

// startClock kills the process unless stop is called within max-wall. what names the turn.
func (p *process) startClock(what string) (stop func()) {
	c := p.newClock(what, 1)
	c.begin()
	return c.stop
}

// newClock returns the clock of a turn that begins once the process is told. Until then messages to
// others may be before it, and only interp.Patience counts.
func (p *process) newClock(what string, share int) *turnClock {
	c := &turnClock{process: p, what: what, share: share, began: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(p.limits.Wall+grace, c.look)
	return c
}

// begin says that the process has been told.
func (c *turnClock) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	c.told, c.began = true, time.Now()
	c.used, _ = c.process.processorTime()
	c.timer.Reset(c.process.limits.Wall + grace)
}

func (c *turnClock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.timer.Stop()
}

// look kills the process, or looks again later.
func (c *turnClock) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	wall := c.process.limits.Wall
	now, known := c.process.processorTime()
	left := time.Duration(c.share)*wall + grace - (now - c.used)
	if !c.told {
		left = wall
	}
	if (known || !c.told) && left > 0 && time.Since(c.began) < interp.Patience*wall+grace {
		c.timer.Reset(max(min(left, wall), 10*time.Millisecond))
		return
	}
	c.process.kill(c.process.limits.OverWall(c.what))
}

// processorTime returns how much time of processors the process has had; false if that isn't known.
func (p *process) processorTime() (time.Duration, bool) {
	if p.cmd == nil || p.cmd.Process == nil {
		return 0, false
	}
	return processorTime(p.cmd.Process.Pid)
}
