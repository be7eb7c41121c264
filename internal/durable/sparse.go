package durable

import (
	"bytes"
	"io"
	"os"
)

// Sparse writes to a new file. Long runs of zeros become holes, which take no room on disk: a file
// with a hole, read and written again, doesn't fill the disk.
type Sparse struct {
	f    *os.File
	size int64
}

// NewSparse returns a writer to f, which is empty. The caller calls Finish after the last write.
func NewSparse(f *os.File) *Sparse { return &Sparse{f: f} }

var zeros [32 << 10]byte // as much as io.Copy writes at a time

// Write implements io.Writer.
func (s *Sparse) Write(p []byte) (n int, err error) {
	if len(p) >= 4096 && len(p) <= len(zeros) && bytes.Equal(p, zeros[:len(p)]) {
		n = len(p)
		_, err = s.f.Seek(int64(n), io.SeekCurrent)
	} else {
		n, err = s.f.Write(p)
	}
	s.size += int64(n)
	return n, err
}

// Finish gives the file its size, also where it ends in a hole.
func (s *Sparse) Finish() error { return s.f.Truncate(s.size) }
