// Package ociref parses what an image starts from: a reference to an image of a registry, or to an
// OCI image layout in the workspace. Nothing else in flytestar takes such references apart.
package ociref

import (
	"errors"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Ref names an image of a registry or of a layout.
type Ref struct {
	Registry name.Reference // nil for an image of a layout
	Layout   string         // directory of the layout: a path in the workspace, as written
	Tag      string         // as written: empty if there is none
	Digest   string         // "sha256:…", as written: empty if there is none
}

// layoutPrefix is what references to layouts begin with.
const layoutPrefix = "oci:"

// Form says what references look like, for hints.
const Form = `HOST/NAME:TAG, or "oci:DIR" for a layout in the workspace`

// Parse parses [HOST/]NAME[:TAG][@sha256:…] or oci:DIR[:TAG]. The error says what is wrong, but not
// with which reference.
func Parse(ref string) (Ref, error) {
	if dir, tag, ok := CutLayout(ref); ok {
		if dir == "" {
			return Ref{}, errors.New("it names no directory")
		}
		return Ref{Layout: dir, Tag: tag}, nil
	}
	named, digest, pinned := strings.Cut(ref, "@")
	var in name.Reference
	var err error
	if pinned {
		in, err = name.NewDigest(ref)
	} else {
		in, err = name.NewTag(ref)
	}
	if err != nil {
		return Ref{}, err
	}
	return Ref{Registry: in, Tag: tagOf(named), Digest: digest}, nil
}

// CutLayout splits oci:DIR[:TAG]; ok is false for references to registries.
func CutLayout(ref string) (dir, tag string, ok bool) {
	rest, ok := strings.CutPrefix(ref, layoutPrefix)
	if !ok {
		return "", "", false
	}
	dir, tag, _ = strings.Cut(rest, ":")
	return dir, tag, true
}

// FromLayout writes the reference that CutLayout splits.
func FromLayout(dir, tag string) string {
	if tag != "" {
		tag = ":" + tag
	}
	return layoutPrefix + dir + tag
}

// tagOf returns the tag of a reference without digest. A host's port isn't one.
func tagOf(ref string) string {
	_, tag, _ := strings.Cut(ref[strings.LastIndex(ref, "/")+1:], ":")
	return tag
}
