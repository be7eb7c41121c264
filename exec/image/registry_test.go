package image

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// withLayer is an image of one layer of a media type.
func withLayer(t *testing.T, data string, mediaType types.MediaType) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64"})
	must(t, err)
	img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer([]byte(data), mediaType), MediaType: mediaType})
	must(t, err)
	return img
}

// spoilt is a registry whose answers a test changes.
func spoilt(t *testing.T, spoil func(http.ResponseWriter, *http.Request, http.Handler)) (host string) {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	good := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { spoil(w, r, good) }))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func isBlob(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:")
}

// wantError builds an image that can't be built.
func wantError(t *testing.T, b *Builder, ref string, class diag.Class, text, hint string) {
	t.Helper()
	_, err := b.Build(t.Context(), on(ref), nil)
	var e *diag.Error
	switch {
	case !errors.As(err, &e) || e.Class != class || !strings.Contains(e.Msg, text) || e.Pos.Line != 9:
		t.Errorf("%s: got %#v, want %s: %q", ref, err, class, text)
	case hint == "" && strings.Contains(e.Hint, "reachable") || !strings.Contains(e.Hint, hint):
		t.Errorf("%s: hint %q, want %q", ref, e.Hint, hint)
	}
}

// TestUnusableImages: an image that isn't for containers or for this machine is an error of the
// build that says what it is.
func TestUnusableImages(t *testing.T) {
	arm := randomImage(t, "arm64")
	chart := mutate.ConfigMediaType(randomImage(t, "amd64"), "application/vnd.example.chart.config.v1+json")
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}},
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "riscv64"}}})
	images := map[string]v1.Image{
		"arm": arm, "chart": chart,
		"xz":      withLayer(t, "\xfd7zXZ\x00"+strings.Repeat("x", 100), types.OCILayer),
		"text":    withLayer(t, strings.Repeat("no tar\n", 200), types.OCIUncompressedLayer),
		"foreign": withLayer(t, "x", types.DockerForeignLayer),
		"unknown": withLayer(t, "x", "application/vnd.example.squashfs"),
	}
	host := serve(t, images, index)
	b := newBuilder(t, nil)
	for image, want := range map[string]string{
		"multi:1": "no image for linux/amd64, only for linux/arm64, linux/riscv64", "arm": "no image for linux/amd64, only for linux/arm64",
		"chart": `no image of containers: its configuration is of type "application/vnd.example.chart`,
		"xz":    "compressed with xz", "text": "can't be read as a tar", "foreign": "layer 1 of 1 may not be distributed",
		"unknown": `layer 1 of 1 is of type "application/vnd.example.squashfs", which can't be unpacked`,
	} {
		hint := map[string]string{"text": "the layer is damaged"}[image]
		wantError(t, b, host+"/"+image, diag.Build, want, hint)
		if img, ok := images[image]; ok {
			_, err := layout.Write(filepath.Join(b.opts.Workspace.Name(), image), mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img}))
			must(t, err)
			wantError(t, b, "oci:"+image, diag.Build, want, hint)
		}
	}
}

// TestOddAnswers: what isn't an image is called by its name, and nobody is asked whether the
// registry is reachable.
func TestOddAnswers(t *testing.T) {
	b := newBuilder(t, nil)
	html := spoilt(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html>log in</html>")
	})
	wantError(t, b, html+"/x:1", diag.Build, "answers with text/html instead of a manifest", "")
	old := spoilt(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", string(types.DockerManifestSchema1Signed))
		io.WriteString(w, "{}")
	})
	wantError(t, b, old+"/x:1", diag.Build, "schema 1", "")
	busy := spoilt(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Error(w, "slow down", http.StatusTooManyRequests)
	})
	wantError(t, b, busy+"/x:1", diag.System, "bounds how often", "log in")
	wantError(t, b, "127.0.0.1:1/x:1", diag.System, "can't pull", "is the registry reachable from here?")

	wrong := spoilt(t, func(w http.ResponseWriter, r *http.Request, good http.Handler) {
		if isBlob(r) {
			rec := httptest.NewRecorder()
			good.ServeHTTP(rec, r)
			data := rec.Body.Bytes()
			if len(data) > 1000 {
				data[500] ^= 1
			}
			w.Write(data)
			return
		}
		good.ServeHTTP(w, r)
	})
	ref, err := name.ParseReference(wrong + "/x:1")
	must(t, err)
	must(t, remote.Write(ref, randomImage(t, "amd64")))
	wantError(t, b, wrong+"/x:1", diag.Build, "error verifying sha256 checksum", "")

	config := t.TempDir()
	must(t, os.WriteFile(config+"/config.json", []byte(`{"credsStore": "no-such-helper"}`), 0o600))
	t.Setenv("DOCKER_CONFIG", config)
	wantError(t, b, wrong+"/x:1", diag.System, "credentials for "+wrong+" can't be read", "the configuration of docker or podman names a program")
}

// TestStall: a blob that stops coming is asked for again. If it never comes whole, the build ends.
func TestStall(t *testing.T) {
	var stalls atomic.Int32
	end := make(chan struct{})
	defer close(end)
	host := spoilt(t, func(w http.ResponseWriter, r *http.Request, good http.Handler) {
		if isBlob(r) && stalls.Add(-1) >= 0 {
			io.WriteString(w, "the first part")
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-end:
			}
			return
		}
		good.ServeHTTP(w, r)
	})
	ref, err := name.ParseReference(host + "/x:1")
	must(t, err)
	img := randomImage(t, "amd64")
	cfg, err := img.ConfigFile()
	must(t, err)
	bare := cfg.DeepCopy()
	bare.History = nil
	img, err = mutate.ConfigFile(img, bare)
	must(t, err)
	must(t, remote.Write(ref, img))
	b := newBuilder(t, map[string]string{"a": "a"})
	b.opts.Stall = 20 * time.Millisecond
	stalls.Store(1000)
	wantError(t, b, ref.String(), diag.System, "broke off: the server said nothing for 20ms", "try again")
	b.opts.Stall = 2 * time.Second
	stalls.Store(1)
	made := built(t, b, on(ref.String(), plan.Step{Kind: plan.StepFile, Src: "a", Dst: "/a"}))
	cfg, err = made.ConfigFile()
	must(t, err)
	if len(cfg.History) != 3 || cfg.History[0].EmptyLayer {
		t.Errorf("a base without history: %+v", cfg.History)
	}
}

// TestPullsTheSameAgain: what a tag was when it was first resolved counts, also when a blob is
// missing and the tag has moved.
func TestPullsTheSameAgain(t *testing.T) {
	first, second := randomImage(t, "amd64"), randomImage(t, "amd64")
	host := serve(t, map[string]v1.Image{"x:1": first}, nil)
	b := newBuilder(t, nil)
	img := on(host + "/x:1")
	built(t, b, img)
	ref, err := name.ParseReference(host + "/x:1")
	must(t, err)
	must(t, remote.Write(ref, second))
	layers, err := first.Layers()
	must(t, err)
	h, err := layers[0].Digest()
	must(t, err)
	must(t, os.Remove(filepath.Join(b.Layout(), "blobs", "sha256", h.Hex)))
	if got := digestOf(t, built(t, b, img)); got != digestOf(t, first) {
		t.Errorf("got %s, want what the tag was first, %s", got, digestOf(t, first))
	}
}
