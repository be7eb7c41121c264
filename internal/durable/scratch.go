package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Scratch is a directory for what a process needs for a while. Only its owner can enter it. It is
// locked for as long as the process lives, so that a [Sweep] spares it. Its methods may be called
// concurrently.
type Scratch struct {
	path    string
	lock    *Lock
	unswept error
}

// OpenScratch makes a scratch directory in parent, after a [Sweep] of parent. It makes parent if
// it is missing. What the sweep can't remove is no error, but [Scratch.Unswept] has it. The caller
// closes the directory.
func OpenScratch(parent string) (*Scratch, error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	_, unswept := Sweep(parent)
	for range 100 { // a sweep may take the directory before it is locked
		path, err := os.MkdirTemp(parent, "")
		if err != nil {
			return nil, err
		}
		lock, err := TryLockDir(path)
		if err == nil {
			return &Scratch{path, lock, unswept}, nil
		}
		if !errors.Is(err, ErrLocked) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: something removes every new directory at once", parent)
}

// Path returns where the directory is.
func (s *Scratch) Path() string { return s.path }

// Unswept returns why some of what dead processes left is still there, or nil. It is in nobody's
// way.
func (s *Scratch) Unswept() error { return s.unswept }

// Dir makes a directory of that mode in it.
func (s *Scratch) Dir(mode fs.FileMode) (string, error) {
	path, err := os.MkdirTemp(s.path, "")
	if err != nil {
		return "", err
	}
	return path, os.Chmod(path, mode)
}

// Create begins a file in it. Commit then moves the file to its place.
func (s *Scratch) Create() (*File, error) { return Create(s.path) }

// WriteFile is [WriteFile], but an unfinished file lies in the scratch directory.
func (s *Scratch) WriteFile(path string, data []byte, mode fs.FileMode) error {
	f, err := s.Create()
	if err != nil {
		return err
	}
	return f.commit(path, data, mode)
}

// Close removes the directory and everything in it.
func (s *Scratch) Close() error {
	return errors.Join(RemoveTree(s.path), s.lock.Unlock())
}

// Sweep removes the scratch directories in parent whose processes have died, and returns their
// paths. Nothing but scratch directories may lie in parent, which may be missing. If one can't be
// removed, the others are removed all the same.
func Sweep(parent string) (removed []string, err error) {
	return sweep(parent, func(string) bool { return true })
}

// SweepFiles removes the unfinished files in dir, not below it, whose writers have died.
func SweepFiles(dir string) (removed []string, err error) {
	return sweep(dir, func(name string) bool { return strings.HasPrefix(name, temporary) })
}

func sweep(parent string, ours func(name string) bool) (removed []string, err error) {
	entries, err := os.ReadDir(parent)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var failed []error
	for _, e := range entries {
		if !ours(e.Name()) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		lock, err := TryLockDir(path) // files can be locked so as well
		if errors.Is(err, ErrLocked) || errors.Is(err, fs.ErrNotExist) {
			continue // its process lives, or another sweep was faster
		}
		if err == nil {
			err = errors.Join(RemoveTree(path), lock.Unlock())
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		removed = append(removed, path)
	}
	return removed, errors.Join(failed...)
}
