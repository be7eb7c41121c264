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
		l.fillPlatforms(index.Manifests)
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

// maxAsked bounds how many images of an index are read to find out what they are for.
const maxAsked = 64

// fillPlatforms adds the platforms that an index of several images doesn't say. Errors are left to
// whoever reads the image that is chosen.
func (l layout) fillPlatforms(all []Descriptor) {
	if len(all) < 2 {
		return
	}
	for i := range all[:min(len(all), maxAsked)] {
		d := &all[i]
		if d.Platform != nil || !isImage(d.MediaType) {
			continue
		}
		var manifest struct{ Config Descriptor }
		var config layoutPlatform
		data, err := l.blob(d)
		if err == nil && json.Unmarshal(data, &manifest) == nil {
			data, err = l.blob(&manifest.Config)
		}
		if err == nil && json.Unmarshal(data, &config) == nil && config.OS != "" {
			d.Platform = &config
		}
	}
}

// choose picks the manifest of a tag and a platform.
func choose(all []Descriptor, tag, platform string) (*Descriptor, error) {
	var found []*Descriptor
	var tags, platforms []string
	for i := range all {
		d := &all[i]
		if name := d.Annotations[refName]; name != "" && !slices.Contains(tags, name) {
			tags = append(tags, name)
		}
		if tag != "" && d.Annotations[refName] != tag {
			continue
		}
		if d.Platform == nil || sameMachine(d.Platform, platform) {
			found = append(found, d)
		} else {
			platforms = append(platforms, d.Platform.OS+"/"+d.Platform.Architecture)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1 && len(tags) == 0:
		return nil, fmt.Errorf("it has several images for %s, and no tags that tell them apart", platform)
	case len(found) > 1:
		return nil, fmt.Errorf("it has several images; add one of the tags %s as oci:DIR:TAG", few(tags))
	case tag != "" && !slices.Contains(tags, tag):
		return nil, fmt.Errorf("it has no image for %s with the tag %q; its tags are %s", platform, tag, few(tags))
	}
	return nil, &PlatformError{Want: platform, There: platforms}
}

func few(list []string) string { return strings.Join(list[:min(len(list), 20)], ", ") }

// PlatformError says for which platforms there is an image, where there is none for the one that is
// wanted.
type PlatformError struct {
	Want  string
	There []string
}

// Error implements error.
func (e *PlatformError) Error() string {
	var there []string
	for _, p := range e.There {
		if p != "unknown/unknown" && !slices.Contains(there, p) { // attestations have that
			there = append(there, p)
		}
	}
	if len(there) == 0 {
		return "it has no image for " + e.Want
	}
	return "it has no image for " + e.Want + ", only for " + few(there)
}

// layerTypes are the media types of layers that can be used.
var layerTypes = []string{
	"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.docker.image.rootfs.diff.tar.zstd",
}

// configTypes are the media types of an image's configuration.
var configTypes = []string{"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}

// CheckTypes refuses what isn't an image of containers, by the media types of its configuration and
// of its layers.
func CheckTypes(config string, layers []string) error {
	if !slices.Contains(configTypes, config) {
		return fmt.Errorf("it is no image of containers: its configuration is of type %q", config)
	}
	for i, layer := range layers {
		switch {
		case slices.Contains(layerTypes, layer):
		case strings.Contains(layer, "nondistributable") || strings.Contains(layer, ".foreign."):
			return fmt.Errorf("layer %d of %d may not be distributed: its type is %q, and flytestar doesn't fetch such layers from elsewhere", i+1, len(layers), layer)
		default:
			return fmt.Errorf("layer %d of %d is of type %q, which can't be unpacked", i+1, len(layers), layer)
		}
	}
	return nil
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
	types := make([]string, len(manifest.Layers))
	for i, d := range manifest.Layers {
		types[i] = d.MediaType
	}
	if err := CheckTypes(manifest.Config.MediaType, types); err != nil {
		return err
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
		return &PlatformError{Want: platform, There: []string{config.OS + "/" + config.Architecture}}
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
