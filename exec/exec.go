// Package exec declares the contracts by which plans become results. It implements none of them.
//
//   - [Builder] turns image values into OCI images.
//   - [Executor] runs one [Attempt] of an action somewhere. [Secrets] looks up the values that an
//     attempt only refers to.
//   - [Recorder] keeps what actions come to, for a resumed run or a later one.
//   - [Store] keeps artifacts: Files and Dirs, by content.
//   - [Bodies] evaluates the bodies of orchestrators.
//   - [Sandbox] runs one process in a container made of layers. Builders and the local executor use
//     it.
//   - [Watch] is told of each [Event] in a build or a run.
//
// exec/engine drives a run with them. Every other folder below exec implements one of them, or
// tests all implementations of one. exec imports neither Starlark nor its own children.
package exec

import (
	"context"
	"io"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Builder turns images as declared into OCI images in a store of its own.
// Its methods may be called concurrently; what two images share is built once,
// also across processes.
type Builder interface {
	// State fills in img's State, Digest and Why. It reads local state only:
	// no network, no writes.
	State(ctx context.Context, img plan.BuildImage) (plan.BuildImage, error)
	// Size returns how many bytes img takes in the store, compressed. It is 0 if img isn't there.
	// Like State, it reads local state only.
	Size(img plan.BuildImage) (int64, error)
	// Build returns the digest of img's manifest, building what isn't there yet. When it returns,
	// also on cancellation, nothing of it is still running and the store holds no half-written
	// blob. Errors are *diag.Error of class Build or System.
	Build(ctx context.Context, img plan.BuildImage, watch Watch) (plan.Digest, error)
	Images
	// Close removes what is temporary. The builder isn't used afterwards.
	Close() error
}

// Images opens built images.
type Images interface {
	// Image opens the image whose manifest has that digest. An image that isn't there is a
	// *diag.Error of class System.
	Image(ctx context.Context, digest plan.Digest) (*Image, error)
}

// Image is a built image, as a sandbox needs it.
type Image struct {
	Digest  plan.Digest // of its manifest
	Layers  []Layer     // bottom first
	Env     []string    // KEY=VALUE
	Workdir string
	User    string // "", "name", "uid" or "uid:gid"
	// StopSignal asks its processes to end: "SIGTERM", "15", … or empty
	StopSignal string
}

// Layer is one layer of an image: a tar stream whose content DiffID names.
type Layer interface {
	// DiffID is the digest of the uncompressed tar.
	DiffID() plan.Digest
	// Uncompressed opens the tar. The caller closes it.
	Uncompressed() (io.ReadCloser, error)
}

// Checker is a [Layer] that can be compared with what its store knows of it.
type Checker interface {
	Layer
	// Check returns [Damaged] if the layer isn't what it was when it was stored, or nil.
	Check() error
}

// Damaged returns an error of class System: a file of a store isn't what its name says. Whoever finds
// one removes it first, so that the next build makes or fetches it again.
func Damaged(file string) error {
	return diag.Errorf(diag.Position{}, diag.System, "%s was damaged: its content wasn't what its name says; it has been removed", file).
		WithHint("build or run again: what is missing is made again; if this comes back, check the disk")
}
