package layer

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/plan"
)

// Unpacked is a directory of unpacked layers. Each layer has a directory of its own, named by its
// diff id. It is complete, since it gets there by a rename, and nothing in it changes.
//
// Files have the owners and modes of the layer, so some are root's and setuid. Therefore only this
// user can enter the directory. Containers see it through a mount that maps ids.
type Unpacked struct{ dir string }

// Open opens the directory of unpacked layers at dir, and makes it if it is missing.
func Open(dir string) (*Unpacked, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Unpacked{dir}, nil
}

// Path returns the directory.
func (u *Unpacked) Path() string { return u.dir }

// Layer returns the name of l's directory in Path, and unpacks l if that isn't done yet. If several
// callers in any processes want the same layer, one unpacks it and the others wait. temp makes a
// directory on the same file system, and also returns the function that removes it.
func (u *Unpacked) Layer(ctx context.Context, l exec.Layer, temp func() (string, func() error, error)) (name string, err error) {
	id := l.DiffID()
	if !id.Valid() {
		return "", fmt.Errorf("layer with the digest %q", id)
	}
	name = id.Hex()
	if exists(filepath.Join(u.dir, name)) {
		return name, nil
	}
	lock, err := durable.WaitLock(ctx, filepath.Join(u.dir, name+".lock"))
	if err != nil {
		return "", fmt.Errorf("waiting for layer %s: %w", id, err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if exists(filepath.Join(u.dir, name)) {
		return name, nil
	}
	dir, remove, err := temp()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := u.unpack(ctx, l, filepath.Join(dir, "layer"), id); err != nil {
		return "", fmt.Errorf("unpacking layer %s: %w", id, err)
	}
	return name, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// unpack unpacks l into dir, checks that its digest is id, and puts it in place.
func (u *Unpacked) unpack(ctx context.Context, l exec.Layer, dir string, id plan.Digest) error {
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	hash := sha256.New()
	in := io.TeeReader(exec.Cancellable(ctx, r), hash)
	if err := unpackTar(bufio.NewReaderSize(in, 1<<18), dir); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // the digest covers what follows the end of the tar
		return err
	}
	if got := plan.DigestSum(hash); got != id {
		return fmt.Errorf("its content has the digest %s", got)
	}
	// After a crash of the machine, a directory that looks complete mustn't hold empty files.
	if err := syncTree(dir); err != nil {
		return err
	}
	return durable.Rename(dir, filepath.Join(u.dir, id.Hex()))
}

// syncTree syncs the whole file system of dir. That is one call; a layer may have 100,000 files.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// unpackTar unpacks the tar of a layer into dir, in the form that an overlay takes: a whiteout
// becomes a device 0/0, and an opaque directory gets an attribute. Device nodes are left out, since
// a container has its own /dev. Whatever the tar says, nothing is written outside of dir; an entry
// that tries to is an error.
func unpackTar(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	u := &unpacker{root: root, dirs: map[string]*tar.Header{}}
	defer u.leave()
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, t); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
	}
	u.leave()
	return u.finishDirs()
}
