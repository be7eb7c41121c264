package durable

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ErrLocked is what TryLock and TryLockDir return when somebody else has the lock.
var ErrLocked = errors.New("it is locked")

// Lock is a lock that this process holds. Nobody else can take it, not even another goroutine.
type Lock struct{ file *os.File }

// TryLock locks the file at path, which it makes if it is missing. It doesn't wait: the error
// matches [ErrLocked] if the lock is taken. The file stays when the lock is gone.
func TryLock(path string) (*Lock, error) {
	return lockPath(path, func() (*os.File, error) { return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644) })
}

// TryLockDir locks a directory that exists. It doesn't wait: the error matches [ErrLocked] if the
// lock is taken, and fs.ErrNotExist if the directory is missing.
func TryLockDir(path string) (*Lock, error) {
	return lockPath(path, func() (*os.File, error) {
		return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a sweep may meet a named pipe
	})
}

// WaitLock locks the file at path, which it makes if it is missing. It waits until the lock is
// free or ctx ends; then it returns ctx's error.
func WaitLock(ctx context.Context, path string) (*Lock, error) {
	// The kernel can wait too, but nothing could end that wait.
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		l, err := TryLock(path)
		if !errors.Is(err, ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// Unlock lets go of the lock.
func (l *Lock) Unlock() error {
	// A child process that is just being started has the open file too, until it executes its
	// program. So closing the file alone wouldn't unlock it at once.
	return errors.Join(flock(l.file, syscall.LOCK_UN), l.file.Close())
}

// lockPath locks what open opens at path.
func lockPath(path string, open func() (*os.File, error)) (*Lock, error) {
	for {
		f, err := open()
		if err != nil {
			return nil, err
		}
		if err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		info, err := os.Stat(path)
		if err == nil && leadsTo(info, f) {
			return &Lock{f}, nil
		}
		f.Close() // a lock on what isn't at path any more is worth nothing
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// leadsTo reports whether info describes the open file f.
func leadsTo(info fs.FileInfo, f *os.File) bool {
	mine, err := f.Stat()
	return err == nil && os.SameFile(info, mine)
}

// flock calls flock(2). Its error matches ErrLocked if another open file has the lock.
func flock(f *os.File, how int) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), how); err {
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return ErrLocked
		default:
			return err
		}
	}
}
