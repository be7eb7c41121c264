package oci

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"maps"
	"testing"
)

// TestBytes: names that aren't UTF-8 keep their bytes, in a layer and in its tree.
func TestBytes(t *testing.T) {
	l := newLayout(t)
	layer, err := l.WriteLayer(t.Context(), func(w *LayerWriter) error {
		for _, h := range []*tar.Header{
			{Typeflag: tar.TypeDir, Name: "caf\xe9", Mode: 0o711}, {Typeflag: tar.TypeDir, Name: "caf\xe8", Mode: 0o700},
			{Typeflag: tar.TypeSymlink, Name: "to", Linkname: "caf\xe9"}, {Typeflag: tar.TypeDir, Name: "\ufffd", Mode: 0o755},
		} {
			if err := w.Add(h, nil); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
	f, err := l.Forest([]Layer{layer})
	must(t, err)
	for name, mode := range map[string]int64{"caf\xe9": 0o711, "caf\xe8": 0o700, "\ufffd": 0o755} {
		if d, ok := f.Dir(name); !ok || d.Mode != mode {
			t.Errorf("%q: %v, %v", name, d, ok)
		}
	}
	if to, err := f.Resolve("/to/x"); err != nil || to != "caf\xe9/x" {
		t.Errorf("link: %q, %v", to, err)
	}
}

// TestTreeOrder: of entries with one name the last counts, and whiteouts mean lower layers only.
func TestTreeOrder(t *testing.T) {
	note := func(headers ...*tar.Header) *tree {
		n := newTree()
		for _, h := range headers {
			n.note(h)
		}
		return n
	}
	dir := func(name string) *tar.Header { return &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755} }
	link := func(name, to string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
	}
	lower := note(dir("d"), dir("e"), dir("e/f"), link("l", "d"))
	f := Forest{lower, note(dir("a"), link("a", "d"), link("b", "d"), dir("b"), dir("d"), &tar.Header{Name: ".wh.d"}, &tar.Header{Name: ".wh..wh..opq"})}
	for name, want := range map[string]string{"/a/x": "d/x", "/b/x": "b/x", "/d/x": "d/x", "/l/x": "l/x"} {
		if got, err := f.Resolve(name); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]bool{"a": false, "b": true, "d": true, "e": false, "e/f": false} {
		if _, ok := f.Dir(name); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

// FuzzTree: any tar has a tree or an error, and a tree comes back from JSON as it was.
func FuzzTree(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{{Typeflag: tar.TypeDir, Name: "a\xff/"}, {Typeflag: tar.TypeSymlink, Name: "//6162", Linkname: "\xfe"}, {Name: "a/.wh.b"}, {Name: ".wh..wh..opq"}} {
		must(f, w.WriteHeader(h))
	}
	must(f, w.Close())
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := readTree(bytes.NewReader(data))
		if err != nil {
			return
		}
		text, err := json.Marshal(n)
		must(t, err)
		back := newTree()
		must(t, json.Unmarshal(text, back))
		if !maps.Equal(n.Dirs, back.Dirs) || !maps.Equal(n.Links, back.Links) || !maps.Equal(n.Gone, back.Gone) || !maps.Equal(n.Opaque, back.Opaque) {
			t.Errorf("%s\n%+v\n%+v", text, n, back)
		}
		for name := range n.Links {
			_, _ = Forest{n, n}.Resolve(name) // it ends
		}
	})
}
