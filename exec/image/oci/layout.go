// Package oci keeps images in an OCI image layout: a directory of blobs by digest, and an index of
// the images among them. Every tool that works with images can read it.
//
//   - layout.go makes a [Layout], puts blobs into it and lists images.
//   - layer.go writes layers: new ones entry by entry, tars as they are, layers from elsewhere,
//     which it checks. gzip.go compresses them.
//   - tree.go remembers which directories a layer has, for the files that are laid over it.
//   - image.go writes an image's configuration and manifest, and reads an image back, as a
//     [v1.Image].
//   - source.go reads images from a layout that somebody else made.
//
// Blobs appear by rename, complete and synced: a process that is killed at any moment leaves a
// layout that can be read.
package oci

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/plan"
)

// Layout is an OCI image layout. Its methods may be called concurrently, also by several processes.
type Layout struct {
	Dir     string           // has oci-layout, index.json and blobs/sha256/
	Trees   string           // directory with what layers do to directories: HEX.json, by diff id
	Scratch *durable.Scratch // on the same file system: where files are written before they appear
	Lock    string           // lock file that is held while index.json changes
}

// Blob names a blob of a layout.
type Blob struct {
	Digest plan.Digest `json:"digest"`
	Size   int64       `json:"size"` // in bytes
}

// Init makes what is missing of the layout.
func (l *Layout) Init() (err error) {
	if err := os.MkdirAll(filepath.Join(l.Dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	missing := map[string]string{}
	for name, content := range map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
		"index.json": `{"schemaVersion":2,"mediaType":"` + string(types.OCIImageIndex) + `","manifests":[]}`,
	} {
		_, err := os.Stat(filepath.Join(l.Dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil {
			missing[name] = content
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return l.initFiles(missing)
}

// initFiles writes files, by name, that weren't there a moment ago. Another process may have made
// them by now, and listed an image in one.
func (l *Layout) initFiles(files map[string]string) (err error) {
	lock, err := durable.WaitLock(context.Background(), l.Lock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	for name, content := range files {
		path := filepath.Join(l.Dir, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := l.Scratch.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// refName is the annotation by which tools find an image in a layout.
const refName = "org.opencontainers.image.ref.name"

// List lists a manifest in index.json under ref. It replaces what had that name.
func (l *Layout) List(ctx context.Context, ref string, desc v1.Descriptor) (err error) {
	lock, err := durable.WaitLock(ctx, l.Lock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	path := filepath.Join(l.Dir, "index.json")
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
	return l.Scratch.WriteFile(path, data, 0o644)
}

// blobPath is where a blob lies.
func (l *Layout) blobPath(digest plan.Digest) string {
	return filepath.Join(l.Dir, "blobs", "sha256", digest.Hex())
}

// HasBlob reports whether a blob is there at its full size.
func (l *Layout) HasBlob(b Blob) bool {
	fi, err := os.Stat(l.blobPath(b.Digest))
	return err == nil && fi.Size() == b.Size
}

// putBlob writes a small blob.
func (l *Layout) putBlob(data []byte) (Blob, error) {
	b := Blob{plan.DigestOf(data), int64(len(data))}
	if l.HasBlob(b) {
		return b, nil
	}
	return b, l.Scratch.WriteFile(l.blobPath(b.Digest), data, 0o644)
}

// blobWriter writes a blob whose digest is known at the end.
type blobWriter struct {
	l    *Layout
	f    *durable.File
	hash hash.Hash
	size int64
}

func (l *Layout) newBlob() (*blobWriter, error) {
	f, err := l.Scratch.Create()
	if err != nil {
		return nil, err
	}
	return &blobWriter{l: l, f: f, hash: sha256.New()}, nil
}

// Write implements io.Writer.
func (b *blobWriter) Write(p []byte) (int, error) {
	n, err := b.f.Write(p)
	b.hash.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// digest is the digest of what was written so far.
func (b *blobWriter) digest() plan.Digest { return plan.DigestSum(b.hash) }

// commit puts the blob into the layout and returns its digest.
func (b *blobWriter) commit() (plan.Digest, error) {
	digest := b.digest()
	if b.l.HasBlob(Blob{digest, b.size}) {
		return digest, nil // close, which follows, removes this copy
	}
	return digest, b.f.Commit(b.l.blobPath(digest), 0o644)
}

// close removes the blob unless it was committed. Call it in any case.
func (b *blobWriter) close() { b.f.Close() }
