package exec

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"github.com/flytestar/flytestar/plan"
)

// Verify returns a reader of r, for what Store.Open returns: it fails when ctx has ended, and when
// r's content doesn't have f's digest and size. Closing it closes r.
func Verify(ctx context.Context, r io.ReadCloser, f plan.File) io.ReadCloser {
	return &verifier{ReadCloser: r, ctx: ctx, file: f, hash: sha256.New()}
}

type verifier struct {
	io.ReadCloser
	ctx  context.Context
	file plan.File
	hash hash.Hash
	size int64
}

// Read implements io.Reader. It checks as soon as it has read as much as the file should have, so
// that whoever knows the size and reads no further is told too.
func (v *verifier) Read(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := v.ReadCloser.Read(p)
	v.hash.Write(p[:n])
	v.size += int64(n)
	if err == nil && v.size < v.file.Size || err != nil && err != io.EOF {
		return n, err
	}
	if v.size != v.file.Size {
		return 0, fmt.Errorf("file %s isn't %d bytes long in the store", v.file.Name, v.file.Size)
	}
	if got := plan.DigestSum(v.hash); got != v.file.Digest {
		return 0, fmt.Errorf("file %s has the digest %s in the store, not %s", v.file.Name, got, v.file.Digest)
	}
	return n, err
}
