package interp

import (
	"syscall"
	"time"
	"unsafe"
)

// processTime returns how much time of processors this process has had. The system call is one that
// the evaluator may make.
func processTime() time.Duration {
	const clockProcess = 2 // CLOCK_PROCESS_CPUTIME_ID
	var t syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockProcess, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return wallTime()
	}
	return time.Duration(t.Nano())
}
