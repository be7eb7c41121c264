package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// Source reads a layout that somebody else made. It reads only below Root, and checks small blobs
// against their digests. ImportLayer checks layers.
type Source struct {
	Root *os.Root
	Dir  string // path of the layout in Root
}

// maxJSON bounds manifests and configurations, in bytes.
const maxJSON = 16 << 20

func (s Source) json(name string) ([]byte, error) {
	f, err := s.Root.Open(path.Join(s.Dir, name))
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
func (s Source) blob(h v1.Hash) ([]byte, error) {
	data, err := s.json(blobName(h))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); h.Algorithm != "sha256" || hex.EncodeToString(sum[:]) != h.Hex {
		return nil, fmt.Errorf("blob %s has another content", h)
	}
	return data, nil
}

func (s Source) open(h v1.Hash) (io.ReadCloser, error) {
	return s.Root.Open(path.Join(s.Dir, blobName(h)))
}

func blobName(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }

// Image returns the image of a manifest that Find found.
func (s Source) Image(desc v1.Descriptor) (v1.Image, error) {
	return partial.CompressedToImage(&stored{s, desc})
}

// Find returns the manifest for a platform that has a tag. Without a tag, it is the only one.
func (s Source) Find(tag, platform string) (*v1.Descriptor, error) {
	data, err := s.json("index.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s isn't an OCI image layout: it has no index.json", s.Dir)
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
		if data, err = s.blob(desc.Digest); err != nil {
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
