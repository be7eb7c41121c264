// Package scratch has locks that end with the process that holds them, scratch directories that are
// removed once their process is gone, and files that appear whole.
package scratch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Dir is a scratch directory of this process. Its lock, PATH.lock beside it, says that it is in
// use.
type Dir struct {
	Path string
	held *os.File
}

// Open makes a scratch directory below parent, which must exist. It removes the scratch directories
// of processes that are gone. While it does so it holds the lock file guard, so that nobody
// takes a lock file that was just made for one that is left over.
func Open(parent, guard string) (_ *Dir, err error) {
	unlock, err := Lock(context.Background(), guard)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := sweep(parent); err != nil {
		return nil, err
	}
	name := make([]byte, 8)
	rand.Read(name)
	path := filepath.Join(parent, hex.EncodeToString(name))
	held, err := tryLock(path + ".lock")
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return &Dir{path, held}, nil
}

// Close removes the directory and its lock.
func (d *Dir) Close() error {
	return errors.Join(os.RemoveAll(d.Path), os.Remove(d.Path+".lock"), d.held.Close())
}

// sweep removes the scratch directories of processes that are gone.
func sweep(parent string) error {
	locks, err := filepath.Glob(filepath.Join(parent, "*.lock"))
	if err != nil {
		return err
	}
	for _, l := range locks {
		f, err := tryLock(l)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue // its process lives
		}
		if err != nil {
			return err
		}
		err = errors.Join(os.RemoveAll(strings.TrimSuffix(l, ".lock")), os.Remove(l), f.Close())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// tryLock opens path and locks it, or fails with EWOULDBLOCK. Closing the file unlocks it.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Lock waits until it holds the lock file at path, which excludes goroutines and processes. The
// caller calls unlock. The file stays.
func Lock(ctx context.Context, path string) (unlock func() error, err error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		f, err := tryLock(path)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// WriteFile puts data at path by rename, from a file in the scratch directory dir. It makes the
// directories above path.
func WriteFile(dir, path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "file")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	return Install(f, path)
}

// Install syncs and closes f and renames it to path.
func Install(f *os.File, path string) error {
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
