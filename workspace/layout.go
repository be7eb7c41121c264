package workspace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

// LayoutIndex is the file that lists the images of an OCI layout. All else in the layout is named
// there by digest.
const LayoutIndex = "index.json"

// Bounds of a layout.
const (
	maxLayoutJSON = 16 << 20 // bytes of an index, a manifest or a configuration
	maxIndices    = 4        // that lead to one another
)

// refName is the annotation that has a manifest's tag.
const refName = "org.opencontainers.image.ref.name"

// Descriptor names a blob of a layout.
type Descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      plan.Digest       `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
	Platform    *layoutPlatform   `json:"platform"`
}

type layoutPlatform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

// layout is an OCI image layout in a directory of the workspace.
type layout struct {
	files fs.FS
	dir   string
}

// FindLayout returns the manifest of the layout in dir that has a tag and is for a platform
// ("linux/amd64"). Without a tag there must be only one for the platform. Everything that the
// manifest names is looked at: indices, manifest and configuration have the content that their
// digests say, layers their size. The content of layers isn't read.
func FindLayout(files fs.FS, dir, tag, platform string) (*Descriptor, error) {
	l := layout{files, dir}
	data, err := l.json(LayoutIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no %s: it is no OCI image layout", dir, LayoutIndex)
	}
	if err != nil {
		return nil, err
	}
	for range maxIndices {
		var index struct{ Manifests []Descriptor }
		if err := json.Unmarshal(data, &index); err != nil {
			return nil, fmt.Errorf("%s has a damaged index: %w", dir, err)
		}
		desc, err := choose(index.Manifests, tag, platform)
		if err != nil {
			return nil, err
		}
		if !isIndex(desc.MediaType) {
			return desc, l.image(desc, platform)
		}
		if data, err = l.blob(desc); err != nil {
			return nil, err
		}
		tag = ""
	}
	return nil, errors.New("indices nest too deeply")
}

func isIndex(mediaType string) bool {
	return mediaType == "application/vnd.oci.image.index.v1+json" || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}

func isImage(mediaType string) bool {
	return mediaType == "application/vnd.oci.image.manifest.v1+json" || mediaType == "application/vnd.docker.distribution.manifest.v2+json"
}

// choose picks the manifest of a tag and a platform.
func choose(all []Descriptor, tag, platform string) (*Descriptor, error) {
	var found []*Descriptor
	var tags []string
	for i := range all {
		d := &all[i]
		name := d.Annotations[refName]
		if name != "" && !slices.Contains(tags, name) {
			tags = append(tags, name)
		}
		if (tag == "" || name == tag) && (d.Platform == nil || sameMachine(d.Platform, platform)) {
			found = append(found, d)
		}
	}
	few := strings.Join(tags[:min(len(tags), 20)], ", ")
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, fmt.Errorf("it has several images; add one of the tags %s as oci:DIR:TAG", few)
	case tag == "":
		return nil, fmt.Errorf("it has no image for %s", platform)
	}
	return nil, fmt.Errorf("it has no image for %s with the tag %q; its tags are %s", platform, tag, few)
}

// sameMachine reports whether what is for p is for platform, variants aside.
func sameMachine(p *layoutPlatform, platform string) bool {
	parts := strings.Split(platform, "/")
	return len(parts) > 1 && p.OS == parts[0] && p.Architecture == parts[1]
}

// image checks what a manifest names.
func (l layout) image(desc *Descriptor, platform string) error {
	if !isImage(desc.MediaType) {
		return fmt.Errorf("%s is of type %q, neither an image nor an index", desc.Digest, desc.MediaType)
	}
	data, err := l.blob(desc)
	if err != nil {
		return err
	}
	var manifest struct {
		Config Descriptor
		Layers []Descriptor
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return fmt.Errorf("manifest %s is damaged: %w", desc.Digest, err)
	}
	if data, err = l.blob(&manifest.Config); err != nil {
		return err
	}
	var config struct {
		layoutPlatform
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return fmt.Errorf("configuration %s is damaged: %w", manifest.Config.Digest, err)
	}
	if !sameMachine(&config.layoutPlatform, platform) {
		return fmt.Errorf("the image is for %s/%s, not for %s", config.OS, config.Architecture, platform)
	}
	if n := len(config.RootFS.DiffIDs); n != len(manifest.Layers) {
		return fmt.Errorf("the image has %d layers, but %d diff ids", len(manifest.Layers), n)
	}
	for i := range manifest.Layers {
		if err := l.there(&manifest.Layers[i]); err != nil {
			return err
		}
	}
	return nil
}

// json reads a small file of the layout.
func (l layout) json(name string) ([]byte, error) {
	data, err := ReadFile(l.files, path.Join(l.dir, name), maxLayoutJSON)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path.Join(l.dir, name), err)
	}
	return data, nil
}

// blob reads a small blob and compares it with its digest.
func (l layout) blob(d *Descriptor) ([]byte, error) {
	name, err := blobName(d)
	if err != nil {
		return nil, err
	}
	data, err := l.json(name)
	if err != nil {
		return nil, err
	}
	if plan.DigestOf(data) != d.Digest {
		return nil, fmt.Errorf("%s has another content than its name says", path.Join(l.dir, name))
	}
	return data, nil
}

// there returns an error unless a blob can be opened and has its size.
func (l layout) there(d *Descriptor) error {
	name, err := blobName(d)
	if err != nil {
		return err
	}
	name = path.Join(l.dir, name)
	if err := readable(l.files, name); err != nil {
		return err
	}
	info, err := fs.Stat(l.files, name)
	if err == nil && info.Size() != d.Size {
		err = fmt.Errorf("%s has %d bytes, not %d", name, info.Size(), d.Size)
	}
	return err
}

// blobName returns a blob's path in its layout.
func blobName(d *Descriptor) (string, error) {
	if !d.Digest.Valid() {
		return "", fmt.Errorf("%q isn't a digest by SHA-256", d.Digest)
	}
	return path.Join("blobs", "sha256", d.Digest.Hex()), nil
}
