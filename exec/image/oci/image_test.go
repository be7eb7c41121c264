package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/plan"
)

func newLayout(t testing.TB) *Layout {
	t.Helper()
	home := t.TempDir()
	scratch, err := durable.OpenScratch(filepath.Join(home, "tmp"))
	must(t, err)
	t.Cleanup(func() { must(t, scratch.Close()) })
	l := &Layout{Dir: filepath.Join(home, "images"), Trees: filepath.Join(home, "trees"), Scratch: scratch, Lock: filepath.Join(home, "lock")}
	must(t, l.Init())
	return l
}

// written is a layer of files by name.
func written(t testing.TB, l *Layout, files ...string) Layer {
	t.Helper()
	layer, err := l.WriteLayer(t.Context(), func(w *LayerWriter) error {
		for _, name := range files {
			if err := w.AddParents(name); err != nil {
				return err
			}
			hdr := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(name)), ModTime: FileTime}
			if err := w.Add(hdr, strings.NewReader(name)); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
	return layer
}

// TestImage writes an image and reads it back: by digest, from a registry that it was pushed to,
// and with another program's reader of layouts.
func TestImage(t *testing.T) {
	l := newLayout(t)
	layers := []Layer{written(t, l, "usr/bin/tool"), written(t, l, "etc/conf", "etc/other")}
	desc, blobs, err := l.PutImage(v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: v1.Config{Env: []string{"A=1"}}}, layers)
	must(t, err)
	must(t, l.List(t.Context(), "mine", desc))
	for _, b := range blobs {
		if !l.HasBlob(b) {
			t.Errorf("blob %s isn't there", b.Digest)
		}
	}
	if len(blobs) != 4 {
		t.Errorf("%d blobs", len(blobs))
	}

	img, err := l.Image(plan.Digest(desc.Digest.String()))
	must(t, err)
	must(t, validate.Image(img))
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(srv.URL, "http://") + "/mine:1")
	must(t, err)
	must(t, remote.Write(ref, img))
	pulled, err := remote.Image(ref)
	must(t, err)
	must(t, validate.Image(pulled))

	path, err := layout.FromPath(l.Dir)
	must(t, err)
	listed, err := path.Image(desc.Digest)
	must(t, err)
	for name, other := range map[string]v1.Image{"pulled": pulled, "listed": listed} {
		if d, err := other.Digest(); d != desc.Digest || err != nil {
			t.Errorf("%s: %s, %v, want %s", name, d, err, desc.Digest)
		}
	}

	m, cfg, err := l.Manifest(plan.Digest(desc.Digest.String()))
	must(t, err)
	if got := Layers(m, cfg); len(got) != 2 || got[0] != layers[0] || got[1] != layers[1] {
		t.Errorf("layers %+v, want %+v", got, layers)
	}
	if cfg.Config.Env[0] != "A=1" || cfg.OS != "linux" {
		t.Errorf("configuration %+v", cfg)
	}
}

func TestUnknownImage(t *testing.T) {
	l := newLayout(t)
	none := "sha256:" + strings.Repeat("0", 64)
	_, err := l.Image(plan.Digest(none))
	_, _, err2 := l.Manifest(plan.Digest(none))
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err2, fs.ErrNotExist) {
		t.Errorf("got %v and %v", err, err2)
	}
	for _, bad := range []string{"", "../../etc/passwd", "sha256:..", "md5:" + strings.Repeat("0", 32)} {
		if _, err := l.Image(plan.Digest(bad)); err == nil {
			t.Errorf("%q is taken for a digest", bad)
		}
		if _, _, err := l.Manifest(plan.Digest(bad)); err == nil {
			t.Errorf("%q is taken for a digest", bad)
		}
	}
}

// TestImport copies an image of another layout, and refuses one whose layer isn't what it claims.
func TestImport(t *testing.T) {
	img, err := random.Image(50_000, 2)
	must(t, err)
	dir := t.TempDir()
	p, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
		Annotations: map[string]string{refName: "v1"}, Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}}))
	must(t, err)
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	want, err := img.Digest()
	must(t, err)
	found, err := Source{Root: root, Dir: "."}.Image(v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: want})
	must(t, err)

	l := newLayout(t)
	var progress bytes.Buffer
	layers, err := importLayers(t, l, found, &progress)
	must(t, err)
	got, _, err := l.ImportManifest(found)
	must(t, err)
	if got.Digest != want {
		t.Errorf("imported %s as %s", want, got.Digest)
	}
	copied, err := l.Image(plan.Digest(got.Digest.String()))
	must(t, err)
	must(t, validate.Image(copied))
	if all := layers[0].Size + layers[1].Size; int64(progress.Len()) != all {
		t.Errorf("progress of %d bytes, want %d", progress.Len(), all)
	}
	progress.Reset()
	if _, err := importLayers(t, l, found, &progress); err != nil || progress.Len() > 0 {
		t.Errorf("the second time: %d bytes read, %v", progress.Len(), err)
	}

	h, err := img.Layers()
	must(t, err)
	digest, err := h[1].Digest()
	must(t, err)
	blob := filepath.Join(string(p), "blobs", "sha256", digest.Hex)
	data, err := os.ReadFile(blob)
	must(t, err)
	data[len(data)/2] ^= 1
	must(t, os.WriteFile(blob, data, 0o644))
	damaged := newLayout(t)
	if _, err := importLayers(t, damaged, found, io.Discard); err == nil || !strings.Contains(err.Error(), "has the content of") {
		t.Errorf("a damaged layer: %v", err)
	}
	if _, err := os.Stat(damaged.blobPath(plan.Digest(digest.String()))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the damaged blob: %v", err)
	}
	if left, err := os.ReadDir(damaged.Scratch.Path()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func importLayers(t *testing.T, l *Layout, img v1.Image, progress io.Writer) ([]Layer, error) {
	t.Helper()
	cfg, err := img.ConfigFile()
	must(t, err)
	in, err := img.Layers()
	must(t, err)
	var out []Layer
	for i, layer := range in {
		got, err := l.ImportLayer(t.Context(), layer, plan.Digest(cfg.RootFS.DiffIDs[i].String()), progress)
		if err != nil {
			return nil, err
		}
		out = append(out, got)
	}
	return out, nil
}

// TestImportTar keeps a tar byte for byte, also what follows its end.
func TestImportTar(t *testing.T) {
	l := newLayout(t)
	var tarball bytes.Buffer
	w := tar.NewWriter(&tarball)
	must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "./opt/", Mode: 0o711, Uid: 5}))
	must(t, w.Close())
	tarball.Write(make([]byte, 10240))
	layer, err := l.ImportTar(t.Context(), bytes.NewReader(tarball.Bytes()))
	must(t, err)
	r, err := l.Open([]Layer{layer})[0].Uncompressed()
	must(t, err)
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, tarball.Bytes()) {
		t.Errorf("%d bytes of %d, %v", len(got), tarball.Len(), err)
	}
	f, err := l.Forest([]Layer{layer})
	must(t, err)
	if d, ok := f.Dir("opt"); !ok || d != (DirEntry{Mode: 0o711, UID: 5}) {
		t.Errorf("opt is %+v, %v", d, ok)
	}
}

func TestLayerWriterRefuses(t *testing.T) {
	for name, paths := range map[string][]string{
		"twice": {"a", "a"}, "upwards": {"../a"}, "absolute": {"/a"}, "the root": {"."}, "unclean": {"a//b"},
	} {
		l := newLayout(t)
		_, err := l.WriteLayer(t.Context(), func(w *LayerWriter) error {
			for _, p := range paths {
				if err := w.Add(&tar.Header{Typeflag: tar.TypeReg, Name: p}, nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if left, _ := filepath.Glob(filepath.Join(l.Dir, "blobs", "sha256", "*")); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}
