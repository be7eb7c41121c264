package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveTree removes path and everything below it, also from directories that can't be written.
// It is no error if path is missing.
//
// Whoever made the tree may have nested directories so deep that no system call takes their paths,
// and no process may have so many files open. So a directory in a directory is moved up until it is
// an entry of path: two descriptors and short paths are enough, and the time is linear.
func RemoveTree(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return os.Remove(path)
	}
	r := remover{top: path}
	if err := r.empty(path, r.directory); err != nil {
		return err
	}
	return os.Remove(path)
}

// remover removes the tree at top.
type remover struct {
	top   string
	moved int // directories that were moved up, for their names
}

// batch is how many entries of a directory are read at a time.
const batch = 1000

// empty removes what is in a directory: files itself, directories by remove.
func (r *remover) empty(dir string, remove func(path string) error) error {
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	for {
		entries, err := readSome(dir)
		if len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			p := filepath.Join(dir, e.Name())
			err := os.Remove(p)
			if err != nil && e.IsDir() {
				err = remove(p)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
}

// readSome returns some entries of a directory, and none if it is empty. Reading begins anew each
// time, since entries come and go.
func readSome(dir string) ([]fs.DirEntry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(batch)
	if err == io.EOF {
		err = nil
	}
	return entries, err
}

// directory removes an entry of top that is a directory, after what is in it has gone or moved.
func (r *remover) directory(path string) error {
	if err := r.empty(path, r.moveUp); err != nil {
		return err
	}
	return os.Remove(path)
}

// moveUp makes a directory an entry of top, under a name that nothing has there.
func (r *remover) moveUp(path string) error {
	if err := os.Chmod(path, 0o700); err != nil { // moving a directory writes to it
		return err
	}
	for {
		r.moved++
		target := filepath.Join(r.top, fmt.Sprintf(".moved-%d", r.moved))
		if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(path, target)
		} else if err != nil {
			return err
		}
	}
}
