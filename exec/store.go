package exec

import (
	"context"
	"io"

	"github.com/flytestar/flytestar/plan"
)

// Store keeps artifacts by content. What it has never changes.
type Store interface {
	// PutFile reads r to its end and keeps it.
	PutFile(ctx context.Context, name string, r io.Reader) (plan.File, error)
	// PutDir keeps the regular files, with their executable bit, and directories of a tree.
	PutDir(ctx context.Context, name string, tree []Entry) (plan.Dir, error)
	// Open reads a file's content. It is an error, matching fs.ErrNotExist, for the store not to have it.
	Open(ctx context.Context, f plan.File) (io.ReadCloser, error)
}

// Entry is a member of a tree to be kept.
type Entry struct {
	Path       string // slash-separated, relative, clean
	Dir        bool
	Executable bool
	Open       func() (io.ReadCloser, error) // for files
}
