package ociref

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0", 64)
	for ref, want := range map[string]struct{ name, layout, tag, digest string }{
		"python":                           {name: "index.docker.io/library/python:latest"},
		"python:3.12-slim":                 {name: "index.docker.io/library/python:3.12-slim", tag: "3.12-slim"},
		"registry.example:5000/a/b":        {name: "registry.example:5000/a/b:latest"},
		"registry.example:5000/a/b:1":      {name: "registry.example:5000/a/b:1", tag: "1"},
		"registry.example/a/b@" + digest:   {name: "registry.example/a/b@" + digest, digest: digest},
		"registry.example/a/b:1@" + digest: {name: "registry.example/a/b@" + digest, tag: "1", digest: digest},
		"oci:base":                         {layout: "base"},
		"oci:some/base:v1":                 {layout: "some/base", tag: "v1"},
		"oci:base:":                        {layout: "base"},
	} {
		got, err := Parse(ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		name := ""
		if got.Registry != nil {
			name = got.Registry.Name()
		}
		if name != want.name || got.Layout != want.layout || got.Tag != want.tag || got.Digest != want.digest {
			t.Errorf("%s is %+v, %s, want %+v", ref, got, name, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for ref, want := range map[string]string{
		"": "repository", "BB:x": "repository can only contain", "@sha256:abc": "checksum", "@sha256:" + strings.Repeat("0", 64): "repository", "python@sha256:abc": "checksum", "python:": "tag",
		"a b": "repository", "python:3 12": "tag", "registry.example/": "repository", "reg istry.example/a/b": "reg",
		"oci:": "no directory", "oci::v1": "no directory", "python@": "digest", "python\n": "repository",
	} {
		if got, err := Parse(ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", ref, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, ref := range []string{"a/b:1", "oci:a:b", "a@sha256:", ":", "@", "h:1/a"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		got, err := Parse(ref)
		if err == nil && (got.Registry == nil) == (got.Layout == "") {
			t.Errorf("%q is %+v", ref, got)
		}
		if dir, tag, ok := CutLayout(ref); ok && tag != "" && FromLayout(dir, tag) != ref {
			t.Errorf("%q is written %q", ref, FromLayout(dir, tag))
		}
	})
}
