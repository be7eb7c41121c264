package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/debian"
	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/internal/ociref"
	"github.com/flytestar/flytestar/plan"
)

// Debian makes Debian bases. [debian.Debian] implements it.
type Debian interface {
	// Resolve returns the exact packages of a base.
	Resolve(ctx context.Context, req debian.Request, watch exec.Watch) (*debian.Closure, error)
	// Build writes a base's layers into dir, and returns them bottom first.
	Build(ctx context.Context, c *debian.Closure, dir string, watch exec.Watch) ([]*debian.Layer, error)
	// Fetch downloads one package of a suite and returns the path of its .deb.
	Fetch(ctx context.Context, suite, name string, watch exec.Watch) (string, archive.Package, error)
}

// baseName says what an image starts from, and when that was resolved.
type baseName struct {
	Kind   plan.BaseKind `json:"kind"`
	Name   string        `json:"name,omitempty"`   // suite or reference
	Digest plan.Digest   `json:"digest,omitempty"` // of the closure or the manifest
	Time   time.Time     `json:"time,omitzero"`    // when it was resolved
}

// String describes the base, with its age.
func (b baseName) String() string {
	if b.Kind == plan.BaseScratch {
		return "nothing"
	}
	name := b.Name
	if b.Kind == plan.BaseDebian {
		name = "debian " + name
	}
	return name + ", resolved " + ago(b.Time)
}

// baseTitle describes a base as declared.
func baseTitle(b plan.Base) string {
	switch b.Kind {
	case plan.BaseDebian:
		return strings.TrimSpace("debian " + b.Suite)
	case plan.BaseRef:
		return b.Ref
	}
	return string(b.Kind)
}

// base is what an image starts from, in the store.
type base struct {
	baseName
	Layers  []oci.Layer  `json:"layers"`
	Config  v1.Config    `json:"config"`
	History []v1.History `json:"history"`
	Epoch   time.Time    `json:"epoch"` // no file that a step changes gets a later time
	// Manifest is the one that a pulled image came with: an image without steps keeps it. Blobs are
	// all that belong to it.
	Manifest *v1.Descriptor `json:"manifest,omitempty"`
	Blobs    []oci.Blob     `json:"blobs,omitempty"`
}

// whole returns a pulled image as it is.
func (b base) whole() (v1.Descriptor, []oci.Blob, error) { return *b.Manifest, b.Blobs, nil }

// hasBase reports whether everything of a base is there.
func (s *store) hasBase(b base) bool {
	for _, l := range b.Layers {
		if !s.layout.Has(l) {
			return false
		}
	}
	for _, bl := range b.Blobs {
		if !s.layout.HasBlob(bl) {
			return false
		}
	}
	return true
}

// base returns what the image starts from. It makes what isn't there.
func (j *job) base(ctx context.Context, b plan.Base) (base, error) {
	switch b.Kind {
	case plan.BaseScratch:
		return base{baseName: baseName{Kind: b.Kind}, Epoch: oci.FileTime}, nil
	case plan.BaseDebian:
		return j.debianBase(ctx, b)
	case plan.BaseRef:
		ref, err := ociref.Parse(b.Ref)
		if err != nil {
			return base{}, diag.Errorf(b.Pos, diag.Build, "%q isn't an image reference: %w", b.Ref, err)
		}
		if ref.Layout != "" {
			return j.layoutBase(ctx, b, ref)
		}
		return j.remoteBase(ctx, b, ref.Registry)
	}
	return base{}, fmt.Errorf("unknown base %q", b.Kind)
}

// dated is a value with the time when it was resolved.
type dated[T any] struct {
	Time  time.Time `json:"time"`
	Value T         `json:"value"`
}

// debianBase resolves a Debian base and builds it. It resolves once, until somebody removes the
// memory of that, and builds once for each closure.
func (j *job) debianBase(ctx context.Context, b plan.Base) (base, error) {
	if j.opts.Debian == nil {
		return base{}, diag.Errorf(b.Pos, diag.System, "no Debian mirror is configured").
			WithHint("use image.from_base(...) with an image from a registry, or configure apt sources for Debian on this machine")
	}
	arch, err := debianArch(j.img.Platform)
	if err != nil {
		return base{}, err
	}
	k := memo.NewKey("debian closure 1").Str(b.Suite).Bool(b.Python).Str(arch)
	closure, err := memo.Made(ctx, j.memo, "closures", k, nil, func() (dated[*debian.Closure], error) {
		c, err := j.opts.Debian.Resolve(ctx, debian.Request{Suite: b.Suite, Python: b.Python, Arch: arch}, j.nested())
		return dated[*debian.Closure]{time.Now().UTC(), c}, err
	})
	if err != nil {
		return base{}, err
	}
	data, err := json.Marshal(closure.Value)
	if err != nil {
		return base{}, err
	}
	name := baseName{b.Kind, closure.Value.Suite, plan.DigestOf(data), closure.Time}
	made, err := memo.Made(ctx, j.memo, "bases", memo.NewKey("debian base 1").Str(string(name.Digest)), j.store.hasBase, func() (base, error) {
		return j.bootstrap(ctx, name, closure.Value)
	})
	made.baseName = name // the same closure may have been resolved again since
	return made, err
}

// bootstrap builds a Debian base.
func (j *job) bootstrap(ctx context.Context, name baseName, c *debian.Closure) (base, error) {
	dir, err := j.store.scratch().Dir(0o755)
	if err != nil {
		return base{}, err
	}
	defer durable.RemoveTree(dir)
	layers, err := j.opts.Debian.Build(ctx, c, dir, j.nested())
	if err != nil {
		return base{}, err
	}
	made := base{baseName: name, Epoch: c.Date.UTC().Truncate(time.Second)}
	made.Config = v1.Config{Env: []string{"PATH=" + process.DefaultPath}, Cmd: []string{"/bin/sh"}}
	made.Layers, err = j.importTars(ctx, layers)
	for range made.Layers {
		made.History = append(made.History, v1.History{Created: v1.Time{Time: made.Epoch}, CreatedBy: "debian " + c.Suite})
	}
	return made, err
}

// importTars puts a base's layers into the store byte for byte: the sandbox that configured the
// base has unpacked them already, and knows them by their diff ids.
func (j *job) importTars(ctx context.Context, in []*debian.Layer) ([]oci.Layer, error) {
	out := make([]oci.Layer, len(in))
	g, ctx := errgroup.WithContext(ctx)
	for i, l := range in {
		g.Go(func() error {
			if err := j.slots.Acquire(ctx, 1); err != nil {
				return err
			}
			defer j.slots.Release(1)
			r, err := l.Uncompressed()
			if err != nil {
				return err
			}
			defer r.Close()
			out[i], err = j.store.layout.ImportTar(ctx, r)
			return err
		})
	}
	return out, g.Wait()
}

// nested is a watch for callees that don't know the image's name.
func (j *job) nested() exec.Watch { return func(e exec.Event) { j.event(e) } }

// copyTar copies the entries of a tar into a layer. edit, if there is one, may change an entry's
// header and content, or drop the entry.
func copyTar(w *oci.LayerWriter, r io.Reader, edit func(*tar.Header, io.Reader) (keep bool, content io.Reader, err error)) error {
	tr := tar.NewReader(r)
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			// Read also what follows the end mark: the writer waits until it is read.
			_, err := io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		hdr.Name = strings.TrimPrefix(path.Clean("/"+hdr.Name), "/")
		if hdr.Name == "" {
			continue // the root directory
		}
		var content io.Reader = tr
		if edit != nil {
			keep, edited, err := edit(hdr, tr)
			if err != nil {
				return err
			}
			if !keep {
				continue
			}
			content = edited
		}
		if err := w.Add(hdr, content); err != nil {
			return err
		}
	}
}

// debianArch returns Debian's name for the architecture of a platform.
func debianArch(platform string) (string, error) {
	arch, ok := map[string]string{
		"linux/amd64": "amd64", "linux/arm64": "arm64", "linux/arm64/v8": "arm64", "linux/386": "i386",
		"linux/arm/v7": "armhf", "linux/ppc64le": "ppc64el", "linux/s390x": "s390x", "linux/riscv64": "riscv64",
	}[platform]
	if !ok {
		return "", fmt.Errorf("Debian isn't made for %s", platform)
	}
	return arch, nil
}
