package oci

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flytestar/flytestar/plan"
)

// PutImage writes an image of layers, bottom first, and returns its manifest's descriptor and all
// its blobs. It fills in the configuration's diff ids. List makes the image known to other tools.
func (l *Layout) PutImage(cfg v1.ConfigFile, layers []Layer) (v1.Descriptor, []Blob, error) {
	cfg.RootFS = v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	var blobs []Blob
	for _, layer := range layers {
		diff, err := v1.NewHash(string(layer.DiffID))
		if err != nil {
			return v1.Descriptor{}, nil, err
		}
		digest, err := v1.NewHash(string(layer.Digest))
		if err != nil {
			return v1.Descriptor{}, nil, err
		}
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, diff)
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: layer.MediaType, Digest: digest, Size: layer.Size})
		blobs = append(blobs, layer.Blob())
	}
	config, err := l.putJSON(types.OCIConfigJSON, cfg)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	m.Config = config
	manifest, err := l.putJSON(types.OCIManifestSchema1, m)
	manifest.Platform = &v1.Platform{OS: cfg.OS, Architecture: cfg.Architecture, Variant: cfg.Variant}
	return manifest, append(blobs, Blob{digestOf(config.Digest), config.Size}, Blob{digestOf(manifest.Digest), manifest.Size}), err
}

// putJSON writes v as a blob.
func (l *Layout) putJSON(mediaType types.MediaType, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	blob, err := l.putBlob(data)
	if err != nil {
		return v1.Descriptor{}, err
	}
	h, err := v1.NewHash(string(blob.Digest))
	return v1.Descriptor{MediaType: mediaType, Digest: h, Size: blob.Size}, err
}

// ImportManifest writes the manifest and the configuration of an image whose layers are here, byte
// for byte. It returns the manifest's descriptor and the two blobs.
func (l *Layout) ImportManifest(img v1.Image) (v1.Descriptor, []Blob, error) {
	manifest, err := img.RawManifest()
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	configBlob, err := l.putBlob(config)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	blob, err := l.putBlob(manifest)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	digest, err := v1.NewHash(string(blob.Digest))
	mediaType := m.MediaType
	if mediaType == "" {
		mediaType = types.OCIManifestSchema1
	}
	desc := v1.Descriptor{MediaType: mediaType, Digest: digest, Size: blob.Size, Platform: cfg.Platform()}
	return desc, []Blob{configBlob, blob}, err
}

// Image returns the image with a manifest digest, to be pushed or exported. It reads no layer
// before that is asked for. If there is no such image, the error matches fs.ErrNotExist.
func (l *Layout) Image(digest plan.Digest) (v1.Image, error) {
	h, err := v1.NewHash(string(digest))
	if err != nil {
		return nil, err
	}
	data, err := l.blob(h)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	mediaType := m.MediaType
	if mediaType == "" {
		mediaType = types.OCIManifestSchema1
	}
	return partial.CompressedToImage(&stored{l, v1.Descriptor{MediaType: mediaType, Digest: h, Size: int64(len(data))}})
}

// Manifest reads an image's manifest and the configuration that it names. If there is no such
// image, the error matches fs.ErrNotExist.
func (l *Layout) Manifest(digest plan.Digest) (*v1.Manifest, *v1.ConfigFile, error) {
	h, err := v1.NewHash(string(digest))
	if err != nil {
		return nil, nil, err
	}
	var m v1.Manifest
	var cfg v1.ConfigFile
	data, err := l.blob(h)
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil {
		data, err = l.blob(m.Config.Digest)
	}
	if err == nil {
		err = json.Unmarshal(data, &cfg)
	}
	if err == nil && len(m.Layers) != len(cfg.RootFS.DiffIDs) {
		err = fmt.Errorf("%d layers, but %d diff ids", len(m.Layers), len(cfg.RootFS.DiffIDs))
	}
	return &m, &cfg, err
}

// Layers returns an image's layers, bottom first. m and cfg are what Manifest returned.
func Layers(m *v1.Manifest, cfg *v1.ConfigFile) []Layer {
	out := make([]Layer, len(m.Layers))
	for i, d := range m.Layers {
		out[i] = Layer{Digest: digestOf(d.Digest), DiffID: digestOf(cfg.RootFS.DiffIDs[i]), Size: d.Size, MediaType: d.MediaType}
	}
	return out
}

// digestOf returns a hash of the registry library as a digest.
func digestOf(h v1.Hash) plan.Digest { return plan.Digest(h.String()) }

func (l *Layout) blob(h v1.Hash) ([]byte, error) {
	path := l.blobPath(digestOf(h))
	data, err := os.ReadFile(path)
	if err == nil && plan.DigestOf(data) != digestOf(h) {
		err = damaged(path)
	}
	return data, err
}

func (l *Layout) open(h v1.Hash) (io.ReadCloser, error) { return os.Open(l.blobPath(digestOf(h))) }

// blobs gives a stored image its blobs.
type blobs interface {
	blob(v1.Hash) ([]byte, error)        // reads a small blob
	open(v1.Hash) (io.ReadCloser, error) // opens any
}

// stored is an image of a layout.
type stored struct {
	blobs
	desc v1.Descriptor // of the manifest
}

var _ partial.CompressedImageCore = (*stored)(nil)

// MediaType implements [partial.CompressedImageCore].
func (s *stored) MediaType() (types.MediaType, error) { return s.desc.MediaType, nil }

// RawManifest implements [partial.CompressedImageCore].
func (s *stored) RawManifest() ([]byte, error) { return s.blob(s.desc.Digest) }

// RawConfigFile implements [partial.CompressedImageCore].
func (s *stored) RawConfigFile() ([]byte, error) {
	m, err := partial.Manifest(s)
	if err != nil {
		return nil, err
	}
	return s.blob(m.Config.Digest)
}

// LayerByDigest implements [partial.CompressedImageCore].
func (s *stored) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	m, err := partial.Manifest(s)
	if err != nil {
		return nil, err
	}
	for _, d := range append(m.Layers, m.Config) {
		if d.Digest == h {
			return &storedLayer{s.blobs, d}, nil
		}
	}
	return nil, fmt.Errorf("no layer %s", h)
}

// storedLayer is a layer of a stored image. It isn't checked: [Layout.ImportLayer] does that.
type storedLayer struct {
	from blobs
	desc v1.Descriptor
}

var _ partial.CompressedLayer = (*storedLayer)(nil)

// Digest implements [partial.CompressedLayer].
func (l *storedLayer) Digest() (v1.Hash, error) { return l.desc.Digest, nil }

// Size implements [partial.CompressedLayer].
func (l *storedLayer) Size() (int64, error) { return l.desc.Size, nil }

// MediaType implements [partial.CompressedLayer].
func (l *storedLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }

// Compressed implements [partial.CompressedLayer].
func (l *storedLayer) Compressed() (io.ReadCloser, error) { return l.from.open(l.desc.Digest) }
