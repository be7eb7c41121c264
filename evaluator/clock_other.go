//go:build !linux

package evaluator

import "time"

// processorTime isn't known on this system.
func processorTime(int) (time.Duration, bool) { return 0, false }
