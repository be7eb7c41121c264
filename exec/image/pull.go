package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// remoteBase pulls an image of a registry. A tag is resolved once, until its memory is removed.
func (j *job) remoteBase(ctx context.Context, b plan.Base) (base, error) {
	k := newKey("ref 1").str(b.Ref).str(j.img.Platform)
	return made(ctx, j, "bases", k, j.store.hasBase, func() (base, error) {
		ref, err := name.ParseReference(b.Ref)
		if err != nil {
			return base{}, diag.Errorf(b.Pos, diag.Build, "%q is no image reference: %w", b.Ref, err)
		}
		want, err := v1.ParsePlatform(j.img.Platform)
		if err != nil {
			return base{}, err
		}
		j.step("pull " + b.Ref)
		img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithPlatform(*want))
		if err != nil {
			return base{}, pullError(b, err)
		}
		made, err := j.importImage(ctx, b, img)
		return made, pullError(b, err)
	})
}

// pullError says what a registry's answer means.
func pullError(b plan.Base, err error) error {
	var e *diag.Error
	if err == nil || errors.As(err, &e) || errors.Is(err, context.Canceled) {
		return err
	}
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return diag.Errorf(b.Pos, diag.System, "can't pull %s: %w", b.Ref, err).WithHint("is the registry reachable from here?")
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return diag.Errorf(b.Pos, diag.Build, "the registry has no image %s", b.Ref).WithHint("check the name and the tag")
	case http.StatusUnauthorized, http.StatusForbidden:
		return diag.Errorf(b.Pos, diag.System, "the registry doesn't let us pull %s: %w", b.Ref, err).
			WithHint("log in with docker, podman or crane: their credentials are used; also check the name, since registries answer so for images that don't exist")
	}
	return diag.Errorf(b.Pos, diag.System, "can't pull %s: %w", b.Ref, err)
}

// importImage copies an image into the store, every blob checked against its digest.
func (j *job) importImage(ctx context.Context, b plan.Base, img v1.Image) (base, error) {
	raw, err := img.RawManifest()
	if err != nil {
		return base{}, err
	}
	m, err := img.Manifest()
	if err != nil {
		return base{}, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return base{}, err
	}
	if err := fits(cfg, j.img.Platform); err != nil {
		return base{}, diag.Errorf(b.Pos, diag.Build, "%s: %w", b.Ref, err)
	}
	layers, err := j.importLayers(ctx, b, img, cfg)
	if err != nil {
		return base{}, err
	}
	rawConfig, err := img.RawConfigFile()
	if err != nil {
		return base{}, err
	}
	made := base{baseName: baseName{Kind: b.Kind, Name: b.Ref, Time: time.Now().UTC()}, Layers: layers, Config: cfg.Config, History: cfg.History, Epoch: epochOf(cfg)}
	for _, data := range [][]byte{rawConfig, raw} {
		digest, err := j.store.putBlob(data)
		if err != nil {
			return base{}, err
		}
		made.Blobs = append(made.Blobs, blob{digest, int64(len(data))})
		made.Digest = digest
	}
	for _, l := range layers {
		made.Blobs = append(made.Blobs, blob{l.Digest, l.Size})
	}
	digest, err := v1.NewHash(made.Digest)
	mediaType := m.MediaType
	if mediaType == "" {
		mediaType = types.OCIManifestSchema1
	}
	made.Manifest = &v1.Descriptor{MediaType: mediaType, Digest: digest, Size: int64(len(raw)), Platform: cfg.Platform()}
	return made, err
}

// fits checks that an image is for a platform.
func fits(cfg *v1.ConfigFile, platform string) error {
	want, err := v1.ParsePlatform(platform)
	if err != nil {
		return err
	}
	if cfg.OS != want.OS || cfg.Architecture != want.Architecture {
		return fmt.Errorf("the image is for %s/%s, not for %s", cfg.OS, cfg.Architecture, platform)
	}
	return nil
}

// epochOf is the time of the files that steps on a pulled image change.
func epochOf(cfg *v1.ConfigFile) time.Time {
	if cfg.Created.After(fileTime) {
		return cfg.Created.UTC().Truncate(time.Second)
	}
	return fileTime
}

// importLayers copies the layers, several at a time.
func (j *job) importLayers(ctx context.Context, b plan.Base, img v1.Image, cfg *v1.ConfigFile) ([]layer, error) {
	in, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(in) != len(cfg.RootFS.DiffIDs) {
		return nil, fmt.Errorf("%s has %d layers, but %d diff ids", b.Ref, len(in), len(cfg.RootFS.DiffIDs))
	}
	p := &progress{j: j, what: "pull " + b.Ref}
	for _, l := range in {
		n, err := l.Size()
		if err != nil {
			return nil, err
		}
		p.total += n
	}
	out := make([]layer, len(in))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(j.opts.Jobs)
	for i, l := range in {
		g.Go(func() (err error) {
			for try := 0; ; try++ {
				if out[i], err = j.importLayer(ctx, l, cfg.RootFS.DiffIDs[i].String(), p); err == nil || try == 2 || ctx.Err() != nil {
					return err
				}
			}
		})
	}
	return out, g.Wait()
}

// importLayer copies one layer, as it is compressed.
func (j *job) importLayer(ctx context.Context, in v1.Layer, diffID string, p *progress) (layer, error) {
	digest, err := in.Digest()
	if err != nil {
		return layer{}, err
	}
	size, err := in.Size()
	if err != nil {
		return layer{}, err
	}
	mediaType, err := in.MediaType()
	if err != nil {
		return layer{}, err
	}
	l := layer{Digest: digest.String(), DiffID: diffID, Size: size, MediaType: ociLayer(mediaType)}
	if j.store.has(l) {
		return l, nil
	}
	r, err := in.Compressed()
	if err != nil {
		return layer{}, err
	}
	defer r.Close()
	blob, err := j.store.newBlob()
	if err != nil {
		return layer{}, err
	}
	defer blob.abort()
	if _, err := io.Copy(blob, io.TeeReader(cancellable{ctx, r}, p)); err != nil {
		return layer{}, err
	}
	if got := "sha256:" + hex.EncodeToString(blob.hash.Sum(nil)); got != l.Digest {
		return layer{}, fmt.Errorf("layer %s has the content of %s", l.Digest, got)
	}
	if err := j.inspect(ctx, blob.f.Name(), diffID); err != nil {
		return layer{}, err
	}
	_, err = blob.commit()
	return l, err
}

// inspect reads a foreign layer: its tar must have the diff id that the image claims; its tree is remembered.
func (j *job) inspect(ctx context.Context, file, diffID string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	r, err := decompressed(f)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	t, err := readTree(io.TeeReader(cancellable{ctx, r}, h))
	if err != nil {
		return fmt.Errorf("layer %s: %w", diffID, err)
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != diffID {
		return fmt.Errorf("the layer that should hold %s holds %s", diffID, got)
	}
	return j.store.remember(j.store.treePath(diffID), t)
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

// progress counts the bytes of a step and tells the watch now and then.
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
func (j *job) layoutBase(ctx context.Context, b plan.Base, where string) (base, error) {
	if j.opts.Workspace == nil {
		return base{}, fmt.Errorf("there is no workspace to take %s from", b.Ref)
	}
	dir, tag, _ := strings.Cut(where, ":")
	l := workspaceLayout{j.opts.Workspace, dir}
	desc, err := l.find(tag, j.img.Platform)
	if err != nil {
		return base{}, diag.Errorf(b.Pos, diag.Build, "%s: %w", b.Ref, err)
	}
	k := newKey("layout 1").str(desc.Digest.String()).str(j.img.Platform)
	made, err := made(ctx, j, "bases", k, j.store.hasBase, func() (base, error) {
		j.step("import " + b.Ref)
		img, err := partial.CompressedToImage(&layoutImage{l, *desc})
		if err != nil {
			return base{}, err
		}
		return j.importImage(ctx, b, img)
	})
	made.Name = b.Ref
	return made, err
}

// workspaceLayout reads an OCI image layout without leaving the workspace.
type workspaceLayout struct {
	root *os.Root
	dir  string
}

// maxJSON bounds manifests and configurations, in bytes.
const maxJSON = 16 << 20

func (l workspaceLayout) json(name string) ([]byte, error) {
	f, err := l.root.Open(path.Join(l.dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err == nil && len(data) > maxJSON {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxJSON)
	}
	return data, err
}

// blob reads a small blob and checks it against its digest.
func (l workspaceLayout) blob(h v1.Hash) ([]byte, error) {
	data, err := l.json(blobName(h))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); h.Algorithm != "sha256" || hex.EncodeToString(sum[:]) != h.Hex {
		return nil, fmt.Errorf("blob %s has another content", h)
	}
	return data, nil
}

func blobName(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }

// find returns the manifest with a tag, or the only one, for a platform.
func (l workspaceLayout) find(tag, platform string) (*v1.Descriptor, error) {
	data, err := l.json("index.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no OCI image layout: it has no index.json", l.dir)
	}
	if err != nil {
		return nil, err
	}
	want, err := v1.ParsePlatform(platform)
	if err != nil {
		return nil, err
	}
	for depth := 0; depth < 4; depth++ {
		var index v1.IndexManifest
		if err := json.Unmarshal(data, &index); err != nil {
			return nil, err
		}
		desc, err := choose(index.Manifests, tag, want)
		if err != nil {
			return nil, err
		}
		if desc.MediaType.IsImage() {
			return desc, nil
		}
		if !desc.MediaType.IsIndex() {
			return nil, fmt.Errorf("%s is of type %s, neither an image nor an index", desc.Digest, desc.MediaType)
		}
		if data, err = l.blob(desc.Digest); err != nil {
			return nil, err
		}
		tag = ""
	}
	return nil, errors.New("indices nest too deeply")
}

// choose picks the manifest of a tag and a platform.
func choose(all []v1.Descriptor, tag string, want *v1.Platform) (*v1.Descriptor, error) {
	var found []v1.Descriptor
	var tags []string
	for _, d := range all {
		tags = append(tags, d.Annotations[refName])
		if tag != "" && d.Annotations[refName] != tag {
			continue
		}
		if d.Platform == nil || (d.Platform.OS == want.OS && d.Platform.Architecture == want.Architecture) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("it has no image for %s and the tag %q; its tags are %s", want, tag, strings.Join(tags, ", "))
	case 1:
		return &found[0], nil
	}
	return nil, fmt.Errorf("it has several images; add one of the tags %s as oci:DIR:TAG", strings.Join(tags, ", "))
}

// layoutImage is an image of a workspaceLayout.
type layoutImage struct {
	l    workspaceLayout
	desc v1.Descriptor
}

var _ partial.CompressedImageCore = (*layoutImage)(nil)

// MediaType implements [partial.CompressedImageCore].
func (i *layoutImage) MediaType() (types.MediaType, error) { return i.desc.MediaType, nil }

// RawManifest implements [partial.CompressedImageCore].
func (i *layoutImage) RawManifest() ([]byte, error) { return i.l.blob(i.desc.Digest) }

// RawConfigFile implements [partial.CompressedImageCore].
func (i *layoutImage) RawConfigFile() ([]byte, error) {
	m, err := partial.Manifest(i)
	if err != nil {
		return nil, err
	}
	return i.l.blob(m.Config.Digest)
}

// LayerByDigest implements [partial.CompressedImageCore].
func (i *layoutImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	m, err := partial.Manifest(i)
	if err != nil {
		return nil, err
	}
	for _, d := range append(m.Layers, m.Config) {
		if d.Digest == h {
			return &layoutLayer{i.l, d}, nil
		}
	}
	return nil, fmt.Errorf("no layer %s", h)
}

// layoutLayer is a layer of a workspaceLayout; importLayer checks its digest.
type layoutLayer struct {
	l    workspaceLayout
	desc v1.Descriptor
}

// Digest implements [partial.CompressedLayer].
func (l *layoutLayer) Digest() (v1.Hash, error) { return l.desc.Digest, nil }

// Size implements [partial.CompressedLayer].
func (l *layoutLayer) Size() (int64, error) { return l.desc.Size, nil }

// MediaType implements [partial.CompressedLayer].
func (l *layoutLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }

// Compressed implements [partial.CompressedLayer].
func (l *layoutLayer) Compressed() (io.ReadCloser, error) {
	return l.l.root.Open(path.Join(l.l.dir, blobName(l.desc.Digest)))
}
