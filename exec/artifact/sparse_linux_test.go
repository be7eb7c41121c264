package artifact_test

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/flytestar/flytestar/exec/artifact"
)

// zeros reads as zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestSparse: a hole stays one in the store, also at the end of a file, and the content is the same.
func TestSparse(t *testing.T) {
	s, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const hole = 64<<20 + 17
	for _, end := range []string{"", "end"} {
		content := func() io.Reader {
			return io.MultiReader(bytes.NewReader([]byte("begin")), io.LimitReader(zeros{}, hole), bytes.NewReader([]byte(end)))
		}
		f, err := s.PutFile(t.Context(), "f", content())
		if err != nil {
			t.Fatal(err)
		}
		path, err := s.Path(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(5 + hole + len(end)); f.Size != want || info.Size() != want {
			t.Errorf("%d bytes, %d on disk, want %d", f.Size, info.Size(), want)
		}
		if blocks := info.Sys().(*syscall.Stat_t).Blocks; blocks*512 > 1<<20 {
			t.Errorf("takes %d bytes on disk", blocks*512)
		}
		r, err := s.Open(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil { // it checks the digest
			t.Error(err)
		}
		r.Close()
	}
}
