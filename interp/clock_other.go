//go:build !linux

package interp

import "time"

// processTime stands for processor time, which isn't measured here.
func processTime() time.Duration { return wallTime() }
