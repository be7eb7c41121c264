package image

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/internal/ociref"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// importImage copies an image into the store. It checks every blob against its digest.
func (j *job) importImage(ctx context.Context, b plan.Base, img v1.Image) (base, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return base{}, err
	}
	if err := fits(img, cfg, j.img.Platform); err != nil {
		return base{}, err
	}
	layers, err := j.importLayers(ctx, b, img, cfg)
	if err != nil {
		return base{}, err
	}
	if err := j.unpack(ctx, b, layers); err != nil {
		return base{}, err
	}
	desc, blobs, err := j.store.layout.ImportManifest(img)
	if err != nil {
		return base{}, err
	}
	made := base{
		baseName: baseName{Kind: b.Kind, Name: b.Ref, Digest: plan.Digest(desc.Digest.String()), Time: time.Now().UTC()},
		Layers:   layers, Config: cfg.Config, History: historyOf(cfg, len(layers)), Epoch: epochOf(cfg), Manifest: &desc, Blobs: blobs,
	}
	for _, l := range layers {
		made.Blobs = append(made.Blobs, l.Blob())
	}
	return made, nil
}

// unpack unpacks the layers of an image from elsewhere. Containers need that anyhow, and an image
// that can't be unpacked is refused when it comes in.
func (j *job) unpack(ctx context.Context, b plan.Base, layers []oci.Layer) error {
	if j.opts.Sandbox == nil {
		return nil
	}
	j.step("unpack " + b.Ref)
	return j.opts.Sandbox.Unpack(ctx, j.store.layout.Open(layers))
}

// fits checks that an image is one of containers, and for a platform.
func fits(img v1.Image, cfg *v1.ConfigFile, platform string) error {
	m, err := img.Manifest()
	if err != nil {
		return err
	}
	layers := make([]string, len(m.Layers))
	for i, l := range m.Layers {
		layers[i] = string(l.MediaType)
	}
	if err := workspace.CheckTypes(string(m.Config.MediaType), layers); err != nil {
		return err
	}
	want, err := v1.ParsePlatform(platform)
	if err != nil {
		return err
	}
	if cfg.OS != want.OS || cfg.Architecture != want.Architecture {
		return &workspace.PlatformError{Want: platform, There: []string{cfg.OS + "/" + cfg.Architecture}}
	}
	return nil
}

// historyOf returns an image's history, which has an entry for each layer. Some tools write none.
func historyOf(cfg *v1.ConfigFile, layers int) []v1.History {
	n := 0
	for _, h := range cfg.History {
		if !h.EmptyLayer {
			n++
		}
	}
	if n == layers {
		return cfg.History
	}
	made := make([]v1.History, layers)
	for i := range made {
		made[i] = v1.History{Created: v1.Time{Time: epochOf(cfg)}, Comment: "a layer of a base without history"}
	}
	return made
}

// epochOf returns the time that files get which steps change on a pulled image.
func epochOf(cfg *v1.ConfigFile) time.Time {
	if cfg.Created.After(oci.FileTime) {
		return cfg.Created.UTC().Truncate(time.Second)
	}
	return oci.FileTime
}

// importLayers copies the layers, several at a time. Whoever holds a slot waits for nobody else.
func (j *job) importLayers(ctx context.Context, b plan.Base, img v1.Image, cfg *v1.ConfigFile) ([]oci.Layer, error) {
	in, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(in) != len(cfg.RootFS.DiffIDs) {
		return nil, fmt.Errorf("%s has %d layers, but %d diff ids", b.Ref, len(in), len(cfg.RootFS.DiffIDs))
	}
	if len(in) > plan.MaxLayers {
		return nil, diag.Errorf(b.Pos, diag.Build, "%s has %d layers, and an image can have %d", b.Ref, len(in), plan.MaxLayers)
	}
	p := &progress{j: j, what: "pull " + b.Ref}
	for _, l := range in {
		n, err := l.Size()
		if err != nil {
			return nil, err
		}
		p.total += n
	}
	out := make([]oci.Layer, len(in))
	g, ctx := errgroup.WithContext(ctx)
	for i, l := range in {
		g.Go(func() (err error) {
			if err := j.slots.Acquire(ctx, 1); err != nil {
				return err
			}
			defer j.slots.Release(1)
			out[i], err = again(ctx, func() (oci.Layer, error) {
				return j.store.layout.ImportLayer(ctx, l, plan.Digest(cfg.RootFS.DiffIDs[i].String()), p)
			})
			return err
		})
	}
	return out, g.Wait()
}

// progress counts the bytes of a step and reports them some times a second.
type progress struct {
	j     *job
	what  string
	total int64

	mu   sync.Mutex
	done int64
	last time.Time
}

// Write implements io.Writer, for a TeeReader.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += int64(len(b))
	if now := time.Now(); now.Sub(p.last) > 100*time.Millisecond || p.done == p.total {
		p.last = now
		p.j.event(exec.Event{Kind: exec.ImageStep, Step: p.what, Bytes: p.done, Total: p.total})
	}
	return len(b), nil
}

// layoutBase imports an image of an OCI layout in the workspace: DIR, or DIR:TAG.
func (j *job) layoutBase(ctx context.Context, b plan.Base, ref ociref.Ref) (base, error) {
	if j.opts.Workspace == nil {
		return base{}, fmt.Errorf("there is no workspace to take %s from", b.Ref)
	}
	found, err := workspace.FindLayout(j.opts.Workspace.FS(), ref.Layout, ref.Tag, j.img.Platform)
	if err != nil {
		return base{}, diag.Errorf(b.Pos, diag.Build, "%s: %w", b.Ref, err)
	}
	digest, err := v1.NewHash(string(found.Digest))
	if err != nil {
		return base{}, diag.Errorf(b.Pos, diag.Build, "%s: %w", b.Ref, err)
	}
	desc := v1.Descriptor{MediaType: types.MediaType(found.MediaType), Digest: digest, Size: found.Size}
	k := memo.NewKey("layout 1").Str(desc.Digest.String()).Str(j.img.Platform)
	made, err := memo.Made(ctx, j.memo, "bases", k, j.store.hasBase, func() (base, error) {
		j.step("import " + b.Ref)
		img, err := oci.Source{Root: j.opts.Workspace, Dir: ref.Layout}.Image(desc)
		if err != nil {
			return base{}, err
		}
		made, err := j.importImage(ctx, b, img)
		return made, unusable(b, err)
	})
	made.Name = b.Ref
	return made, err
}
