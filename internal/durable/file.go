package durable

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// temporary begins the names of unfinished files.
const temporary = ".new-"

// File is an unfinished file. Write it, then call Commit or Replace, and call Close in any case.
type File struct {
	*os.File
	dir  directory
	name string // its temporary name in dir; empty once it has its own
}

// Create begins a file under a temporary name in dir. Its target must be on the same file system.
func Create(dir string) (*File, error) { return create(host{}, dir) }

// CreateIn is Create within root. All names are then relative to root and can't leave it.
func CreateIn(root *os.Root, dir string) (*File, error) { return create(root, dir) }

func create(in directory, dir string) (*File, error) {
	for {
		name := filepath.Join(dir, temporary+rand.Text())
		f, err := in.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		ours, err := claim(in, name, f)
		if ours {
			return &File{File: f, dir: in, name: name}, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// claim locks a file that has just been made. It returns false if a sweep was faster.
func claim(in directory, name string, f *os.File) (bool, error) {
	if err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, ErrLocked) {
		return false, nil
	} // Any other error means that the file system has no locks. Then no sweep takes the file either.
	info, err := in.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && leadsTo(info, f), err
}

// Commit gives the file its mode and its name, in place of what has that name. It makes missing
// directories above it. When it returns, the file survives a crash of the machine. If it fails, it
// may be called again with another name.
func (f *File) Commit(path string, mode fs.FileMode) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Replace(path, mode); err != nil {
		return err
	}
	return syncDir(f.dir, filepath.Dir(path))
}

// Replace is Commit without the wait for the disk. After a crash of the machine the file may be
// missing or empty. That is enough for what can be checked and made again.
func (f *File) Replace(path string, mode fs.FileMode) error {
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := makeDirs(f.dir, filepath.Dir(path)); err != nil {
		return err
	}
	if err := f.dir.Rename(f.name, path); err != nil {
		return err
	}
	f.name = ""
	return nil
}

// Close closes the file, and removes it if it has no name of its own yet.
func (f *File) Close() error {
	var err error
	if f.name != "" {
		err = f.dir.Remove(f.name)
		f.name = ""
	}
	return errors.Join(err, f.File.Close())
}

// WriteFile writes a file of that content and mode, in place of what is at path. It makes missing
// directories above it. Until it is complete it lies beside path, under another name; see
// [SweepFiles].
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	if err := makeDirs(host{}, filepath.Dir(path)); err != nil {
		return err
	}
	f, err := Create(filepath.Dir(path))
	if err != nil {
		return err
	}
	return f.commit(path, data, mode)
}

// commit writes data, commits the file and closes it.
func (f *File) commit(path string, data []byte, mode fs.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Commit(path, mode)
	}
	return errors.Join(err, f.Close())
}

// Rename moves a finished file or directory to path and makes missing directories above it. When
// it returns, the new name survives a crash of the machine. What is in the file or directory must
// have been synced before.
func Rename(old, path string) error {
	dir := filepath.Dir(path)
	if err := makeDirs(host{}, dir); err != nil {
		return err
	}
	if err := os.Rename(old, path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a directory survive a crash of the machine.
func SyncDir(dir string) error { return syncDir(host{}, dir) }

func syncDir(in directory, dir string) error {
	f, err := in.OpenFile(dir, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // this file system syncs no directories
	}
	return errors.Join(err, f.Close())
}

// makeDirs makes a directory and those above it, and syncs the parents of those that it made.
func makeDirs(in directory, dir string) error {
	info, err := in.Stat(dir)
	if err == nil && !info.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDirs(in, filepath.Dir(dir)); err != nil {
		return err
	}
	if err := in.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(in, filepath.Dir(dir))
}

// directory is what a File lies in: an [os.Root], or this machine's file system as a whole.
type directory interface {
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
	Mkdir(name string, perm fs.FileMode) error
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	Rename(old, new string) error
	Remove(name string) error
}

var (
	_ directory = (*os.Root)(nil)
	_ directory = host{}
)

// host is this machine's file system.
type host struct{}

func (host) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}
func (host) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }
func (host) Stat(name string) (fs.FileInfo, error)     { return os.Stat(name) }
func (host) Lstat(name string) (fs.FileInfo, error)    { return os.Lstat(name) }
func (host) Rename(old, new string) error              { return os.Rename(old, new) }
func (host) Remove(name string) error                  { return os.Remove(name) }
