package debian

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"hash"
	"io"
	"os"
	"time"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

var _ exec.Layer = (*Layer)(nil)

// Layer is a layer of a base: an uncompressed tar in a file.
type Layer struct {
	Path   string // the tar
	Size   int64  // bytes
	diffID plan.Digest
}

// DiffID implements [exec.Layer].
func (l *Layer) DiffID() plan.Digest { return l.diffID }

// Uncompressed implements [exec.Layer].
func (l *Layer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.Path) }

// layerWriter writes a layer's tar. It leaves out what differs from one time to the next: names of
// owners, times other than the modification time, and times after epoch.
type layerWriter struct {
	file  *os.File
	hash  hash.Hash
	buf   *bufio.Writer
	tar   *tar.Writer
	epoch time.Time
}

func createLayer(path string, epoch time.Time) (*layerWriter, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	w := &layerWriter{file: f, hash: sha256.New(), epoch: epoch}
	w.buf = bufio.NewWriterSize(io.MultiWriter(f, w.hash), 1<<20)
	w.tar = tar.NewWriter(w.buf)
	return w, nil
}

// add writes an entry. A time after epoch becomes epoch; earlier times stay, since bytecode has the
// times of its sources in it.
func (w *layerWriter) add(hdr *tar.Header, r io.Reader) error {
	clean := &tar.Header{
		Typeflag: hdr.Typeflag, Name: hdr.Name, Linkname: hdr.Linkname, Size: hdr.Size, Mode: hdr.Mode & 0o7777,
		Uid: hdr.Uid, Gid: hdr.Gid, ModTime: hdr.ModTime.Truncate(time.Second),
		Devmajor: hdr.Devmajor, Devminor: hdr.Devminor,
	}
	if clean.Typeflag != tar.TypeReg {
		clean.Size = 0
	}
	if clean.ModTime.After(w.epoch) {
		clean.ModTime = w.epoch
	}
	for key, value := range hdr.PAXRecords {
		if len(key) > len(xattrPrefix) && key[:len(xattrPrefix)] == xattrPrefix {
			if clean.PAXRecords == nil {
				clean.PAXRecords = map[string]string{}
			}
			clean.PAXRecords[key] = value
		}
	}
	if err := w.tar.WriteHeader(clean); err != nil {
		return err
	}
	if clean.Typeflag != tar.TypeReg {
		return nil
	}
	_, err := io.Copy(w.tar, r)
	return err
}

const xattrPrefix = "SCHILY.xattr."

// finish completes the tar and returns it as a layer.
func (w *layerWriter) finish() (*Layer, error) {
	if err := w.tar.Close(); err != nil {
		return nil, err
	}
	if err := w.buf.Flush(); err != nil {
		return nil, err
	}
	info, err := w.file.Stat()
	if err != nil {
		return nil, err
	}
	if err := w.file.Close(); err != nil {
		return nil, err
	}
	return &Layer{Path: w.file.Name(), Size: info.Size(), diffID: plan.DigestSum(w.hash)}, nil
}

// discard removes what was written.
func (w *layerWriter) discard() {
	w.file.Close()
	os.Remove(w.file.Name())
}

// remove deletes a layer's file; a nil layer has none.
func (l *Layer) remove() {
	if l != nil {
		os.Remove(l.Path)
	}
}
