package exec

import (
	"context"
	"io"
	"iter"

	"github.com/flytestar/flytestar/plan"
)

// Store keeps artifacts by content: Files, and Dirs, which are trees of files. What it has never
// changes. The same content has the same digest in every store: a File's is the SHA-256 of its
// bytes, a Dir's is that of its manifest (see [ManifestWriter]).
//
// Methods may be called concurrently, and several processes may use one store at the same time.
// Artifacts may be larger than memory, so everything streams. When ctx ends, a method returns
// ctx's error. Whatever the error, the store never has an artifact that isn't complete.
//
// Package exec/storetest has the suite that every Store passes.
type Store interface {
	// PutFile reads r to its end and keeps what it read. When it returns without an error, the
	// content survives a crash of the machine. An error of r is returned wrapped. It is an error
	// if plan.ValidFileName refuses name.
	PutFile(ctx context.Context, name string, r io.Reader) (plan.File, error)
	// PutDir keeps a tree of regular files, with their executable bit, directories, and symbolic
	// links that stay within it. It opens each file once, one after the other, and closes it.
	// Entries may come in any order, and a directory above another entry needn't be among them.
	// [Arrange] says which trees are errors; they, and names that plan.ValidFileName refuses, are
	// errors before any file is opened. After a later error, files of the tree may be kept, each
	// complete, but the Dir isn't.
	PutDir(ctx context.Context, name string, tree []Entry) (plan.Dir, error)
	// Open reads a file's content: of a File that PutFile returned, or of a [Member] of a Dir. The
	// caller closes the reader. Reading fails when ctx has ended, and when the content turns out
	// not to have f's digest and size; so the content is only sure at its end. If the store doesn't
	// have f, the error of Open matches fs.ErrNotExist. f's name doesn't matter.
	Open(ctx context.Context, f plan.File) (io.ReadCloser, error)
	// List reads what a Dir holds, in the order of its manifest: sorted by path, each directory
	// before what is in it. It ends at the first error. Members are only sure when it has ended
	// without one, since the digest is checked last. If the store doesn't have d, the error matches
	// fs.ErrNotExist. d's name doesn't matter.
	List(ctx context.Context, d plan.Dir) iter.Seq2[Member, error]
}

// Entry is a file, directory or symbolic link of a tree that is to be kept.
type Entry struct {
	Path       string // in the tree; see ValidPath
	Dir        bool
	Executable bool                          // for files
	Open       func() (io.ReadCloser, error) // for files
	Link       string                        // for links: where it leads, as [Arrange] allows it
}
