package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/exec/sandbox/sandboxtest"
	"github.com/flytestar/flytestar/plan"
)

// layeredBase writes an image of tars, bottom first, to a layout of the workspace.
func layeredBase(t *testing.T, b *Builder, dir string, tars ...[]byte) {
	t.Helper()
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64"})
	must(t, err)
	for _, data := range tars {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		must(t, err)
		img, err = mutate.AppendLayers(img, l)
		must(t, err)
	}
	p, err := layout.Write(filepath.Join(b.opts.Workspace.Name(), dir), empty.Index)
	must(t, err)
	must(t, p.AppendImage(img))
}

func tarOf(t *testing.T, list ...*tar.Header) []byte {
	t.Helper()
	data, err := io.ReadAll(entries(t, list...))
	must(t, err)
	return data
}

// TestUnpackedAtImport: a base that can't be unpacked is an error of its image, and not of the tasks
// that run in it.
func TestUnpackedAtImport(t *testing.T) {
	b := newBuilder(t, nil)
	b.opts.Sandbox = sandboxtest.New(t, sandbox.Options{Home: string(b.store.home)})
	cut := tarOf(t, &tar.Header{Name: "f", Linkname: strings.Repeat("x", 2000)})
	for name, tt := range map[string]struct {
		tars [][]byte
		want string // "" if it can be unpacked
	}{
		"outside":   {[][]byte{tarOf(t, &tar.Header{Name: "../../x"})}, `entry "../../x": it is outside of the layer`},
		"hard":      {[][]byte{tarOf(t, &tar.Header{Name: "h", Typeflag: '1', Linkname: "none"})}, `hard link to "none": there is no such file`},
		"type":      {[][]byte{tarOf(t, &tar.Header{Name: "z", Typeflag: 'Z'})}, "its type is 'Z'"},
		"name":      {[][]byte{tarOf(t, &tar.Header{Name: strings.Repeat("n", 300)})}, "file name too long"},
		"cut":       {[][]byte{cut[:1024]}, "unexpected EOF"},
		"text":      {[][]byte{[]byte(strings.Repeat("no tar\n", 200))}, "invalid tar header"},
		"loop":      {[][]byte{tarOf(t, &tar.Header{Name: "a", Typeflag: '2', Linkname: "a"}, &tar.Header{Name: "a/x"})}, "too many links"},
		"below":     {[][]byte{tarOf(t, &tar.Header{Name: "f", Linkname: "1"}), tarOf(t, &tar.Header{Name: "f/x"})}, `"f" isn't a directory`},
		"lower":     {[][]byte{tarOf(t, &tar.Header{Name: "f", Linkname: "1"}), tarOf(t, &tar.Header{Name: "h", Typeflag: '1', Linkname: "f"})}, ""},
		"run":       {[][]byte{tarOf(t, &tar.Header{Name: "var/run", Typeflag: '2', Linkname: "/run"}, &tar.Header{Name: "var/run/x"})}, ""},
		"empty":     {[][]byte{tarOf(t), {}, tarOf(t), {}}, ""},
		"whiteouts": {[][]byte{tarOf(t, &tar.Header{Name: ".wh.a"}, &tar.Header{Name: "b/.wh..wh..opq"})}, ""},
		"bytes":     {[][]byte{tarOf(t, &tar.Header{Name: "caf\xe9", Typeflag: '5'}, &tar.Header{Name: "caf\xe9/l", Typeflag: '2', Linkname: "\xff"})}, ""},
	} {
		layeredBase(t, b, name, tt.tars...)
		_, err := b.Build(t.Context(), on("oci:"+name), nil)
		var e *diag.Error
		if tt.want == "" {
			must(t, err)
		} else if !errors.As(err, &e) || e.Class != diag.Build || e.Pos.Line != 9 || !strings.Contains(e.Msg, tt.want) {
			t.Errorf("%s: got %#v, want %q", name, err, tt.want)
		}
	}
	if left, err := os.ReadDir(b.store.scratch().Path()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestMaxLayers: a base of more layers than a container can have isn't even imported.
func TestMaxLayers(t *testing.T) {
	b := newBuilder(t, map[string]string{"a": "a"})
	layer := tarOf(t)
	tars := make([][]byte, 501)
	for i := range tars {
		tars[i] = layer
	}
	layeredBase(t, b, "many", tars...)
	layeredBase(t, b, "full", tars[:500]...)
	for _, img := range []string{"many", "full"} {
		_, err := b.Build(t.Context(), on("oci:"+img, plan.Step{Kind: plan.StepFile, Src: "a", Dst: "/a"}), nil)
		var e *diag.Error
		if !errors.As(err, &e) || e.Class != diag.Build || !strings.Contains(e.Msg, "501 layers, and an image can have 500") {
			t.Errorf("%s: %v", img, err)
		}
	}
}

// TestMendsDamage: a damaged blob is found when it is unpacked. Then it is gone, and the next build
// makes or imports it again.
func TestMendsDamage(t *testing.T) {
	b := newBuilder(t, map[string]string{"a": strings.Repeat("a", 5000)})
	b.opts.Sandbox = sandboxtest.New(t, sandbox.Options{Home: string(b.store.home)})
	layeredBase(t, b, "base", tarOf(t, &tar.Header{Name: "f", Linkname: strings.Repeat("f", 5000)}))
	img := on("oci:base", plan.Step{Kind: plan.StepFile, Src: "a", Dst: "/a"})
	digest, err := b.Build(t.Context(), img, nil)
	must(t, err)
	for layer := range 2 {
		made, err := b.Image(t.Context(), digest)
		must(t, err)
		m, cfg, err := b.store.layout.Manifest(digest)
		must(t, err)
		blob := filepath.Join(b.Layout(), "blobs", "sha256", oci.Layers(m, cfg)[layer].Digest.Hex())
		data, err := os.ReadFile(blob)
		must(t, err)
		data[len(data)-9] ^= 1
		must(t, os.WriteFile(blob, data, 0o644))
		must(t, os.RemoveAll(b.store.home.Layers()))
		must(t, os.MkdirAll(b.store.home.Layers(), 0o700))
		err = b.opts.Sandbox.Unpack(t.Context(), made.Layers)
		var e *diag.Error
		if !errors.As(err, &e) || e.Class != diag.System || !strings.Contains(e.Msg, blob+" was damaged") || !strings.Contains(e.Hint, "build or run again") {
			t.Errorf("layer %d: %#v", layer, err)
		}
		if st, err := b.State(t.Context(), img); err != nil || st.State == plan.ImageHit {
			t.Errorf("layer %d: state %s, %v", layer, st.State, err)
		}
		again, err := b.Build(t.Context(), img, nil)
		must(t, err)
		if again != digest {
			t.Errorf("layer %d: built %s, and then %s", layer, digest, again)
		}
		must(t, b.opts.Sandbox.Unpack(t.Context(), made.Layers))
	}
	manifest := filepath.Join(b.Layout(), "blobs", "sha256", digest.Hex())
	must(t, os.WriteFile(manifest, []byte("{}"), 0o644))
	if _, err := b.Image(t.Context(), digest); err == nil || !strings.Contains(err.Error(), "was damaged") {
		t.Errorf("manifest: %v", err)
	}
	again, err := b.Build(t.Context(), img, nil)
	must(t, err)
	if _, err := b.Image(t.Context(), again); err != nil || again != digest {
		t.Errorf("manifest: %s, %v", again, err)
	}
}
