package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"archive/tar"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/plan"
)

// newBuilder returns a builder with a home of its own, on a workspace with
// files by name. A name that ends in "*" is executable, content after "-> " is a link.
func newBuilder(t testing.TB, files map[string]string) *Builder {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		mode := os.FileMode(0o640)
		if n, ok := strings.CutSuffix(name, "*"); ok {
			name, mode = n, 0o700
		}
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o700))
		if to, ok := strings.CutPrefix(content, "-> "); ok {
			must(t, os.Symlink(to, p))
			continue
		}
		must(t, os.WriteFile(p, []byte(content), mode))
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	b, err := NewBuilder(Options{Home: t.TempDir(), Workspace: root, Environ: []string{}})
	must(t, err)
	must(t, b.store.begin())
	t.Cleanup(func() { must(t, errors.Join(b.Close(), root.Close())) })
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// declare makes what resolve would: an image with a digest of its declaration.
func declare(img plan.Image) plan.BuildImage {
	data, err := json.Marshal(img)
	if err != nil {
		panic(err)
	}
	return plan.BuildImage{Image: img, Environments: []string{"test_env"}, Platform: "linux/amd64", Declared: plan.DigestOf(data)}
}

// onNothing declares an image of steps on nothing.
func onNothing(steps ...plan.Step) plan.BuildImage {
	for i := range steps {
		steps[i].Pos = diag.Position{File: "x.star", Line: i + 1, Col: 1}
	}
	return declare(plan.Image{Base: plan.Base{Kind: plan.BaseScratch}, Steps: steps})
}

// built builds an image and returns it, validated, as other tools read it.
func built(t testing.TB, b *Builder, img plan.BuildImage) v1.Image {
	t.Helper()
	digest, err := b.Build(t.Context(), img, nil)
	must(t, err)
	return open(t, b, string(digest))
}

// open returns an image of the layout, validated.
func open(t testing.TB, b *Builder, digest string) v1.Image {
	t.Helper()
	h, err := v1.NewHash(digest)
	must(t, err)
	p, err := layout.FromPath(b.Layout())
	must(t, err)
	out, err := p.Image(h)
	must(t, err)
	must(t, validate.Image(out))
	return out
}

// listing returns what an image holds: "name mode content", or "name -> target".
func listing(t testing.TB, img v1.Image) map[string]string {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	out := map[string]string{}
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return out
		}
		must(t, err)
		data, err := io.ReadAll(tr)
		must(t, err)
		switch hdr.Typeflag {
		case tar.TypeSymlink:
			out[hdr.Name] = "-> " + hdr.Linkname
		case tar.TypeDir:
			out[hdr.Name] = fmt.Sprintf("%o dir", hdr.Mode)
		default:
			out[hdr.Name] = fmt.Sprintf("%o %s", hdr.Mode, data)
		}
	}
}

func TestConfiguration(t *testing.T) {
	b := newBuilder(t, nil)
	img := built(t, b, onNothing(
		plan.Step{Kind: plan.StepEnv, EnvVars: map[string]string{"B": "2", "A": "1"}},
		plan.Step{Kind: plan.StepWorkdir, Name: "/srv"},
		plan.Step{Kind: plan.StepEnv, EnvVars: map[string]string{"B": "3"}},
		plan.Step{Kind: plan.StepUser, Name: "1000:1000"},
	))
	cfg, err := img.ConfigFile()
	must(t, err)
	if got := strings.Join(cfg.Config.Env, " "); got != "A=1 B=3" {
		t.Errorf("Env = %s", got)
	}
	if cfg.Config.WorkingDir != "/srv" || cfg.Config.User != "1000:1000" || cfg.OS != "linux" || cfg.Architecture != "amd64" {
		t.Errorf("configuration %+v", cfg)
	}
	if !cfg.Created.Equal(oci.FileTime) || len(cfg.History) != 4 {
		t.Errorf("created %v, history %v", cfg.Created, cfg.History)
	}
	digest, err := img.Digest()
	must(t, err)
	opened, err := b.Image(t.Context(), plan.Digest(digest.String()))
	must(t, err)
	if opened.Workdir != "/srv" || opened.User != "1000:1000" || len(opened.Env) != 2 || len(opened.Layers) != 0 {
		t.Errorf("Image = %+v", opened)
	}
}

func TestStates(t *testing.T) {
	b := newBuilder(t, map[string]string{"a.txt": "a"})
	state := func(img plan.BuildImage) plan.BuildImage {
		t.Helper()
		out, err := b.State(t.Context(), img)
		must(t, err)
		return out
	}
	img := onNothing(plan.Step{Kind: plan.StepFile, Src: "a.txt", Dst: "/a"})
	if got := state(img); got.State != plan.ImageBuild || got.Why == "" || got.Digest != "" {
		t.Errorf("before: %+v", got)
	}
	digest, err := b.Build(t.Context(), img, nil)
	must(t, err)
	if got := state(img); got.State != plan.ImageHit || got.Digest != digest || !strings.HasPrefix(got.Why, "built just now") {
		t.Errorf("after: %+v", got)
	}
	must(t, os.Remove(blobPath(b, manifestOf(t, b, string(digest)).Layers[0].Digest.String())))
	if got := state(img); got.State != plan.ImageBuild {
		t.Errorf("with a blob gone: %+v", got)
	}
	built(t, b, img) // made again, and valid
	debianImage := declare(plan.Image{Base: plan.Base{Kind: plan.BaseDebian, Suite: "bookworm"}})
	b.opts.Debian = neverDebian{}
	if got := state(debianImage); got.State != plan.ImageUnresolved || !strings.Contains(got.Why, "debian bookworm") {
		t.Errorf("debian: %+v", got)
	}
	if got := state(declare(plan.Image{Base: plan.Base{Kind: plan.BaseRef, Ref: "registry.example/x:1"}})); got.State != plan.ImagePull {
		t.Errorf("ref: %+v", got)
	}
}

// TestStateSaysWhatIsThere: how far an image's layers go, which step is the first without one, and
// what a built one takes.
func TestStateSaysWhatIsThere(t *testing.T) {
	b := newBuilder(t, map[string]string{"a.txt": "a", "b.txt": "b"})
	file := func(name string) plan.Step { return plan.Step{Kind: plan.StepFile, Src: name, Dst: "/" + name} }
	short := onNothing(file("a.txt"))
	_, err := b.Build(t.Context(), short, nil)
	must(t, err)
	state := func(img plan.BuildImage) plan.BuildImage {
		t.Helper()
		out, err := b.State(t.Context(), img)
		must(t, err)
		return out
	}
	long := onNothing(file("a.txt"), plan.Step{Kind: plan.StepEnv, EnvVars: map[string]string{"A": "1"}}, file("b.txt"))
	if got := state(long); got.State != plan.ImageBuild || got.Reused != 1 || got.Size != 0 || !strings.HasPrefix(got.Why, "step 3 of 3, file b.txt /b.txt, has no layer") {
		t.Errorf("a longer image: %+v", got)
	}
	if got := state(onNothing(file("b.txt"), plan.Step{Kind: plan.StepApt, Packages: []string{"gcc"}})); got.State != plan.ImageUnresolved || got.Reused != 0 || !strings.HasSuffix(got.Why, "step 2 is to be resolved then") {
		t.Errorf("with apt later on: %+v", got)
	}
	alike := onNothing(file("a.txt"), plan.Step{Kind: plan.StepUser, Name: "1000"})
	if got := state(alike); got.State != plan.ImageBuild || got.Reused != 1 || !strings.Contains(got.Why, "every layer is there") {
		t.Errorf("with other settings: %+v", got)
	}
	if n, err := b.Size(long); n != 0 || err != nil {
		t.Errorf("Size of what isn't built = %d, %v", n, err)
	}
	digest, err := b.Build(t.Context(), long, nil)
	must(t, err)
	want := int64(0) // the manifest, the configuration and the layers
	m := manifestOf(t, b, string(digest))
	for _, name := range []string{string(digest), m.Config.Digest.String(), m.Layers[0].Digest.String(), m.Layers[1].Digest.String()} {
		info, err := os.Stat(blobPath(b, name))
		must(t, err)
		want += info.Size()
	}
	got := state(long)
	if n, err := b.Size(long); n != want || got.Size != want || err != nil || got.Reused != 0 {
		t.Errorf("Size = %d, %v, and in State %d, want %d", n, err, got.Size, want)
	}
}

func manifestOf(t *testing.T, b *Builder, digest string) *v1.Manifest {
	t.Helper()
	m, _, err := b.store.layout.Manifest(plan.Digest(digest))
	must(t, err)
	return m
}

func blobPath(b *Builder, digest string) string {
	return filepath.Join(b.Layout(), "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// neverDebian panics when it is asked for anything: State must not.
type neverDebian struct{ Debian }

func TestStateWritesNothing(t *testing.T) {
	workspace := newBuilder(t, map[string]string{"a.txt": "a"}).opts.Workspace
	b, err := NewBuilder(Options{Home: filepath.Join(t.TempDir(), "not", "there", "yet"), Workspace: workspace})
	must(t, err)
	_, err = b.State(t.Context(), onNothing(plan.Step{Kind: plan.StepFile, Src: "a.txt", Dst: "/a"}, plan.Step{Kind: plan.StepApt, Packages: []string{"gcc"}}))
	must(t, err)
	if _, err := os.Stat(filepath.Dir(b.opts.Home)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the home: %v", err)
	}
}

func TestErrorsNameTheEnvironments(t *testing.T) {
	b := newBuilder(t, nil)
	_, err := b.Build(t.Context(), onNothing(plan.Step{Kind: plan.StepFile, Src: "none", Dst: "/a"}), nil)
	var e *diag.Error
	if !errors.As(err, &e) || e.Class != diag.Build || e.Pos.Line != 1 || !strings.HasPrefix(e.Msg, "image of test_env: ") {
		t.Errorf("got %#v", err)
	}
	_, err = b.Build(t.Context(), onNothing(plan.Step{Kind: plan.StepCommands, Commands: []string{"true"}}), nil)
	if !errors.As(err, &e) || e.Class != diag.System || e.Hint == "" {
		t.Errorf("without a sandbox: %#v", err)
	}
	if _, err = b.Image(t.Context(), plan.Digest("sha256:"+strings.Repeat("0", 64))); !errors.As(err, &e) {
		t.Errorf("unknown image: %#v", err)
	}
	if _, err = b.Image(t.Context(), "../../etc/passwd"); err == nil {
		t.Error("a path is taken for a digest")
	}
}

func TestEvents(t *testing.T) {
	b := newBuilder(t, nil)
	var kinds []string
	watch := func(e exec.Event) { kinds = append(kinds, string(e.Kind)+" "+e.Image) }
	img := onNothing(plan.Step{Kind: plan.StepUser, Name: "0"})
	for range 2 {
		_, err := b.Build(t.Context(), img, watch)
		must(t, err)
	}
	if got := strings.Join(kinds, ", "); got != "image.done test_env, image.hit test_env" {
		t.Errorf("events %s", got)
	}
}

// TestCancelledBefore: what is cancelled before it begins leaves nothing. TestCancelledMidway has
// the rest.
func TestCancelledBefore(t *testing.T) {
	b := newBuilder(t, map[string]string{"a.txt": strings.Repeat("a", 1<<20)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Build(ctx, onNothing(plan.Step{Kind: plan.StepFile, Src: "a.txt", Dst: "/a"}), nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(b.store.scratch().Path()); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "just now", 90 * time.Second: "1 minute ago", 3 * time.Hour: "3 hours ago", 80 * time.Hour: "3 days ago",
	} {
		if got := ago(time.Now().Add(-d)); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
}

// sample is n bytes, half of them random.
func sample(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		if i%128 < 64 {
			b[i] = byte(r.Uint32())
		}
	}
	return b
}
