package workspace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/durable"
)

// Change is a file's new content.
type Change struct {
	File   string // its name on this machine
	Before []byte // what it must still be
	After  []byte
}

// Write writes all changes, or none if one can't be written. First it writes each into a temporary
// file beside its own, with the same mode and owner. Then each temporary file takes its file's
// place. It is an error if a file isn't regular, or has changed since the change was made from it.
// Only a machine that fails between two of the renamings leaves some files written and others not.
func Write(changes []Change) (err error) {
	var ready []*pending
	defer func() {
		for _, p := range ready {
			err = errors.Join(err, p.close())
		}
	}()
	for _, c := range changes {
		if bytes.Equal(c.Before, c.After) {
			continue
		}
		p, err := prepare(c)
		if err != nil {
			return err
		}
		ready = append(ready, p)
	}
	for _, p := range ready {
		if err := p.commit(); err != nil {
			return err
		}
	}
	return nil
}

// pending is a change whose new content is in a temporary file.
type pending struct {
	root *os.Root // the file's directory
	name string
	mode fs.FileMode
	file *durable.File // the new content
}

func prepare(c Change) (_ *pending, err error) {
	dir, name := filepath.Split(c.File)
	if dir == "" {
		dir = "."
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unwritable(c.File, err)
	}
	p := &pending{root: root, name: name}
	info, err := p.verify(c.Before)
	if err == nil {
		err = p.write(c.After, info)
	}
	if err != nil {
		return nil, unwritable(c.File, errors.Join(err, p.close()))
	}
	return p, nil
}

func unwritable(file string, err error) error {
	return diag.Errorf(diag.Position{}, diag.System, "can't write %s: %w", file, err)
}

// verify returns an error unless the file is a regular one with that content.
func (p *pending) verify(content []byte) (fs.FileInfo, error) {
	info, err := p.root.Lstat(p.name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it isn't a regular file")
	}
	f, err := p.root.OpenFile(p.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	got, err := io.ReadAll(io.LimitReader(f, int64(len(content))+1))
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(got, content) {
		return nil, errors.New("it has changed since it was read")
	}
	return info, nil
}

// write writes the temporary file.
func (p *pending) write(content []byte, like fs.FileInfo) (err error) {
	f, err := durable.CreateIn(p.root, ".")
	if err != nil {
		return err
	}
	p.file, p.mode = f, like.Mode().Perm()
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	if was, is := like.Sys().(*syscall.Stat_t), mine.Sys().(*syscall.Stat_t); was.Uid != is.Uid || was.Gid != is.Gid {
		if err := f.Chown(int(was.Uid), int(was.Gid)); err != nil {
			return fmt.Errorf("its owner: %w", err)
		}
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync()) // so that committing it later can hardly fail
}

// commit puts the temporary file in the file's place.
func (p *pending) commit() error {
	if err := p.file.Commit(p.name, p.mode); err != nil {
		return unwritable(filepath.Join(p.root.Name(), p.name), err)
	}
	return nil
}

// close removes the temporary file, unless it was committed.
func (p *pending) close() error {
	var err error
	if p.file != nil {
		err = p.file.Close()
	}
	return errors.Join(err, p.root.Close())
}
