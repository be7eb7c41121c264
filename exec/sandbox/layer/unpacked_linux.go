package layer

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/durable"
)

// Unpacked is a directory of unpacked layers. Each is in a directory named by its diff id, which
// is complete, since it gets there by a rename. Nothing in it changes.
//
// Files have the ids and modes of the layer, so they may be root's and setuid. Therefore nobody
// else can enter the directory, and containers see it through a mount that maps ids.
type Unpacked struct{ dir string }

// Open opens the unpacked layers in dir, which it makes if it is missing.
func Open(dir string) (*Unpacked, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Unpacked{dir}, nil
}

// Path returns the directory.
func (u *Unpacked) Path() string { return u.dir }

// diffID is the form of layer digests.
var diffID = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Layer returns the name of l's directory in Path. It unpacks l first if that isn't done yet. Of
// several callers that want it at the same time, in whatever process, one does so and the others
// wait. temp makes a directory on the same file system, and comes with the function that removes it.
func (u *Unpacked) Layer(ctx context.Context, l exec.Layer, temp func() (string, func() error, error)) (name string, err error) {
	id := l.DiffID()
	if !diffID.MatchString(id) {
		return "", fmt.Errorf("layer with the digest %q", id)
	}
	name = strings.TrimPrefix(id, "sha256:")
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
	if err := u.unpack(ctx, l, filepath.Join(dir, "layer"), name); err != nil {
		return "", fmt.Errorf("unpacking layer %s: %w", id, err)
	}
	return name, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// unpack unpacks l into dir, checks its digest, and puts it in place.
func (u *Unpacked) unpack(ctx context.Context, l exec.Layer, dir, name string) error {
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	hash := sha256.New()
	in := io.TeeReader(&contextReader{ctx, r}, hash)
	if err := unpackTar(bufio.NewReaderSize(in, 1<<18), dir); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // what follows the tar's end is in the digest
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != name {
		return fmt.Errorf("its content has the digest sha256:%s", got)
	}
	// A machine that crashes mustn't find a complete directory of empty files.
	if err := syncTree(dir); err != nil {
		return err
	}
	return durable.Rename(dir, filepath.Join(u.dir, name))
}

// syncTree syncs the file system that dir is on: one call, where a tree may have 100,000 files.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// contextReader reads until ctx is cancelled.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// unpackTar unpacks a layer's tar into dir as an overlay has it: whiteouts are
// devices 0/0 and opaque directories have an attribute. Device nodes are left
// out: a container's are in its /dev. Nothing is written outside of dir,
// whatever the tar says; an entry that would be is an error.
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
