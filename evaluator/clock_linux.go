package evaluator

import (
	"time"

	"golang.org/x/sys/unix"
)

// processorTime returns how much time of processors a process has had; false if that isn't known.
func processorTime(pid int) (time.Duration, bool) {
	var t unix.Timespec
	clock := int32(^pid<<3 | 2) // CPUCLOCK_SCHED of the whole process: clock_getcpuclockid(3)
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}
