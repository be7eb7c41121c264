// Package storetest has the suite that every exec.Store passes, and a store for tests of others.
//
//   - [Run] is the suite.
//   - [Memory] keeps artifacts in memory.
//   - [File], [Directory] and [Link] make the entries of a tree.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

var _ exec.Store = (*Memory)(nil)

// File is an entry of a tree: a file with that content.
func File(path, content string) exec.Entry {
	return exec.Entry{Path: path, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }}
}

// Program is [File] with the executable bit.
func Program(path, content string) exec.Entry {
	e := File(path, content)
	e.Executable = true
	return e
}

// Directory is an entry of a tree: a directory.
func Directory(path string) exec.Entry { return exec.Entry{Path: path, Dir: true} }

// Link is an entry of a tree: a symbolic link.
func Link(path, target string) exec.Entry { return exec.Entry{Path: path, Link: target} }

// Memory keeps artifacts in memory. Its zero value is empty.
type Memory struct {
	mu    sync.Mutex
	files map[plan.Digest][]byte // by digest
	dirs  map[plan.Digest][]byte // manifests by digest
}

// PutFile implements exec.Store.
func (s *Memory) PutFile(ctx context.Context, name string, r io.Reader) (plan.File, error) {
	if !plan.ValidFileName(name) {
		return plan.File{}, fmt.Errorf("%q can't be a file's name", name)
	}
	data, err := io.ReadAll(exec.Cancellable(ctx, r))
	if err != nil {
		return plan.File{}, fmt.Errorf("keeping %s: %w", name, err)
	}
	f := plan.File{Name: name, Digest: plan.DigestOf(data), Size: int64(len(data))}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[plan.Digest][]byte{}
	}
	s.files[f.Digest] = data
	return f, nil
}

// PutDir implements exec.Store.
func (s *Memory) PutDir(ctx context.Context, name string, tree []exec.Entry) (plan.Dir, error) {
	if !plan.ValidFileName(name) {
		return plan.Dir{}, fmt.Errorf("%q can't be a directory's name", name)
	}
	tree, err := exec.Arrange(tree)
	if err != nil {
		return plan.Dir{}, fmt.Errorf("keeping %s: %w", name, err)
	}
	var manifest bytes.Buffer
	w := exec.NewManifestWriter(&manifest)
	for _, e := range tree {
		m, err := s.member(ctx, e)
		if err == nil {
			err = w.Write(m)
		}
		if err != nil {
			return plan.Dir{}, fmt.Errorf("keeping %s: %w", name, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return plan.Dir{}, err
	}
	d := w.Dir(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirs == nil {
		s.dirs = map[plan.Digest][]byte{}
	}
	s.dirs[d.Digest] = manifest.Bytes()
	return d, nil
}

// member keeps an entry of a tree.
func (s *Memory) member(ctx context.Context, e exec.Entry) (exec.Member, error) {
	if e.Dir || e.Link != "" {
		return exec.Member{Path: e.Path, Dir: e.Dir, Link: e.Link}, nil
	}
	r, err := e.Open()
	if err != nil {
		return exec.Member{}, err
	}
	defer r.Close()
	f, err := s.PutFile(ctx, "file", r)
	return exec.Member{Path: e.Path, Executable: e.Executable, Digest: f.Digest, Size: f.Size}, err
}

// Open implements exec.Store.
func (s *Memory) Open(ctx context.Context, f plan.File) (io.ReadCloser, error) {
	data, err := s.get(ctx, &s.files, f.Name, f.Digest)
	if err != nil {
		return nil, err
	}
	return exec.Verify(ctx, io.NopCloser(bytes.NewReader(data)), f), nil
}

// List implements exec.Store.
func (s *Memory) List(ctx context.Context, d plan.Dir) iter.Seq2[exec.Member, error] {
	return func(yield func(exec.Member, error) bool) {
		manifest, err := s.get(ctx, &s.dirs, d.Name, d.Digest)
		if err != nil {
			yield(exec.Member{}, err)
			return
		}
		exec.ReadManifest(ctx, bytes.NewReader(manifest), d)(yield)
	}
}

// get returns what one of the store's maps has under a digest.
func (s *Memory) get(ctx context.Context, from *map[plan.Digest][]byte, name string, digest plan.Digest) ([]byte, error) {
	if !digest.Valid() {
		return nil, fmt.Errorf("%q isn't a digest", digest)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := (*from)[digest]
	if !ok {
		return nil, fmt.Errorf("%s isn't in the store: %w", name, fs.ErrNotExist)
	}
	return data, ctx.Err()
}
