package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// thrifty is how far the heap may grow without a thought, in bytes.
const thrifty = 192 << 20

// collectSeldom lets the heap grow to five times what is in use: most commands end before a
// collection would pay off. But it grows no further than thrifty, or twice what is in use where that
// is more. GOGC and GOMEMLIMIT, where they are set, count instead.
func collectSeldom() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(thrifty)
	afterCollection()
}

// afterCollection sets the limit anew after each collection. With a fixed limit, a program that
// needs more would do nothing but collect.
func afterCollection() {
	sentinel := new(*int)
	runtime.AddCleanup(sentinel, func(int) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		debug.SetMemoryLimit(max(thrifty, 2*int64(live[0].Value.Uint64())+thrifty/4))
		afterCollection()
	}, 0)
}
