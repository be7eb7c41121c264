package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flytestar/flytestar/exec"
)

// layer names a layer in the store. It is what the index remembers of one.
type layer struct {
	Digest    string          `json:"digest"`    // "sha256:…" of the blob
	DiffID    string          `json:"diff_id"`   // "sha256:…" of the tar within
	Size      int64           `json:"size"`      // of the blob, in bytes
	MediaType types.MediaType `json:"mediaType"` // of the blob
}

// has reports whether a layer's blob and its tree are there.
func (s *store) has(l layer) bool {
	if !s.hasBlob(l.Digest, l.Size) {
		return false
	}
	_, err := os.Stat(s.treePath(l.DiffID))
	return err == nil
}

// storedLayer opens a layer of the store; it implements [exec.Layer].
type storedLayer struct {
	layer
	path string
}

var _ exec.Layer = storedLayer{}

// DiffID implements [exec.Layer].
func (l storedLayer) DiffID() string { return l.layer.DiffID }

// Uncompressed implements [exec.Layer].
func (l storedLayer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	return decompressed(f)
}

// open returns layers as a sandbox needs them.
func (s *store) open(layers []layer) []exec.Layer {
	out := make([]exec.Layer, len(layers))
	for i, l := range layers {
		out[i] = storedLayer{l, s.blobPath(l.Digest)}
	}
	return out
}

// fileTime is the modification time of the files that the builder lays down itself,
// from wheels and from the workspace: the earliest that a zip archive can hold, since tools that make one stumble over earlier ones.
var fileTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// tarball writes a layer's tar. It writes no path twice, directories included,
// and notes what the layer does to the tree of directories.
type tarball struct {
	ctx  context.Context
	tw   *tar.Writer
	seen map[string]bool
	tree *tree
}

// header writes hdr, and from r its content. The name is clean, relative and without a final "/".
// Owners' names and times other than the modification time are dropped.
func (t *tarball) header(hdr *tar.Header, r io.Reader) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	name := hdr.Name
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("%q can't be a path in a layer", name)
	}
	if t.seen[name] {
		return fmt.Errorf("%s stands twice in a layer", name)
	}
	t.seen[name] = true
	h := &tar.Header{
		Typeflag: hdr.Typeflag, Name: name, Linkname: hdr.Linkname, Size: hdr.Size, Mode: hdr.Mode & 0o7777,
		Uid: hdr.Uid, Gid: hdr.Gid, ModTime: hdr.ModTime.Truncate(time.Second), Devmajor: hdr.Devmajor, Devminor: hdr.Devminor,
	}
	for k, v := range hdr.PAXRecords {
		if strings.HasPrefix(k, "SCHILY.xattr.") {
			if h.PAXRecords == nil {
				h.PAXRecords = map[string]string{}
			}
			h.PAXRecords[k] = v
		}
	}
	t.tree.note(h)
	if h.Typeflag == tar.TypeDir {
		h.Name += "/"
	}
	if err := t.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if h.Typeflag != tar.TypeReg || h.Size == 0 {
		return nil
	}
	if _, err := io.Copy(t.tw, cancellable{t.ctx, io.LimitReader(r, h.Size)}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// dir writes a directory unless it is there already.
func (t *tarball) dir(name string, d dirEntry) error {
	if name == "." || t.seen[name] {
		return nil
	}
	return t.header(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: d.Mode, Uid: d.UID, Gid: d.GID, ModTime: fileTime}, nil)
}

// parents writes the directories above name that aren't there yet, as root's and readable by all.
func (t *tarball) parents(name string) error {
	dir := path.Dir(name)
	if dir == "." || t.seen[dir] {
		return nil
	}
	if err := t.parents(dir); err != nil {
		return err
	}
	return t.dir(dir, dirEntry{Mode: 0o755})
}

// writeLayer puts the layer that fill writes into the store. If fill fails, nothing stays.
func (s *store) writeLayer(ctx context.Context, fill func(*tarball) error) (layer, error) {
	return s.putLayer(func(w io.Writer) (*tree, error) {
		t := &tarball{ctx: ctx, tw: tar.NewWriter(w), seen: map[string]bool{}, tree: newTree()}
		if err := fill(t); err != nil {
			return nil, err
		}
		return t.tree, t.tw.Close()
	})
}

// importTar puts a tar into the store as it is.
func (s *store) importTar(ctx context.Context, r io.Reader) (layer, error) {
	return s.putLayer(func(w io.Writer) (*tree, error) { return readTree(io.TeeReader(cancellable{ctx, r}, w)) })
}

// putLayer compresses and hashes the tar that write writes, and keeps the tree that it returns.
func (s *store) putLayer(write func(io.Writer) (*tree, error)) (layer, error) {
	blob, err := s.newBlob()
	if err != nil {
		return layer{}, err
	}
	defer blob.abort()
	diff := sha256.New()
	zw := newGzipWriter(blob)
	t, err := write(io.MultiWriter(diff, zw))
	// The compressor is closed in any case, since it has goroutines.
	if zerr := zw.Close(); err == nil {
		err = zerr
	}
	if err != nil {
		return layer{}, err
	}
	l := layer{DiffID: "sha256:" + hex.EncodeToString(diff.Sum(nil)), Size: blob.size, MediaType: types.OCILayer}
	if err := s.remember(s.treePath(l.DiffID), t); err != nil {
		return layer{}, err
	}
	l.Digest, err = blob.commit()
	return l, err
}
