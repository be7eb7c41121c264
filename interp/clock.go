package interp

import "time"

// Patience is how much longer than max-wall a turn may take by the clock while it waits for a
// processor, as a factor.
const Patience = 20

// clock measures a turn. Time during which the process waited for a processor doesn't count, since a
// machine that is busy with something else isn't the source's fault.
type clock struct {
	wall    time.Time
	process time.Duration // of processors, when the turn began
}

func startClock() clock { return clock{time.Now(), processTime()} }

// over reports whether the turn has had more than limit.
func (c clock) over(limit time.Duration) bool {
	wall := time.Since(c.wall)
	return wall > limit && (wall > Patience*limit || processTime()-c.process > limit)
}

var loaded = time.Now()

func wallTime() time.Duration { return time.Since(loaded) }
