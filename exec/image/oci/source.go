package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"

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

// Image returns the image with a manifest.
func (s Source) Image(desc v1.Descriptor) (v1.Image, error) {
	return partial.CompressedToImage(&stored{s, desc})
}
