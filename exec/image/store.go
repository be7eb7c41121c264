package image

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// store is what the builder keeps under the home:
//
//	images/                 an OCI image layout: oci-layout, index.json, blobs/sha256/
//	resolved/HEX.json       what the image of a declared digest came to
//	index/KIND/KEY.json     what was made of a key: layers, bases, pip resolutions, …
//	cache/                  downloads and wheels, by content
//	locks/                  a lock file for each key that was ever made
//	tmp/images/NAME/        scratch of a living process, which holds NAME.lock
//
// Files appear by rename, complete and synced, so that killing the builder at any moment leaves a readable store.
//
// Nothing is written before begin: looking at images has no effects.
type store struct {
	home string
	mu   sync.Mutex // guards tmp and held until begin is done
	tmp  string     // this builder's scratch directory; empty before begin
	held *os.File   // the lock that says that tmp is in use
}

// begin makes what is missing below home, and sweeps the scratch directories of dead processes.
func (s *store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil {
		return nil
	}
	for _, d := range []string{"images/blobs/sha256", "resolved", "index", "cache/wheels", "locks", "tmp/images"} {
		if err := os.MkdirAll(filepath.Join(s.home, d), 0o755); err != nil {
			return err
		}
	}
	// Nobody must take a lock file that has just been made for one that is left over.
	unlock, err := s.lock(context.Background(), "tmp")
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.sweep(); err != nil {
		return err
	}
	name := make([]byte, 8)
	rand.Read(name)
	s.tmp = filepath.Join(s.home, "tmp", "images", hex.EncodeToString(name))
	held, err := tryLock(s.tmp + ".lock")
	if err != nil {
		return err
	}
	if err := os.Mkdir(s.tmp, 0o755); err != nil {
		return errors.Join(err, held.Close())
	}
	if err := s.ensureLayout(); err != nil {
		return errors.Join(err, held.Close())
	}
	s.held = held
	return nil
}

// close removes the scratch directory.
func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return nil
	}
	return errors.Join(os.RemoveAll(s.tmp), os.Remove(s.tmp+".lock"), s.held.Close())
}

// sweep removes the scratch directories whose process is gone.
func (s *store) sweep() error {
	locks, err := filepath.Glob(filepath.Join(s.home, "tmp", "images", "*.lock"))
	if err != nil {
		return err
	}
	for _, l := range locks {
		f, err := tryLock(l)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue // its process lives
		}
		if err != nil {
			return err
		}
		err = errors.Join(os.RemoveAll(strings.TrimSuffix(l, ".lock")), os.Remove(l), f.Close())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// tryLock opens path and locks it, or fails with EWOULDBLOCK. Closing the file unlocks it.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lock waits until it holds name, among goroutines and processes. The caller calls the function that it returns.
func (s *store) lock(ctx context.Context, name string) (unlock func() error, err error) {
	path := filepath.Join(s.home, "locks", name)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		f, err := tryLock(path)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// writeFile puts data at path by rename.
func (s *store) writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.tmp, "file")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	return install(f, path)
}

// install syncs and closes f and renames it to path.
func install(f *os.File, path string) error {
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// memoPath is where what was made of a key is remembered.
func (s *store) memoPath(kind, key string) string {
	return filepath.Join(s.home, "index", kind, key+".json")
}

// recall reads what was made of a key; false if nothing was, or if valid says
// that it is no longer of use.
func recall[T any](path string, valid func(T) bool) (T, bool, error) {
	var v T
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return v, false, nil
	}
	if err != nil {
		return v, false, err
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, false, fmt.Errorf("%s is damaged, remove it: %w", path, err)
	}
	return v, valid == nil || valid(v), nil
}

// remember writes v for [recall].
func (s *store) remember(path string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return s.writeFile(path, data)
}

// errUnmade is what once returns, as an *unmade, for a key that nothing was made of, where making is ruled out.
var errUnmade = errors.New("not made yet")

// unmade says of which kind that is which isn't there.
type unmade struct{ kind string }

// Error implements error.
func (u *unmade) Error() string { return u.kind + ": " + errUnmade.Error() }

// Unwrap returns errUnmade.
func (u *unmade) Unwrap() error { return errUnmade }

// once returns what was made of a key, making it if it isn't there: once, however many goroutines
// and processes ask. With a nil maker it returns errUnmade instead.
func once[T any](ctx context.Context, s *store, kind, key string, valid func(T) bool, maker func() (T, error)) (v T, err error) {
	path := s.memoPath(kind, key)
	v, ok, err := recall(path, valid)
	if ok || err != nil {
		return v, err
	}
	if maker == nil {
		return v, &unmade{kind}
	}
	unlock, err := s.lock(ctx, kind+"-"+key)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if v, ok, err = recall(path, valid); ok || err != nil {
		return v, err
	}
	if v, err = maker(); err != nil {
		return v, err
	}
	return v, s.remember(path, v)
}

// blobPath is where a blob lies; digest is "sha256:…".
func (s *store) blobPath(digest string) string {
	return filepath.Join(s.home, "images", "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// hasBlob reports whether a blob is there, at its full size.
func (s *store) hasBlob(digest string, size int64) bool {
	fi, err := os.Stat(s.blobPath(digest))
	return err == nil && fi.Size() == size
}

// blobWriter writes a blob whose digest is known at the end.
type blobWriter struct {
	s    *store
	f    *os.File
	hash hash.Hash
	size int64
	done bool
}

func (s *store) newBlob() (*blobWriter, error) {
	f, err := os.CreateTemp(s.tmp, "blob")
	if err != nil {
		return nil, err
	}
	return &blobWriter{s: s, f: f, hash: sha256.New()}, nil
}

// Write implements io.Writer.
func (b *blobWriter) Write(p []byte) (int, error) {
	n, err := b.f.Write(p)
	b.hash.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// commit puts the blob into the store and returns its digest, "sha256:…".
func (b *blobWriter) commit() (string, error) {
	digest := "sha256:" + hex.EncodeToString(b.hash.Sum(nil))
	if b.s.hasBlob(digest, b.size) {
		return digest, nil // abort, which follows, removes this copy
	}
	if err := install(b.f, b.s.blobPath(digest)); err != nil {
		return "", err
	}
	b.done = true
	return digest, nil
}

// abort removes what commit didn't install. Call it in any case.
func (b *blobWriter) abort() {
	if !b.done {
		b.f.Close()
		os.Remove(b.f.Name())
	}
}

// putBlob writes a small blob.
func (s *store) putBlob(data []byte) (digest string, err error) {
	sum := sha256.Sum256(data)
	digest = "sha256:" + hex.EncodeToString(sum[:])
	if s.hasBlob(digest, int64(len(data))) {
		return digest, nil
	}
	return digest, s.writeFile(s.blobPath(digest), data)
}

// ensureLayout writes the two files that make images/ an image layout.
func (s *store) ensureLayout() error {
	dir := filepath.Join(s.home, "images")
	for name, content := range map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
		"index.json": `{"schemaVersion":2,"mediaType":"` + string(types.OCIImageIndex) + `","manifests":[]}`,
	} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			continue
		}
		// Another process may have got here first: link fails where rename would replace.
		f, err := os.CreateTemp(s.tmp, "layout")
		if err != nil {
			return err
		}
		_, err = f.WriteString(content)
		if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
			err = os.Link(f.Name(), path)
		}
		os.Remove(f.Name())
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// refName is the annotation by which tools find an image in a layout.
const refName = "org.opencontainers.image.ref.name"

// addToIndex lists a manifest in index.json under ref, in place of what had that name.
func (s *store) addToIndex(ctx context.Context, ref string, desc v1.Descriptor) (err error) {
	unlock, err := s.lock(ctx, "index.json")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	path := filepath.Join(s.home, "images", "index.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	index.Manifests = slices.DeleteFunc(index.Manifests, func(d v1.Descriptor) bool { return d.Annotations[refName] == ref })
	desc.Annotations = map[string]string{refName: ref}
	index.Manifests = append(index.Manifests, desc)
	if data, err = json.Marshal(&index); err != nil {
		return err
	}
	return s.writeFile(path, data)
}

// cancellable is a reader that fails once its context has ended.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
