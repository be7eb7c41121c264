package image_test

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image"
)

// twenty are ordinary packages, as in bench/image.sh; with what they need they are some more.
var twenty = []string{
	"attrs", "certifi", "charset-normalizer", "click", "idna", "iniconfig", "jinja2", "markupsafe", "numpy", "packaging",
	"pluggy", "pygments", "pytest", "python-dateutil", "pytz", "pyyaml", "requests", "rich", "six", "urllib3",
}

// wheelhouse downloads the wheels of packages with an image's own Python, once for all benchmarks.
// BENCH_WHEELS names the directory that is kept.
func wheelhouse(b *testing.B, packages ...string) string {
	b.Helper()
	dir := os.Getenv("BENCH_WHEELS")
	if dir == "" {
		dir = b.TempDir()
	}
	if found, _ := filepath.Glob(dir + "/*.whl"); len(found) > 0 {
		return dir
	}
	builder := liveBuilder(b, "", nil)
	build(b, builder, onDebian(pip(packages...)))
	wheels, err := filepath.Glob(live.home + "/cache/wheels/*/*.whl")
	must(b, err)
	must(b, os.MkdirAll(dir, 0o755))
	for _, w := range wheels {
		if out, err := osexec.Command("cp", w, dir).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	return dir
}

// BenchmarkAddPackage adds a small package to the list of an image of twenty; nothing is
// downloaded. It reports the seconds between the steps that the builder announces.
func BenchmarkAddPackage(b *testing.B) {
	liveHome(b)
	dir := wheelhouse(b, append([]string{"tomli"}, twenty...)...)
	for b.Loop() {
		b.StopTimer()
		home := b.TempDir()
		must(b, os.MkdirAll(home, 0o755))
		builder := liveBuilder(b, home, nil, "PIP_NO_INDEX=1", "PIP_FIND_LINKS="+dir)
		build(b, builder, onDebian(pip(twenty...)))
		build(b, builder, onDebian(pip("six"))) // nobody's first build: pip's own wheel and the base are there
		b.StartTimer()
		start, last, what := time.Now(), time.Now(), "start"
		lap := func(next string) {
			b.ReportMetric(time.Since(last).Seconds(), "s:"+what)
			last, what = time.Now(), next
		}
		_, err := builder.Build(b.Context(), onDebian(pip(append([]string{"tomli"}, twenty...)...)), func(e exec.Event) {
			switch e.Kind {
			case exec.ImageStep:
				if e.Step[:3] != what {
					lap(e.Step[:3])
				}
			case exec.ImageDone:
				lap("end")
			}
		})
		must(b, err)
		b.ReportMetric(time.Since(start).Seconds(), "s:total")
	}
}

// TestBenchBase puts an image of Python and pip at BENCH_BASE, an image layout, for bench/image.sh.
func TestBenchBase(t *testing.T) {
	to := os.Getenv("BENCH_BASE")
	if to == "" {
		t.Skip("BENCH_BASE isn't set: only bench/image.sh needs this")
	}
	b := liveBuilder(t, "", nil)
	digest, err := v1.NewHash(build(t, b, onDebian(pip("pip"))))
	must(t, err)
	from, err := layout.FromPath(b.Layout())
	must(t, err)
	img, err := from.Image(digest)
	must(t, err)
	p, err := layout.Write(to, empty.Index)
	must(t, err)
	must(t, p.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "base"})))
}

// BenchmarkNothingChanged opens the store and finds an image in it.
func BenchmarkNothingChanged(b *testing.B) {
	builder := liveBuilder(b, "", nil)
	img := onDebian(pip("pytest"))
	build(b, builder, img)
	for b.Loop() {
		again, err := image.NewBuilder(image.Options{Home: live.home, Sandbox: live.sandbox, Debian: live.debian})
		must(b, err)
		digest, err := again.Build(b.Context(), img, nil)
		must(b, err)
		if _, err := again.Image(b.Context(), digest); err != nil {
			b.Fatal(err)
		}
		must(b, again.Close())
	}
}
