package evaluator

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// makeRoom makes room in the heap, in huge pages if the system has them. Otherwise loading a large
// file spends a third of its time on touching pages of 4 KiB.
func makeRoom(bytes int64) {
	room := make([]byte, bytes)
	_ = unix.Madvise(room, unix.MADV_HUGEPAGE) // if this fails, pages stay small
	runtime.KeepAlive(room)
	runtime.GC() // gives the untouched room back to the heap
}
