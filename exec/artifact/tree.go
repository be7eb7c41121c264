package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/plan"
)

// Path returns where a plan.File or plan.Dir lies on this machine. What is there may only be read.
// If the store doesn't have it, the error matches fs.ErrNotExist.
func (s *Store) Path(ctx context.Context, v plan.Value) (string, error) {
	switch v := v.(type) {
	case plan.File:
		return s.filePath(ctx, v)
	case plan.Dir:
		return s.dirPath(ctx, v)
	}
	return "", fmt.Errorf("a %s has no path", plan.TypeName(v))
}

// filePath returns the path of a file that isn't executable, whatever it was in a Dir.
func (s *Store) filePath(ctx context.Context, f plan.File) (string, error) {
	p, err := s.place("files", f.Digest, "")
	if err != nil || exists(p) {
		return p, err
	}
	program, err := s.open(f)
	if err != nil {
		return "", err
	}
	defer program.Close()
	_, err = s.PutFile(ctx, f.Name, program)
	return p, err
}

// dirPath returns the path of a Dir's tree, which it lays out if it isn't there yet.
func (s *Store) dirPath(ctx context.Context, d plan.Dir) (string, error) {
	target, err := s.place("trees", d.Digest, "")
	if err != nil || exists(target) {
		return target, err
	}
	tmp, err := s.scratch.Dir(0o755)
	if err != nil {
		return "", err
	}
	defer durable.RemoveTree(tmp) // it has moved already if all went well
	if err := s.layOut(ctx, tmp, d); err != nil {
		return "", fmt.Errorf("laying out directory %s: %w", d.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", err
	}
	// Without a sync: its files are on disk already, and a tree that a crash of the machine has
	// undone is laid out again.
	if err := os.Rename(tmp, target); err != nil && !exists(target) { // another process may have been faster
		return "", err
	}
	return target, os.Chmod(target, 0o555) // only now: a directory that can't be written can't be moved
}

// InputDir makes a directory in which artifacts and small files lie at these relative paths, for a
// read-only mount. An artifact that is nil is an empty directory. The caller calls remove, whatever
// err is.
func (s *Store) InputDir(ctx context.Context, artifacts map[string]plan.Value, files map[string][]byte) (dir string, remove func() error, err error) {
	if dir, err = s.scratch.Dir(0o755); err != nil {
		return "", func() error { return nil }, err
	}
	remove = func() error { return durable.RemoveTree(dir) }
	for rel, v := range artifacts {
		if err := s.layInput(ctx, v, dir, rel); err != nil {
			return dir, remove, fmt.Errorf("laying out %s: %w", rel, err)
		}
	}
	for rel, data := range files {
		if err := layText(dir, rel, data); err != nil {
			return dir, remove, fmt.Errorf("writing %s: %w", rel, err)
		}
	}
	return dir, remove, nil
}

// layInput puts an artifact at rel, below dir.
func (s *Store) layInput(ctx context.Context, v plan.Value, dir, rel string) error {
	if err := mkdirs(dir, filepath.Dir(rel)); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		return mkdirs(dir, rel)
	case plan.Dir:
		if err := mkdirs(dir, rel); err != nil {
			return err
		}
		return s.layOut(ctx, filepath.Join(dir, rel), v)
	}
	kept, err := s.Path(ctx, v)
	if err != nil {
		return err
	}
	return errors.Join(ctx.Err(), link(kept, filepath.Join(dir, rel)))
}

// layText writes a small file at rel, below dir.
func layText(dir, rel string, data []byte) error {
	if err := mkdirs(dir, filepath.Dir(rel)); err != nil {
		return err
	}
	p := filepath.Join(dir, rel)
	return errors.Join(os.WriteFile(p, data, 0o444), os.Chmod(p, 0o444))
}

// mkdirs makes the directories of a relative path, for all users, whatever the umask is.
func mkdirs(dir, rel string) error {
	if !filepath.IsLocal(rel) {
		return fmt.Errorf("%q leads out of its directory", rel)
	}
	for i := range len(rel) + 1 {
		if i < len(rel) && rel[i] != filepath.Separator || rel == "." {
			continue
		}
		p := filepath.Join(dir, rel[:i])
		if err := os.Mkdir(p, 0o755); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := os.Chmod(p, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// layOut makes the tree of a Dir in a directory.
func (s *Store) layOut(ctx context.Context, dir string, d plan.Dir) error {
	var made []string
	for m, err := range s.List(ctx, d) {
		if err != nil {
			return err
		}
		p := filepath.Join(dir, filepath.FromSlash(m.Path))
		switch {
		case m.Dir:
			made, err = append(made, p), os.Mkdir(p, 0o755)
		case m.Link != "":
			err = os.Symlink(m.Link, p)
		default:
			err = s.linkMember(m, p)
		}
		if err != nil {
			return err
		}
	}
	for _, p := range slices.Backward(made) {
		if err := os.Chmod(p, 0o555); err != nil {
			return err
		}
	}
	return nil
}

// linkMember makes a file of a Dir at path.
func (s *Store) linkMember(m exec.Member, path string) error {
	suffix := ""
	if m.Executable {
		suffix = ".x"
	}
	kept, err := s.place("files", m.Digest, suffix)
	if err != nil {
		return err
	}
	return link(kept, path)
}

// link makes a hard link. It makes a copy where the file has as many links as the file system
// allows: the empty file, say, in ten thousands of Dirs.
func link(old, new string) error {
	err := os.Link(old, new)
	for errors.Is(err, fs.ErrNotExist) && exists(old) && exists(filepath.Dir(new)) {
		// Somebody else has just put the same content in its place: the kernel had found the file
		// that was there before, and it can't link what has lost its last name.
		err = os.Link(old, new)
	}
	if !errors.Is(err, syscall.EMLINK) {
		return err
	}
	in, err := os.Open(old)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(new, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = errors.Join(out.Chmod(info.Mode().Perm()), out.Sync())
	}
	return errors.Join(err, out.Close())
}
