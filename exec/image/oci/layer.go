package oci

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// Layer describes a layer of a layout. It can be remembered as JSON.
type Layer struct {
	Digest    plan.Digest     `json:"digest"`    // of the blob
	DiffID    plan.Digest     `json:"diff_id"`   // of the tar within
	Size      int64           `json:"size"`      // of the blob, in bytes
	MediaType types.MediaType `json:"mediaType"` // of the blob
}

// Blob names the layer's blob.
func (l Layer) Blob() Blob { return Blob{l.Digest, l.Size} }

// DiffIDs names layers by content.
func DiffIDs(layers []Layer) []string {
	ids := make([]string, len(layers))
	for i, l := range layers {
		ids[i] = string(l.DiffID)
	}
	return ids
}

// Has reports whether a layer's blob and its tree are there.
func (l *Layout) Has(layer Layer) bool {
	if !l.HasBlob(layer.Blob()) {
		return false
	}
	_, err := os.Stat(l.treePath(layer.DiffID))
	return err == nil
}

// opened is a layer of a layout, for reading.
type opened struct {
	layer Layer
	path  string
}

var _ exec.Checker = opened{}

// DiffID implements [exec.Layer].
func (o opened) DiffID() plan.Digest { return o.layer.DiffID }

// Uncompressed implements [exec.Layer].
func (o opened) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(o.path)
	if err != nil {
		return nil, err
	}
	return decompressed(f)
}

// Check implements [exec.Checker].
func (o opened) Check() error {
	f, err := os.Open(o.path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil || plan.DigestSum(h) == o.layer.Digest {
		return err
	}
	return damaged(o.path)
}

// damaged removes a blob that isn't what its name says.
func damaged(path string) error {
	return errors.Join(os.Remove(path), exec.Damaged(path))
}

// Open returns layers as a sandbox takes them.
func (l *Layout) Open(layers []Layer) []exec.Layer {
	out := make([]exec.Layer, len(layers))
	for i, layer := range layers {
		out[i] = opened{layer, l.blobPath(layer.Digest)}
	}
	return out
}

// FileTime is the modification time of the files that builders lay down themselves, from wheels
// and from the workspace. It is the earliest that a zip archive can hold: tools that make one
// stumble over earlier times.
var FileTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// LayerWriter writes a layer's tar. It writes no path twice, directories included, and notes what
// the layer does to directories.
type LayerWriter struct {
	ctx  context.Context
	tw   *tar.Writer
	seen map[string]bool
	tree *tree
}

// Has reports whether the layer has a path already.
func (w *LayerWriter) Has(name string) bool { return w.seen[name] }

// Add writes hdr, and its content from r. The name is clean, relative and without a final "/".
// Names of owners are dropped, and all times but the modification time.
func (w *LayerWriter) Add(hdr *tar.Header, r io.Reader) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	name := hdr.Name
	if !validPath(name) {
		return fmt.Errorf("%q can't be a path in a layer", name)
	}
	if w.seen[name] {
		return fmt.Errorf("%s stands twice in a layer", name)
	}
	w.seen[name] = true
	h := plain(hdr)
	w.tree.note(h)
	if h.Typeflag == tar.TypeDir {
		h.Name += "/"
	}
	if err := w.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if h.Typeflag != tar.TypeReg || h.Size == 0 {
		return nil
	}
	if _, err := io.Copy(w.tw, exec.Cancellable(w.ctx, io.LimitReader(r, h.Size))); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// validPath reports whether a name is clean and relative, and not the root. It may be one that
// isn't UTF-8: Linux takes any bytes.
func validPath(name string) bool {
	return name != "." && fs.ValidPath(strings.ToValidUTF8(name, "?"))
}

// plain returns what a layer keeps of a header.
func plain(hdr *tar.Header) *tar.Header {
	h := &tar.Header{
		Typeflag: hdr.Typeflag, Name: hdr.Name, Linkname: hdr.Linkname, Size: hdr.Size, Mode: hdr.Mode & 0o7777,
		Uid: hdr.Uid, Gid: hdr.Gid, ModTime: hdr.ModTime.Truncate(time.Second), Devmajor: hdr.Devmajor, Devminor: hdr.Devminor,
	}
	if !utf8.ValidString(h.Name + h.Linkname) {
		h.Format = tar.FormatGNU // whose names are bytes
	}
	for k, v := range hdr.PAXRecords {
		if strings.HasPrefix(k, "SCHILY.xattr.") {
			if h.PAXRecords == nil {
				h.PAXRecords, h.Format = map[string]string{}, tar.FormatUnknown
			}
			h.PAXRecords[k] = v
		}
	}
	return h
}

// AddDir writes a directory unless it is there already.
func (w *LayerWriter) AddDir(name string, d DirEntry) error {
	if name == "." || w.seen[name] {
		return nil
	}
	return w.Add(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: d.Mode, Uid: d.UID, Gid: d.GID, ModTime: FileTime}, nil)
}

// AddParents writes the directories above name that aren't there yet. They belong to root and all
// can read them.
func (w *LayerWriter) AddParents(name string) error {
	dir := path.Dir(name)
	if dir == "." || w.seen[dir] {
		return nil
	}
	if err := w.AddParents(dir); err != nil {
		return err
	}
	return w.AddDir(dir, DirEntry{Mode: 0o755})
}

// WriteLayer puts the layer that fill writes into the layout. If fill fails, nothing stays.
func (l *Layout) WriteLayer(ctx context.Context, fill func(*LayerWriter) error) (Layer, error) {
	return l.putLayer(func(w io.Writer) (*tree, error) {
		lw := &LayerWriter{ctx: ctx, tw: tar.NewWriter(w), seen: map[string]bool{}, tree: newTree()}
		if err := fill(lw); err != nil {
			return nil, err
		}
		return lw.tree, lw.tw.Close()
	})
}

// ImportTar puts a tar into the layout byte for byte.
func (l *Layout) ImportTar(ctx context.Context, r io.Reader) (Layer, error) {
	return l.putLayer(func(w io.Writer) (*tree, error) { return readTree(io.TeeReader(exec.Cancellable(ctx, r), w)) })
}

// putLayer compresses and hashes the tar that write writes, and keeps the tree that it returns.
func (l *Layout) putLayer(write func(io.Writer) (*tree, error)) (Layer, error) {
	blob, err := l.newBlob()
	if err != nil {
		return Layer{}, err
	}
	defer blob.close()
	diff := sha256.New()
	zw := newGzipWriter(blob)
	t, err := write(io.MultiWriter(diff, zw))
	// Close the compressor in any case, since it has goroutines.
	if zerr := zw.Close(); err == nil {
		err = zerr
	}
	if err != nil {
		return Layer{}, err
	}
	layer := Layer{DiffID: plan.DigestSum(diff), Size: blob.size, MediaType: types.OCILayer}
	if err := l.writeTree(layer.DiffID, t); err != nil {
		return Layer{}, err
	}
	layer.Digest, err = blob.commit()
	return layer, err
}

// ImportLayer copies a layer from elsewhere without compressing it again. It checks the blob
// against in's digest, and the tar in it against diffID. It writes all that it reads to progress
// too.
func (l *Layout) ImportLayer(ctx context.Context, in v1.Layer, diffID plan.Digest, progress io.Writer) (Layer, error) {
	layer, err := described(in, diffID)
	if err != nil || l.Has(layer) {
		return layer, err
	}
	r, err := in.Compressed()
	if err != nil {
		return Layer{}, err
	}
	defer r.Close()
	blob, err := l.newBlob()
	if err != nil {
		return Layer{}, err
	}
	defer blob.close()
	if _, err := io.Copy(blob, io.TeeReader(exec.Cancellable(ctx, r), progress)); err != nil {
		return Layer{}, err
	}
	if got := blob.digest(); got != layer.Digest {
		return Layer{}, fmt.Errorf("layer %s has the content of %s", layer.Digest, got)
	}
	if err := l.inspect(ctx, blob.f.Name(), diffID); err != nil {
		return Layer{}, err
	}
	_, err = blob.commit()
	return layer, err
}

// described returns what a layer from elsewhere says of itself.
func described(in v1.Layer, diffID plan.Digest) (Layer, error) {
	digest, err := in.Digest()
	size, sizeErr := in.Size()
	mediaType, typeErr := in.MediaType()
	if err := errors.Join(err, sizeErr, typeErr); err != nil {
		return Layer{}, err
	}
	return Layer{Digest: digestOf(digest), DiffID: diffID, Size: size, MediaType: ociLayer(mediaType)}, nil
}

// inspect reads a layer from elsewhere, checks that its tar has a diff id, and keeps its tree.
func (l *Layout) inspect(ctx context.Context, file string, diffID plan.Digest) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	r, err := decompressed(f)
	if err != nil {
		return fmt.Errorf("layer %s: %w", diffID, err)
	}
	defer r.Close()
	h := sha256.New()
	t, err := readTree(io.TeeReader(exec.Cancellable(ctx, r), h))
	if err != nil {
		return fmt.Errorf("layer %s can't be read as a tar: %w", diffID, err)
	}
	if got := plan.DigestSum(h); got != diffID {
		return fmt.Errorf("the layer that should hold %s holds %s", diffID, got)
	}
	return l.writeTree(diffID, t)
}

// ociLayer is the OCI name of a layer's media type.
func ociLayer(t types.MediaType) types.MediaType {
	switch t {
	case types.DockerLayer:
		return types.OCILayer
	case types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer
	}
	return t
}
