package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var errTooManyLinks error = unix.EMLINK

// scratch is a directory for what a process needs for a while. It is private
// to its owner (mode 0700), and locked for as long as the process lives, so
// that another process can tell one that was left behind.
type scratch struct {
	path string
	lock *os.File
}

// openScratch makes a scratch directory in parent and removes those whose
// processes have died.
func openScratch(parent string) (*scratch, error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	if err := sweepScratch(parent); err != nil {
		return nil, err
	}
	for range 100 { // a sweeper may take a directory between its making and its locking
		path, err := os.MkdirTemp(parent, "")
		if err != nil {
			return nil, err
		}
		lock, err := lockDir(path)
		if err == nil && exists(path) {
			return &scratch{path: path, lock: lock}, nil
		}
		if lock != nil {
			lock.Close()
		}
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: no directory can be made that isn't taken away at once", parent)
}

// lockDir takes the lock of a directory. It doesn't wait: a lock that is taken is unix.EWOULDBLOCK.
func lockDir(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return f, nil
}

func sweepScratch(parent string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		lock, err := lockDir(path)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // its process lives, or another has swept it
		}
		if err != nil {
			return err
		}
		err = removeTree(path)
		lock.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// Close removes the directory and what is in it.
func (s *scratch) Close() error {
	err := removeTree(s.path)
	return errors.Join(err, s.lock.Close())
}

func (s *scratch) file() (*os.File, error) { return os.CreateTemp(s.path, "") }

// dir makes a directory of mode 0755.
func (s *scratch) dir() (string, error) {
	path, err := os.MkdirTemp(s.path, "")
	if err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o755)
}

// removeTree is os.RemoveAll for trees that have directories which can't be written.
func removeTree(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(p, 0o700)
	})
	return errors.Join(err, os.RemoveAll(path))
}

// shared makes a directory that every user of a container may write to: nobody
// else on this machine can enter the scratch directory.
func (s *scratch) shared() (string, error) {
	path, err := os.MkdirTemp(s.path, "")
	if err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o777)
}
