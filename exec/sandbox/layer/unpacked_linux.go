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
// diff id. A layer whose form depends on the layers below it is named by its chain id instead, which
// covers those too. A directory is complete, since it gets there by a rename, and nothing in it
// changes.
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

// Layers returns the names of an image's layers in Path, and unpacks those that aren't there yet,
// bottom first. If several callers in any processes want the same layer, one unpacks it and the
// others wait. temp makes a directory on the same file system, and also returns the function that
// removes it.
func (u *Unpacked) Layers(ctx context.Context, layers []exec.Layer, temp func() (string, func() error, error)) ([]string, error) {
	names := make([]string, len(layers))
	var lower stack
	chain := ""
	for i, l := range layers {
		if !l.DiffID().Valid() {
			return nil, fmt.Errorf("layer with the digest %q", l.DiffID())
		}
		chain = chainID(chain, l.DiffID())
		name, err := u.layer(ctx, onto{l, lower, chain}, temp)
		if err != nil {
			return nil, err
		}
		names[i] = name
		lower = append(stack{filepath.Join(u.dir, name)}, lower...)
	}
	return names, nil
}

// onto is a layer and what it lies on.
type onto struct {
	exec.Layer
	lower stack
	chain string // its name if it depends on lower
}

// chainID returns the name of a layer that depends on a chain of others. The bottom one has one too:
// what is missing below it may be there below another image's.
func chainID(chain string, id plan.Digest) string {
	return "chain-" + plan.DigestOf([]byte(chain+" "+string(id))).Hex()
}

// layer is Layers for one layer.
func (u *Unpacked) layer(ctx context.Context, l onto, temp func() (string, func() error, error)) (name string, err error) {
	if name := u.present(l); name != "" {
		return name, nil
	}
	lock, err := durable.WaitLock(ctx, filepath.Join(u.dir, l.DiffID().Hex()+".lock"))
	if err != nil {
		return "", fmt.Errorf("waiting for layer %s: %w", l.DiffID(), err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if name := u.present(l); name != "" {
		return name, nil
	}
	dir, remove, err := temp()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if name, err = u.unpack(ctx, l, filepath.Join(dir, "layer")); err != nil && ctx.Err() == nil {
		if c, ok := l.Layer.(exec.Checker); ok { // what it says is no use if the layer is damaged
			err = errors.Join(c.Check(), err)
		}
	}
	if err != nil {
		return "", fmt.Errorf("unpacking layer %s: %w", l.DiffID(), err)
	}
	return name, nil
}

// present returns the name of a layer that is there, or "".
func (u *Unpacked) present(l onto) string {
	for _, name := range []string{l.DiffID().Hex(), l.chain} {
		if exists(filepath.Join(u.dir, name)) {
			return name
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// unpack unpacks l into dir, checks its digest, puts it in place, and returns its name.
func (u *Unpacked) unpack(ctx context.Context, l onto, dir string) (string, error) {
	r, err := l.Uncompressed()
	if err != nil {
		return "", err
	}
	defer r.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	hash := sha256.New()
	in := io.TeeReader(exec.Cancellable(ctx, r), hash)
	leans, err := unpackTar(ctx, bufio.NewReaderSize(in, 1<<18), dir, l.lower)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // the digest covers what follows the end of the tar
		return "", err
	}
	if got := plan.DigestSum(hash); got != l.DiffID() {
		return "", fmt.Errorf("its content has the digest %s", got)
	}
	// After a crash of the machine, a directory that looks complete mustn't hold empty files.
	if err := syncTree(dir); err != nil {
		return "", err
	}
	name := l.DiffID().Hex()
	if leans {
		name = l.chain
	}
	return name, durable.Rename(dir, filepath.Join(u.dir, name))
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
// that tries to is an error. leans means that the result depends on the layers below.
func unpackTar(ctx context.Context, r io.Reader, dir string, lower stack) (leans bool, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	u := &unpacker{
		ctx: ctx, root: root, lower: lower, dirs: map[string]*tar.Header{},
		gone: map[string]bool{}, opaque: map[string]bool{}, nodes: map[string]bool{},
	}
	defer u.leave()
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
		if err := u.entry(h, t); err != nil {
			return false, fmt.Errorf("entry %q: %w", h.Name, err)
		}
	}
	u.leave()
	if err := u.finishWhiteouts(); err != nil {
		return false, err
	}
	return u.leans, u.finishDirs()
}
