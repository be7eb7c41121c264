// Package artifact keeps artifacts in a directory of this machine: it is the exec.Store of local
// runs. Beyond that contract, [Store.Path] says where an artifact lies, so that a container can
// mount it, and [Store.OutputDir] makes a directory for what a container leaves.
package artifact

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/plan"
)

var _ exec.Store = (*Store)(nil)

// Store is the artifact store of this machine: a directory in which every file is named by the
// SHA-256 of its content and is never changed.
//
//	files/ab/abcd…     a file's content, mode 0444
//	files/ab/abcd….x   the same with mode 0555, where a Dir has it as an executable
//	dirs/ab/abcd…      a Dir's manifest
//	trees/ab/abcd…/    a Dir as a tree of hard links to files, made when it is first asked for
//	tmp/               a scratch directory for each process that has the store open
//
// Whatever is in files, dirs and trees is complete, since it gets there by a rename. So several
// processes may use one store, and any of them may be killed.
type Store struct {
	dir     string
	scratch *durable.Scratch
}

// Open opens the store in dir, and makes it if it is missing. It removes what killed processes
// left in it, as far as it can. The caller closes the store.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"files", "dirs", "trees"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("artifact store: %w", err)
		}
	}
	s, err := durable.OpenScratch(filepath.Join(dir, "tmp"))
	if err != nil {
		return nil, fmt.Errorf("artifact store: %w", err)
	}
	return &Store{dir: dir, scratch: s}, nil
}

// Unswept returns why some of what killed processes left couldn't be removed, or nil.
func (s *Store) Unswept() error { return s.scratch.Unswept() }

// Close removes this process's scratch directory. The store can't be used afterwards.
func (s *Store) Close() error { return s.scratch.Close() }

// place returns where an artifact of a kind lies. The digest becomes part of a path, so it is
// checked here, whatever was checked before.
func (s *Store) place(kind string, digest plan.Digest, suffix string) (string, error) {
	if !digest.Valid() {
		return "", fmt.Errorf("%q isn't a digest", digest)
	}
	hex := digest.Hex()
	return filepath.Join(s.dir, kind, hex[:2], hex+suffix), nil
}

// PutFile implements exec.Store.
func (s *Store) PutFile(ctx context.Context, name string, r io.Reader) (plan.File, error) {
	if !plan.ValidFileName(name) {
		return plan.File{}, fmt.Errorf("%q can't be a file's name", name)
	}
	var touched directories
	digest, size, err := s.putFile(ctx, r, false, &touched)
	if err == nil {
		err = touched.sync()
	}
	if err != nil {
		return plan.File{}, fmt.Errorf("keeping %s: %w", name, err)
	}
	return plan.File{Name: name, Digest: digest, Size: size}, nil
}

// putFile keeps what r reads as a file.
func (s *Store) putFile(ctx context.Context, r io.Reader, executable bool, touched *directories) (digest plan.Digest, size int64, err error) {
	tmp, err := s.scratch.Create()
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, tmp.Close()) }()
	h := sha256.New()
	sparse := durable.NewSparse(tmp.File)
	if size, err = io.Copy(io.MultiWriter(sparse, h), exec.Cancellable(ctx, r)); err == nil {
		err = sparse.Finish()
	}
	if err != nil {
		return "", 0, err
	}
	digest = plan.DigestSum(h)
	if executable {
		return digest, size, s.keep(tmp, "files", digest, ".x", 0o555, touched)
	}
	return digest, size, s.keep(tmp, "files", digest, "", 0o444, touched)
}

// keep puts a finished file in its place, unless the same one is there.
func (s *Store) keep(tmp *durable.File, kind string, digest plan.Digest, suffix string, mode fs.FileMode, touched *directories) error {
	target, err := s.place(kind, digest, suffix)
	if err != nil || exists(target) {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	touched.add(filepath.Dir(target))
	return tmp.Replace(target, mode)
}

// directories are those that have new names in them. They are synced once, however many files of
// a Dir they have got.
type directories map[string]bool

func (d *directories) add(dir string) {
	if *d == nil {
		*d = directories{}
	}
	(*d)[dir] = true
}

// sync makes the names survive a crash of the machine.
func (d directories) sync() error {
	for dir := range d {
		if err := durable.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Open implements exec.Store.
func (s *Store) Open(ctx context.Context, f plan.File) (io.ReadCloser, error) {
	r, err := s.open(f)
	if err != nil {
		return nil, err
	}
	info, err := r.Stat()
	if err == nil && info.Size() != f.Size {
		err = fmt.Errorf("file %s has %d bytes in the artifact store, not %d", f.Name, info.Size(), f.Size)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return exec.Verify(ctx, r, f), nil
}

// open opens a file, which the store may have as an executable only.
func (s *Store) open(f plan.File) (*os.File, error) {
	p, err := s.place("files", f.Digest, "")
	if err != nil {
		return nil, err
	}
	r, err := os.Open(p)
	if errors.Is(err, fs.ErrNotExist) {
		if r, xerr := os.Open(p + ".x"); xerr == nil {
			return r, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("file %s isn't in the artifact store: %w", f.Name, err)
	}
	return r, nil
}

// PutDir implements exec.Store.
func (s *Store) PutDir(ctx context.Context, name string, tree []exec.Entry) (plan.Dir, error) {
	if !plan.ValidFileName(name) {
		return plan.Dir{}, fmt.Errorf("%q can't be a directory's name", name)
	}
	tree, err := exec.Arrange(tree)
	if err != nil {
		return plan.Dir{}, fmt.Errorf("keeping %s: %w", name, err)
	}
	d, err := s.putDir(ctx, name, tree)
	if err != nil {
		return plan.Dir{}, fmt.Errorf("keeping %s: %w", name, err)
	}
	return d, nil
}

// putDir keeps the files of a tree, which is arranged, and then its manifest.
func (s *Store) putDir(ctx context.Context, name string, tree []exec.Entry) (d plan.Dir, err error) {
	tmp, err := s.scratch.Create()
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, tmp.Close()) }()
	lines := bufio.NewWriter(tmp)
	manifest := exec.NewManifestWriter(lines)
	var touched directories
	for _, e := range tree {
		m, err := s.putMember(ctx, e, &touched)
		if err == nil {
			err = manifest.Write(m)
		}
		if err != nil {
			return d, fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	err = errors.Join(lines.Flush(), ctx.Err(), touched.sync())
	if err != nil {
		return d, err
	}
	d, touched = manifest.Dir(name), nil
	if err := s.keep(tmp, "dirs", d.Digest, "", 0o444, &touched); err != nil {
		return d, err
	}
	return d, touched.sync()
}

// putMember keeps an entry of a tree.
func (s *Store) putMember(ctx context.Context, e exec.Entry, touched *directories) (exec.Member, error) {
	if e.Dir || e.Link != "" {
		return exec.Member{Path: e.Path, Dir: e.Dir, Link: e.Link}, nil
	}
	r, err := e.Open()
	if err != nil {
		return exec.Member{}, err
	}
	defer r.Close()
	digest, size, err := s.putFile(ctx, r, e.Executable, touched)
	return exec.Member{Path: e.Path, Executable: e.Executable, Digest: digest, Size: size}, err
}

// List implements exec.Store.
func (s *Store) List(ctx context.Context, d plan.Dir) iter.Seq2[exec.Member, error] {
	return func(yield func(exec.Member, error) bool) {
		p, err := s.place("dirs", d.Digest, "")
		if err != nil {
			yield(exec.Member{}, err)
			return
		}
		f, err := os.Open(p)
		if err != nil {
			yield(exec.Member{}, fmt.Errorf("directory %s isn't in the artifact store: %w", d.Name, err))
			return
		}
		defer f.Close()
		exec.ReadManifest(ctx, f, d)(yield)
	}
}

// OutputDir makes an empty directory that every user of a container may write to. Nobody else on
// this machine can enter the scratch directory that it is in. The caller calls remove in the end.
func (s *Store) OutputDir() (dir string, remove func() error, err error) {
	dir, err = s.scratch.Dir(0o777)
	return dir, func() error { return durable.RemoveTree(dir) }, err
}
