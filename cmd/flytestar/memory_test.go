package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestLimitFollows: the limit of memory is above what is in use, however much that is.
func TestLimitFollows(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	collectSeldom()
	used := make([]byte, 2*thrifty)
	for end := time.Now().Add(time.Minute); debug.SetMemoryLimit(-1) < 4*thrifty; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the limit is %d bytes where %d are in use", debug.SetMemoryLimit(-1), len(used))
		}
		runtime.GC()
	}
	runtime.KeepAlive(used)
}
