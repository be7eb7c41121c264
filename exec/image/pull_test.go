package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/plan"
)

// randomImage is an image of two random layers for a platform.
func randomImage(t *testing.T, arch string) v1.Image {
	t.Helper()
	img, err := random.Image(100_000, 2)
	must(t, err)
	cfg, err := img.ConfigFile()
	must(t, err)
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", arch
	cfg.Config.Env = []string{"PATH=/bin", "X=1"}
	img, err = mutate.ConfigFile(img, cfg)
	must(t, err)
	return img
}

func digestOf(t *testing.T, img v1.Image) string {
	t.Helper()
	h, err := img.Digest()
	must(t, err)
	return h.String()
}

// serve pushes images to a registry in this process and returns its address.
func serve(t *testing.T, images map[string]v1.Image, index v1.ImageIndex) string {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	push := func(repo string, f func(name.Reference) error) {
		ref, err := name.ParseReference(host + "/" + repo)
		must(t, err)
		must(t, f(ref))
	}
	for repo, img := range images {
		push(repo, func(r name.Reference) error { return remote.Write(r, img) })
	}
	if index != nil {
		push("multi:1", func(r name.Reference) error { return remote.WriteIndex(r, index) })
	}
	return host
}

func on(ref string, steps ...plan.Step) plan.BuildImage {
	return declare(plan.Image{Base: plan.Base{Kind: plan.BaseRef, Ref: ref, Pos: diag.Position{File: "x.star", Line: 9}}, Steps: steps})
}

func TestPull(t *testing.T) {
	amd, arm := randomImage(t, "amd64"), randomImage(t, "arm64")
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: amd, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	host := serve(t, map[string]v1.Image{"one:1": amd, "arm:1": arm}, index)
	b := newBuilder(t, map[string]string{"a": "a"})

	want := digestOf(t, amd)
	for _, ref := range []string{"/one:1", "/multi:1", "/one@" + want} {
		if got := digestOf(t, built(t, b, on(host+ref))); got != want {
			t.Errorf("%s: %s, want the image as it is, %s", ref, got, want)
		}
	}
	img := built(t, b, on(host+"/one:1", plan.Step{Kind: plan.StepFile, Src: "a", Dst: "/a"}, plan.Step{Kind: plan.StepEnv, EnvVars: map[string]string{"Y": "2"}}))
	cfg, err := img.ConfigFile()
	must(t, err)
	if got := strings.Join(cfg.Config.Env, " "); got != "PATH=/bin X=1 Y=2" || len(cfg.RootFS.DiffIDs) != 3 {
		t.Errorf("extended: %s, %d layers", got, len(cfg.RootFS.DiffIDs))
	}
	if listing(t, img)["a"] != "644 a" {
		t.Error("the file isn't there")
	}
}

func TestPullErrors(t *testing.T) {
	host := serve(t, map[string]v1.Image{"arm:1": randomImage(t, "arm64")}, nil)
	b := newBuilder(t, nil)
	for ref, want := range map[string]struct {
		class diag.Class
		text  string
	}{
		host + "/none:1":    {diag.Build, "has no image"},
		host + "/arm:1":     {diag.Build, "no image for linux/amd64, only for linux/arm64"},
		"127.0.0.1:1/x:1":   {diag.System, "can't pull"},
		"UPPER/not a ref":   {diag.Build, "isn't an image reference"},
		"@sha256:abc":       {diag.Build, "isn't an image reference"},
		"oci:":              {diag.Build, "isn't an image reference"},
		"oci:nowhere":       {diag.Build, "no OCI image layout"},
		"oci:../../outside": {diag.Build, "invalid argument"},
	} {
		_, err := b.Build(t.Context(), on(ref), nil)
		var e *diag.Error
		if !errors.As(err, &e) || e.Class != want.class || !strings.Contains(e.Msg, want.text) || e.Pos.Line != 9 {
			t.Errorf("%s: %#v", ref, err)
		}
	}
	left, err := filepath.Glob(b.store.scratch().Path() + "/*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLayoutBase(t *testing.T) {
	img := randomImage(t, "amd64")
	b := newBuilder(t, map[string]string{"a": "a"})
	dir := b.opts.Workspace.Name() + "/base"
	p, err := layout.Write(dir, empty.Index)
	must(t, err)
	must(t, p.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "v1"})))
	if got := digestOf(t, built(t, b, on("oci:base"))); got != digestOf(t, img) {
		t.Errorf("got %s", got)
	}
	must(t, p.AppendImage(randomImage(t, "amd64"), layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "v2"})))
	if got := digestOf(t, built(t, b, on("oci:base:v1"))); got != digestOf(t, img) {
		t.Errorf("v1: %s", got)
	}
	for ref, want := range map[string]string{"oci:base:": "several images", "oci:base:v3": "no image for linux/amd64", "oci:base/blobs": "no OCI image layout"} {
		if _, err := b.Build(t.Context(), on(ref), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
	}
}

// TestLayoutPlatforms: an index needn't say what its images are for.
func TestLayoutPlatforms(t *testing.T) {
	b := newBuilder(t, nil)
	amd := randomImage(t, "amd64")
	write := func(dir string, images ...v1.Image) {
		p, err := layout.Write(b.opts.Workspace.Name()+"/"+dir, empty.Index)
		must(t, err)
		for _, img := range images {
			must(t, p.AppendImage(img))
		}
	}
	write("two", randomImage(t, "arm64"), amd)
	if got := digestOf(t, built(t, b, on("oci:two"))); got != digestOf(t, amd) {
		t.Errorf("got %s", got)
	}
	write("others", randomImage(t, "arm64"), randomImage(t, "s390x"))
	write("same", amd, randomImage(t, "amd64"))
	for ref, want := range map[string]string{"oci:others": "only for linux/arm64, linux/s390x", "oci:same": "no tags that tell them apart"} {
		if _, err := b.Build(t.Context(), on(ref), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
	}
}

// TestLayoutDamaged changes a layer's blob: what is imported is checked.
func TestLayoutDamaged(t *testing.T) {
	img := randomImage(t, "amd64")
	b := newBuilder(t, nil)
	p, err := layout.Write(b.opts.Workspace.Name()+"/base", empty.Index)
	must(t, err)
	must(t, p.AppendImage(img))
	layers, err := img.Layers()
	must(t, err)
	h, err := layers[1].Digest()
	must(t, err)
	blob := b.opts.Workspace.Name() + "/base/blobs/sha256/" + h.Hex
	data, err := os.ReadFile(blob)
	must(t, err)
	data[len(data)/2] ^= 1
	must(t, os.WriteFile(blob, data, 0o644))
	if _, err := b.Build(context.Background(), on("oci:base"), nil); err == nil || !strings.Contains(err.Error(), "has the content of") {
		t.Errorf("got %v", err)
	}
	if b.store.layout.HasBlob(oci.Blob{Digest: plan.Digest(h.String()), Size: int64(len(data))}) {
		t.Error("the damaged blob is in the store")
	}
}

// crowd counts the requests for some blobs that are under way at a time. Each waits a while for
// more than limit to be there: only where nothing bounds them, they are.
type crowd struct {
	limit int32
	blobs sync.Map // by digest
	under atomic.Int32
	most  atomic.Int32
	over  chan struct{} // closed once there are more than limit
	once  sync.Once
}

func (c *crowd) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := c.blobs.Load(path.Base(r.URL.Path)); ok && r.Method == http.MethodGet {
			now := c.under.Add(1)
			defer c.under.Add(-1)
			for was := c.most.Load(); now > was && !c.most.CompareAndSwap(was, now); was = c.most.Load() {
			}
			if now > c.limit {
				c.once.Do(func() { close(c.over) })
			}
			select {
			case <-c.over:
			case <-time.After(50 * time.Millisecond):
			}
		}
		next.ServeHTTP(w, r)
	})
}

// TestDownloadsAreBounded pulls three images of two layers at once: Jobs bounds the downloads of
// all images of a builder together.
func TestDownloadsAreBounded(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	c := &crowd{limit: 2, over: make(chan struct{})}
	srv := httptest.NewServer(c.count(registry.New(registry.Logger(log.New(io.Discard, "", 0)))))
	defer srv.Close()
	b, err := NewBuilder(Options{Home: t.TempDir(), Jobs: int(c.limit)})
	must(t, err)
	defer func() { must(t, b.Close()) }()
	var images []plan.BuildImage
	for i := range 3 {
		ref, err := name.ParseReference(fmt.Sprintf("%s/image:%d", strings.TrimPrefix(srv.URL, "http://"), i))
		must(t, err)
		img := randomImage(t, "amd64")
		must(t, remote.Write(ref, img))
		layers, err := img.Layers()
		must(t, err)
		for _, l := range layers {
			h, err := l.Digest()
			must(t, err)
			c.blobs.Store(h.String(), true)
		}
		images = append(images, on(ref.String()))
	}
	var all sync.WaitGroup
	for _, img := range images {
		all.Go(func() {
			if _, err := b.Build(t.Context(), img, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := c.most.Load(); n > c.limit || n < 1 {
		t.Errorf("%d layers were downloaded at a time, want at most %d", n, c.limit)
	}
}
