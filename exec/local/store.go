package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

var _ exec.Store = (*Store)(nil)

// Store is the artifact store of this machine: a directory in which every file
// is named by the SHA-256 of its content and is never changed.
//
//	files/ab/abcd…     a file's content, mode 0444
//	files/ab/abcd….x   the same with mode 0555, where a Dir has it as an executable
//	dirs/ab/abcd…      a Dir's manifest: JSON, one entry a line, sorted by path
//	trees/ab/abcd…/    a Dir as a tree, of hard links to files, made when it is first asked for
//	tmp/               one directory for each process that has the store open
//
// What is in files, dirs and trees is complete, since it gets there by being
// renamed; so several processes may use one store, and any of them may be killed.
type Store struct {
	dir     string
	scratch *scratch
}

// OpenStore opens the store in dir, which is made if it isn't there. What
// processes left in it that were killed is removed. The caller closes it.
func OpenStore(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, sub := range []string{"files", "dirs", "trees"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("artifact store: %w", err)
		}
	}
	s, err := openScratch(filepath.Join(dir, "tmp"))
	if err != nil {
		return nil, fmt.Errorf("artifact store: %w", err)
	}
	return &Store{dir: dir, scratch: s}, nil
}

// Close removes what is temporary. The store isn't used afterwards.
func (s *Store) Close() error { return s.scratch.Close() }

// place returns where an artifact of a kind lies. The digest decides over a
// path, so it is checked here whatever was checked before.
func (s *Store) place(kind, digest, suffix string) (string, error) {
	if !plan.ValidDigest(digest) {
		return "", fmt.Errorf("%q is no digest", digest)
	}
	hex := strings.TrimPrefix(digest, "sha256:")
	return filepath.Join(s.dir, kind, hex[:2], hex+suffix), nil
}

// PutFile implements exec.Store.
func (s *Store) PutFile(ctx context.Context, name string, r io.Reader) (plan.File, error) {
	if !plan.ValidFileName(name) {
		return plan.File{}, fmt.Errorf("%q is no file name", name)
	}
	digest, size, err := s.put(ctx, "files", r, false)
	if err != nil {
		return plan.File{}, fmt.Errorf("keeping %s: %w", name, err)
	}
	return plan.File{Name: name, Digest: digest, Size: size}, nil
}

// put keeps what r has under its digest.
func (s *Store) put(ctx context.Context, kind string, r io.Reader, executable bool) (digest string, size int64, err error) {
	tmp, err := s.scratch.file()
	if err != nil {
		return "", 0, err
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	h := sha256.New()
	size, err = copyContext(ctx, io.MultiWriter(tmp, h), r)
	mode, suffix := fs.FileMode(0o444), ""
	if executable {
		mode, suffix = 0o555, ".x"
	}
	if err == nil {
		err = tmp.Chmod(mode)
	}
	digest = digestOf(h)
	target, perr := s.place(kind, digest, suffix)
	if err == nil {
		err = perr
	}
	if err == nil && exists(target) { // nothing to sync
		return digest, size, tmp.Close()
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", 0, err
	}
	return digest, size, install(tmp.Name(), target)
}

// install renames a finished file or tree to where it belongs. Another process
// may have been faster; then this one's is left for its owner to remove.
func install(tmp, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	err := os.Rename(tmp, target)
	if err != nil && exists(target) {
		return nil
	}
	return err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func digestOf(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

// copyContext is io.Copy that ends with ctx.
func copyContext(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	return io.Copy(w, readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	}))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Open implements exec.Store.
func (s *Store) Open(_ context.Context, f plan.File) (io.ReadCloser, error) {
	p, err := s.place("files", f.Digest, "")
	if err != nil {
		return nil, err
	}
	r, err := os.Open(p)
	if err != nil {
		return nil, fmt.Errorf("file %s isn't in the artifact store: %w", f.Name, err)
	}
	info, err := r.Stat()
	if err == nil && info.Size() != f.Size {
		err = fmt.Errorf("file %s has %d bytes in the artifact store, not %d", f.Name, info.Size(), f.Size)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// treeEntry is a line of a Dir's manifest.
type treeEntry struct {
	Path       string `json:"path"`
	Dir        bool   `json:"dir,omitempty"`
	Executable bool   `json:"executable,omitempty"`
	Digest     string `json:"digest,omitempty"`
	Size       int64  `json:"size,omitempty"`
}

// PutDir implements exec.Store. Directories above an entry needn't be listed.
func (s *Store) PutDir(ctx context.Context, name string, tree []exec.Entry) (plan.Dir, error) {
	if !plan.ValidFileName(name) {
		return plan.Dir{}, fmt.Errorf("%q is no file name", name)
	}
	members, err := s.members(ctx, tree)
	if err != nil {
		return plan.Dir{}, fmt.Errorf("keeping %s: %w", name, err)
	}
	var manifest strings.Builder
	enc := json.NewEncoder(&manifest)
	enc.SetEscapeHTML(false)
	var size int64
	for _, m := range members {
		size += m.Size
		if err := enc.Encode(m); err != nil {
			return plan.Dir{}, err
		}
	}
	digest, _, err := s.put(ctx, "dirs", strings.NewReader(manifest.String()), false)
	if err != nil {
		return plan.Dir{}, fmt.Errorf("keeping %s: %w", name, err)
	}
	return plan.Dir{Name: name, Digest: digest, Size: size}, nil
}

// members keeps the files of a tree and returns its manifest: sorted, with
// every directory, and nothing below a file.
func (s *Store) members(ctx context.Context, tree []exec.Entry) ([]treeEntry, error) {
	byPath := map[string]treeEntry{}
	for _, e := range tree {
		if !fs.ValidPath(e.Path) || e.Path == "." || strings.ContainsRune(e.Path, 0) {
			return nil, fmt.Errorf("%q is no path within a directory", e.Path)
		}
		for p := path.Dir(e.Path); p != "."; p = path.Dir(p) {
			byPath[p] = treeEntry{Path: p, Dir: true}
		}
	}
	for _, e := range tree {
		before, known := byPath[e.Path]
		switch {
		case e.Dir && (!known || before.Dir):
			byPath[e.Path] = treeEntry{Path: e.Path, Dir: true}
			continue
		case known:
			return nil, fmt.Errorf("%q stands twice, or is a file and a directory", e.Path)
		}
		m, err := s.putEntry(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
		byPath[e.Path] = m
	}
	members := make([]treeEntry, 0, len(byPath))
	for _, m := range byPath {
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b treeEntry) int { return strings.Compare(a.Path, b.Path) })
	return members, nil
}

func (s *Store) putEntry(ctx context.Context, e exec.Entry) (treeEntry, error) {
	r, err := e.Open()
	if err != nil {
		return treeEntry{}, err
	}
	defer r.Close()
	digest, size, err := s.put(ctx, "files", r, e.Executable)
	return treeEntry{Path: e.Path, Executable: e.Executable, Digest: digest, Size: size}, err
}

// Path returns where a plan.File or plan.Dir lies on this machine, for reading
// alone. It is an error, matching fs.ErrNotExist, for the store not to have it.
func (s *Store) Path(v plan.Value) (string, error) {
	switch v := v.(type) {
	case plan.File:
		p, err := s.place("files", v.Digest, "")
		if err == nil {
			_, err = os.Lstat(p)
		}
		if err != nil {
			return "", fmt.Errorf("file %s isn't in the artifact store: %w", v.Name, err)
		}
		return p, nil
	case plan.Dir:
		return s.materialize(v)
	}
	return "", fmt.Errorf("a %s has no path", plan.TypeName(v))
}

// materialize returns the tree of a Dir, made of hard links if it isn't there yet.
func (s *Store) materialize(d plan.Dir) (string, error) {
	target, err := s.place("trees", d.Digest, "")
	if err != nil {
		return "", err
	}
	if exists(target) {
		return target, nil
	}
	members, err := s.manifest(d)
	if err != nil {
		return "", fmt.Errorf("directory %s isn't in the artifact store: %w", d.Name, err)
	}
	tmp, err := s.scratch.dir()
	if err != nil {
		return "", err
	}
	defer removeTree(tmp) // gone already when all went well
	if err := s.grow(tmp, members); err != nil {
		return "", fmt.Errorf("laying out directory %s: %w", d.Name, err)
	}
	if err := install(tmp, target); err != nil {
		return "", err
	}
	// Only now, since a directory that can't be written can't be moved.
	return target, os.Chmod(target, 0o555)
}

// manifest reads the members of a Dir.
func (s *Store) manifest(d plan.Dir) ([]treeEntry, error) {
	p, err := s.place("dirs", d.Digest, "")
	if err != nil {
		return nil, err
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var members []treeEntry
	for dec := json.NewDecoder(f); ; {
		var m treeEntry
		if err := dec.Decode(&m); err == io.EOF {
			return members, nil
		} else if err != nil {
			return nil, err
		}
		if !fs.ValidPath(m.Path) || m.Path == "." {
			return nil, fmt.Errorf("manifest with the path %q", m.Path)
		}
		members = append(members, m)
	}
}

// grow lays the members out in dir.
func (s *Store) grow(dir string, members []treeEntry) error {
	for _, m := range members { // parents come first, since they sort first
		p := filepath.Join(dir, filepath.FromSlash(m.Path))
		if m.Dir {
			if err := os.Mkdir(p, 0o755); err != nil {
				return err
			}
			continue
		}
		suffix := ""
		if m.Executable {
			suffix = ".x"
		}
		blob, err := s.place("files", m.Digest, suffix)
		if err != nil {
			return err
		}
		if err := link(blob, p); err != nil {
			return err
		}
	}
	for _, m := range slices.Backward(members) {
		if m.Dir {
			if err := os.Chmod(filepath.Join(dir, filepath.FromSlash(m.Path)), 0o555); err != nil {
				return err
			}
		}
	}
	return nil
}

// link makes a hard link, or a copy where the file has as many links as the
// file system allows: the empty file, say, in ten thousands of Dirs.
func link(old, new string) error {
	err := os.Link(old, new)
	if !errors.Is(err, errTooManyLinks) {
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
		err = out.Chmod(info.Mode().Perm())
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}
