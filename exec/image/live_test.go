// Tests of whole images: a Debian base from the mirror, pip against the
// machine's index, containers. They skip where one of these is missing.
package image_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http/httptest"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image"
	"github.com/flytestar/flytestar/exec/image/debian"
	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/plan"
)

// TestMain lets the test binary be a second process that works on the same store.
func TestMain(m *testing.M) {
	if home := os.Getenv("FLYTESTAR_TEST_SECOND"); home != "" {
		if err := image.BuildForever(home, os.Getenv("FLYTESTAR_TEST_WORKSPACE")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if live.close != nil {
		live.close()
	}
	os.Exit(code)
}

// live is the one builder with a sandbox and a mirror, for all tests: a base takes seconds.
var live struct {
	once    sync.Once
	home    string
	sandbox exec.Sandbox
	debian  *debian.Debian
	close   func()
	skip    string
}

// liveHome prepares live, or skips the test.
func liveHome(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a Debian base from the mirror: not with -short")
	}
	live.once.Do(func() {
		sources, err := archive.HostSources("/")
		if err != nil {
			live.skip = "no Debian mirror is configured: " + err.Error()
			return
		}
		if live.home, err = os.MkdirTemp("", "flytestar-image-test"); err != nil {
			t.Fatal(err)
		}
		live.close = func() { os.RemoveAll(live.home) }
		if live.sandbox, err = sandbox.New(sandbox.Options{Home: live.home}); err != nil {
			live.skip = "no sandbox here: " + err.Error()
			return
		}
		live.debian = &debian.Debian{
			Mirror: &archive.Mirror{Sources: sources, Cache: filepath.Join(live.home, "cache", "debian")}, Sandbox: live.sandbox,
		}
	})
	if live.skip != "" {
		t.Skip(live.skip)
	}
}

// liveBuilder returns a builder in the shared home, or in another, on a workspace.
func liveBuilder(t testing.TB, home string, files map[string]string, environ ...string) *image.Builder {
	t.Helper()
	liveHome(t)
	if home == "" {
		home = live.home
	}
	dir := t.TempDir()
	for name, content := range files {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	b, err := image.NewBuilder(image.Options{Home: home, Workspace: root, Sandbox: live.sandbox, Debian: live.debian, Environ: append(os.Environ(), environ...)})
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(b.Close(), root.Close())) })
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		var e *diag.Error
		if errors.As(err, &e) {
			for _, n := range e.Notes {
				t.Log(n.Msg)
			}
		}
		t.Fatal(err)
	}
}

// onDebian declares an image on the Debian base with Python.
func onDebian(steps ...plan.Step) plan.BuildImage {
	for i := range steps {
		steps[i].Pos = diag.Position{File: "x.star", Line: i + 1, Col: 1}
	}
	return image.Declare(plan.Image{Base: plan.Base{Kind: plan.BaseDebian, Python: true}, Steps: steps})
}

func pip(packages ...string) plan.Step { return plan.Step{Kind: plan.StepPip, Packages: packages} }

// build builds an image, or skips the test where a mirror or an index can't be reached.
func build(t testing.TB, b *image.Builder, img plan.BuildImage) string {
	t.Helper()
	digest, err := b.Build(t.Context(), img, nil)
	var e *diag.Error
	if errors.As(err, &e) && e.Class == diag.System {
		var netErr net.Error
		if errors.As(err, &netErr) || strings.Contains(e.Hint, "pip doesn't reach its index") {
			t.Skipf("no network: %v", err)
		}
	}
	must(t, err)
	return string(digest)
}

// run runs a command in an image without network, and returns its output and exit code.
func run(t testing.TB, b *image.Builder, digest string, args ...string) (string, int) {
	t.Helper()
	img, err := b.Image(t.Context(), plan.Digest(digest))
	must(t, err)
	var out strings.Builder
	exit, err := live.sandbox.Run(t.Context(), &exec.Container{
		Name: "test", Layers: img.Layers, Args: args, Env: img.Env, Workdir: img.Workdir, User: img.User, Stdout: &out, Stderr: &out,
	})
	must(t, err)
	return out.String(), exit.Code
}

// expect runs a shell command in an image and checks its output.
func expect(t testing.TB, b *image.Builder, digest, command, want string) {
	t.Helper()
	out, code := run(t, b, digest, "/bin/sh", "-c", command)
	if code != 0 || !strings.Contains(out, want) {
		t.Errorf("%s: exit %d, %q; want %q", command, code, out, want)
	}
}

func layerDigests(t testing.TB, img v1.Image) map[string]bool {
	t.Helper()
	m, err := img.Manifest()
	must(t, err)
	out := map[string]bool{}
	for _, l := range m.Layers {
		out[l.Digest.String()] = true
	}
	return out
}

// TestThreeImages builds af2's three images: the packages of one call are one
// blob, shared, and each image has what it declares and no more.
func TestThreeImages(t *testing.T) {
	t.Parallel()
	b := liveBuilder(t, "", nil)
	images := map[string]plan.BuildImage{
		"msa": onDebian(pip("pytest")), "fold": onDebian(pip("ruff")), "main": onDebian(pip("ruff"), pip("pytest")),
	}
	digests, all := map[string]string{}, sync.WaitGroup{}
	var mu sync.Mutex
	build(t, b, onDebian()) // so that a missing network skips here
	for name, img := range images {
		all.Go(func() {
			digest, err := b.Build(context.Background(), img, nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			digests[name] = string(digest)
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	layers := map[string]map[string]bool{}
	for name, d := range digests {
		layers[name] = layerDigests(t, image.Validated(t, b, d))
	}
	shared := 0
	for l := range layers["msa"] {
		if layers["main"][l] {
			shared++
		}
	}
	if shared != len(layers["msa"]) { // base, virtual environment, pytest
		t.Errorf("main shares %d of msa's %d layers", shared, len(layers["msa"]))
	}
	for l := range layers["fold"] {
		if !layers["main"][l] {
			t.Errorf("main hasn't fold's layer %s", l)
		}
	}
	expect(t, b, digests["msa"], "python3 -c 'import pytest; print(pytest.__file__)'", "/opt/venv/lib/python3")
	expect(t, b, digests["main"], "python3 -c 'import pytest' && pytest --version && ruff --version", "ruff")
	expect(t, b, digests["fold"], "ruff --version", "ruff")
	if _, code := run(t, b, digests["fold"], "/bin/sh", "-c", "python3 -c 'import pytest'"); code == 0 {
		t.Error("fold can import pytest")
	}
	// Bytecode is there and used: nothing is compiled at the start.
	expect(t, b, digests["msa"], "python3 -v -c 'import pytest' 2>&1 | grep -c 'code object from.*site-packages.*py.$' || true", "0\n")
	expect(t, b, digests["msa"], "python3 -c 'import importlib.metadata as m; print(len(m.files(\"pytest\")), m.version(\"pytest\"))' && test -e /opt/venv/bin/pytest", ".")
}

func TestAptAndCommands(t *testing.T) {
	t.Parallel()
	b := liveBuilder(t, "", nil)
	digest := build(t, b, onDebian(
		plan.Step{Kind: plan.StepApt, Packages: []string{"jq"}},
		plan.Step{Kind: plan.StepEnv, EnvVars: map[string]string{"GREETING": "hello"}},
		plan.Step{Kind: plan.StepWorkdir, Name: "/srv/app"},
		plan.Step{Kind: plan.StepCommands, Commands: []string{"echo $GREETING > out", "rm /etc/debian_version", "ln -s out link; cp out /tmp/dropped"}},
	))
	image.Validated(t, b, digest)
	expect(t, b, digest, "jq --version && cat out link /srv/app/out", "hello\nhello\nhello")
	expect(t, b, digest, "test ! -e /etc/debian_version && test ! -e /tmp/dropped && test ! -e /var/log/dpkg.log && ! ls /var/lib/apt/lists/*Packages* 2>/dev/null", "")
	expect(t, b, digest, "test ! -e /usr/sbin/policy-rc.d && dpkg --audit && stat -c %a /tmp", "1777")

	_, err := b.Build(t.Context(), onDebian(plan.Step{Kind: plan.StepCommands, Commands: []string{"true", "echo oops >&2; exit 3"}}), nil)
	var e *diag.Error
	if !errors.As(err, &e) || e.Class != diag.Build || e.Pos.Line != 1 || !strings.Contains(e.Msg, "command 2") || !strings.Contains(e.Msg, "exited with 3") ||
		len(e.Notes) != 1 || !strings.Contains(e.Notes[0].Msg, "oops") || e.Hint != "" {
		t.Errorf("a failing command: %#v", err)
	}
	_, err = b.Build(t.Context(), onDebian(plan.Step{Kind: plan.StepCommands, Commands: []string{"python3 -c \"import urllib.request as r; r.urlopen('http://nowhere.invalid')\""}}), nil)
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "network = True") {
		t.Errorf("a command that wants a network: %#v", err)
	}
	// Names are names: not regular expressions, and not packages to add or remove.
	for _, name := range []string{"no-such-package-at-all", "libjq.", "jq+", "j.", "libjq1:i386=1"} {
		_, err = b.Build(t.Context(), onDebian(plan.Step{Kind: plan.StepApt, Packages: []string{"jq", name}}), nil)
		said := fmt.Sprint(err)
		if errors.As(err, &e) && len(e.Notes) > 0 {
			said += e.Notes[0].Msg
		}
		if !errors.As(err, &e) || e.Class != diag.Build || !strings.Contains(said, strings.Split(name, ":")[0]) {
			t.Errorf("%s: %#v", name, err)
		}
	}
	_, err = b.Build(t.Context(), onDebian(
		plan.Step{Kind: plan.StepCommands, Commands: []string{"echo 'deb [trusted=yes] http://127.0.0.1:9/debian gone main' > /etc/apt/sources.list.d/gone.list"}},
		plan.Step{Kind: plan.StepApt, Packages: []string{"jq"}}), nil)
	if !errors.As(err, &e) || e.Class != diag.System || e.Pos.Line != 2 || !strings.Contains(e.Msg, "can't update") || !strings.Contains(e.Notes[0].Msg, "127.0.0.1") {
		t.Errorf("a source that is gone: %#v", err)
	}
}

// TestPackagesOfImage: what the image's Python brings stays importable and isn't installed again,
// and what is in the virtual environment wins.
func TestPackagesOfImage(t *testing.T) {
	t.Parallel()
	b := liveBuilder(t, "", nil)
	yaml := plan.Step{Kind: plan.StepApt, Packages: []string{"python3-yaml"}}
	digest := build(t, b, onDebian(yaml, pip("pyyaml", "iniconfig==2.0.0")))
	expect(t, b, digest, "python3 -c 'import yaml, iniconfig; print(yaml.__file__, iniconfig.__file__)'", "/usr/lib/python3/dist-packages/yaml/__init__.py /opt/venv/")
	expect(t, b, digest, "ls /opt/venv/lib/python3*/site-packages | tr '\\n' ' '", "iniconfig iniconfig-2.0.0.dist-info ")
	digest = build(t, b, onDebian(yaml, pip("pyyaml>=6.0.2")))
	expect(t, b, digest, "python3 -c 'import yaml; print(yaml.__file__)'", "/opt/venv/")

	elsewhere := plan.Step{Kind: plan.StepCommands, Commands: []string{"mkdir /mine; echo MINE = 1 > /mine/iniconfig.py; mkdir -p /opt/venv/lib"}}
	digest = build(t, b, onDebian(elsewhere, plan.Step{Kind: plan.StepEnv, EnvVars: map[string]string{"PYTHONPATH": "/mine"}}))
	expect(t, b, digest, "python3 -c 'import iniconfig; print(iniconfig.MINE)'", "1")
	_, err := b.Build(t.Context(), onDebian(elsewhere, pip("iniconfig==2.0.0")), nil)
	var e *diag.Error
	if !errors.As(err, &e) || e.Class != diag.Build || !strings.Contains(e.Msg, "has a /opt/venv already") || e.Pos.Line != 2 || e.Hint == "" {
		t.Errorf("another /opt/venv: %#v", err)
	}
}

// TestResolutionStays: a resolution is used until somebody removes it, also without the cache.
func TestResolutionStays(t *testing.T) {
	t.Parallel()
	links, home := t.TempDir(), t.TempDir()
	wheel := func(version string) {
		info := "tiny-" + version + ".dist-info/"
		var data bytes.Buffer
		z := zip.NewWriter(&data)
		for _, f := range [][2]string{
			{"tiny.py", "VERSION = '" + version + "'\n"}, {info + "METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: " + version + "\n"},
			{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}, {info + "RECORD", ""},
		} {
			w, err := z.Create(f[0])
			must(t, err)
			_, err = io.WriteString(w, f[1])
			must(t, err)
		}
		must(t, z.Close())
		must(t, os.WriteFile(filepath.Join(links, "tiny-"+version+"-py3-none-any.whl"), data.Bytes(), 0o644))
	}
	wheel("1.0")
	b := liveBuilder(t, home, nil, "PIP_NO_INDEX=1", "PIP_INDEX_URL=", "PIP_FIND_LINKS="+links)
	show := "python3 -c 'import tiny; print(tiny.VERSION)'"
	expect(t, b, build(t, b, onDebian(pip("tiny"))), show, "1.0")
	wheel("2.0")
	must(t, os.RemoveAll(filepath.Join(home, "cache", "wheels")))
	must(t, os.RemoveAll(filepath.Join(home, "cache", "laid")))
	must(t, os.Mkdir(filepath.Join(home, "cache", "wheels"), 0o755))
	must(t, os.RemoveAll(filepath.Join(home, "index", "layers")))
	expect(t, b, build(t, b, onDebian(pip("tiny"), plan.Step{Kind: plan.StepEnv, EnvVars: map[string]string{"A": "b"}})), show, "1.0")
}

// TestBuiltBase: an image that flytestar built is a base for pip steps. A package that it has in
// another version is replaced.
func TestBuiltBase(t *testing.T) {
	t.Parallel()
	skopeo, err := osexec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo isn't installed")
	}
	b := liveBuilder(t, "", nil)
	seed := onDebian(pip("iniconfig==1.1.1", "six==1.16.0"))
	build(t, b, seed)
	dir := t.TempDir()
	out, err := osexec.Command(skopeo, "copy", "-q", "oci:"+b.Layout()+":"+seed.Declared.Hex()[:12], "oci:"+dir+"/seed:latest").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	b, err = image.NewBuilder(image.Options{Home: live.home, Workspace: root, Sandbox: live.sandbox, Debian: live.debian})
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	digest := build(t, b, image.Declare(plan.Image{Base: plan.Base{Kind: plan.BaseRef, Ref: "oci:seed:latest"}, Steps: []plan.Step{pip("iniconfig>=2", "six")}}))
	expect(t, b, digest, "python3 -c 'import six, iniconfig, importlib.metadata as m; print(six.__version__, m.version(\"iniconfig\")[0])'", "1.16.0 2")
	expect(t, b, digest, "ls -d /opt/venv/lib/python3*/site-packages/*.dist-info | wc -l; echo $PATH", "2\n/opt/venv/bin:/usr/local/sbin")
}

// TestEditedModule: an edit of an installed module counts, whoever makes it.
func TestEditedModule(t *testing.T) {
	t.Parallel()
	b := liveBuilder(t, "", map[string]string{"new.py": "__version__ = 'file'\n"})
	edit := plan.Step{Kind: plan.StepCommands, Commands: []string{"cd /opt/venv/lib/python3*/site-packages && echo \"__version__ = '1'\" > six.py && python3 -c 'import six'"}}
	again := plan.Step{Kind: plan.StepCommands, Commands: []string{"cd /opt/venv/lib/python3*/site-packages && echo \"__version__ = '2'\" > six.py"}}
	show := "python3 -c 'import six; print(six.__version__)'"
	expect(t, b, build(t, b, onDebian(pip("six==1.16.0"), edit)), show, "1\n")
	expect(t, b, build(t, b, onDebian(pip("six==1.16.0"), edit, again)), show, "2\n")
	digest := build(t, b, onDebian(pip("six==1.16.0")))
	expect(t, b, digest, "cd /opt/venv/lib/python3*/site-packages && echo \"__version__ = 'run'\" > six.py && "+show, "run\n")
	short, _ := run(t, b, digest, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2], end='')")
	file := plan.Step{Kind: plan.StepFile, Src: "new.py", Dst: "/opt/venv/lib/python" + short + "/site-packages/six.py"}
	expect(t, b, build(t, b, onDebian(pip("six==1.16.0"), file)), show, "file\n")
}

func TestPipErrors(t *testing.T) {
	t.Parallel()
	b := liveBuilder(t, "", nil)
	build(t, b, onDebian(pip("iniconfig==2.0.0")))
	var e *diag.Error
	_, err := b.Build(t.Context(), onDebian(pip("iniconfig==99999")), nil)
	if !errors.As(err, &e) || e.Class != diag.Build || !strings.Contains(e.Msg, "iniconfig==99999") || e.Hint == "" {
		t.Errorf("no such version: %#v", err)
	}
	_, err = b.Build(t.Context(), onDebian(pip("iniconfig==2.0.0"), pip("iniconfig==1.1.1")), nil)
	if !errors.As(err, &e) || !strings.Contains(e.Msg, "different versions of iniconfig") || e.Pos.Line != 2 || len(e.Notes) == 0 || e.Notes[0].Pos.Line != 1 {
		t.Errorf("a contradiction: %#v", err)
	}
	// A later call bends to an earlier one.
	digest := build(t, b, onDebian(pip("iniconfig==2.0.0"), pip("pytest")))
	expect(t, b, digest, "python3 -c 'import pytest, importlib.metadata as m; print(m.version(\"iniconfig\"))'", "2.0.0")
	_, err = b.Build(t.Context(), image.Declare(plan.Image{Base: plan.Base{Kind: plan.BaseDebian}, Steps: []plan.Step{pip("six")}}), nil)
	if !errors.As(err, &e) || !strings.Contains(e.Msg, "no python3") {
		t.Errorf("without Python: %#v", err)
	}
}

// TestSdist builds a package that has no wheel, from an index that asks for a password.
func TestSdist(t *testing.T) {
	t.Parallel()
	index := httptest.NewServer(sdistIndex(t, "me", "secret-word"))
	defer index.Close()
	url := strings.Replace(index.URL, "http://", "http://me:secret-word@", 1) + "/simple/"
	host := strings.Split(strings.TrimPrefix(index.URL, "http://"), ":")[0]
	b := liveBuilder(t, "", map[string]string{"requirements.txt": "tinysdist\n"}, "PIP_INDEX_URL="+url, "PIP_TRUSTED_HOST="+host, "PIP_FIND_LINKS=")
	digest := build(t, b, onDebian(
		plan.Step{Kind: plan.StepApt, Packages: []string{"python3-setuptools", "python3-wheel"}},
		plan.Step{Kind: plan.StepRequirements, Src: "requirements.txt"}))
	expect(t, b, digest, "python3 -c 'import tinysdist; print(tinysdist.WORD)' && cat /opt/venv/lib/python3*/site-packages/tinysdist-1.0.dist-info/INSTALLER", "built\nflytestar")
	must(t, filepath.WalkDir(live.home, func(name string, d os.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // of a test that runs beside this one
		}
		if err != nil || !d.Type().IsRegular() || strings.Contains(name, "/cache/debian/") || strings.Contains(name, "/layers/") {
			return err
		}
		if data, err := os.ReadFile(name); err == nil && strings.Contains(string(data), "secret-word") {
			t.Errorf("the password is in %s", name)
		}
		return nil
	}))
}

// TestReproducibleImage builds an image of everything in two homes.
func TestReproducibleImage(t *testing.T) {
	t.Parallel()
	img := onDebian(
		plan.Step{Kind: plan.StepApt, Packages: []string{"jq", "python3-yaml"}}, pip("pytest"),
		plan.Step{Kind: plan.StepCommands, Commands: []string{"useradd someone", "date +%Y > /dev/null; mkdir /made; touch /made/now"}},
		plan.Step{Kind: plan.StepFile, Src: "a", Dst: "/a"})
	var digests []string
	for _, home := range []string{"", t.TempDir()} {
		b := liveBuilder(t, home, map[string]string{"a": "a"})
		digests = append(digests, build(t, b, img))
		m, err := image.Validated(t, b, digests[len(digests)-1]).Manifest()
		must(t, err)
		for i, l := range m.Layers {
			t.Logf("layer %d: %s, %d bytes", i, l.Digest, l.Size)
		}
		time.Sleep(1100 * time.Millisecond) // so that another time would show
	}
	if digests[0] != digests[1] {
		t.Errorf("two digests: %s", digests)
	}
}

// TestOtherTools lets skopeo and umoci read what the builder wrote.
func TestOtherTools(t *testing.T) {
	t.Parallel()
	skopeo, err := osexec.LookPath("skopeo")
	if err != nil {
		t.Skip("skopeo isn't installed")
	}
	b := liveBuilder(t, "", nil)
	img := onDebian(pip("iniconfig==2.0.0"))
	digest := build(t, b, img)
	ref := "oci:" + b.Layout() + ":" + img.Declared.Hex()[:12]
	out, err := osexec.Command(skopeo, "inspect", ref).CombinedOutput()
	if err != nil || !strings.Contains(string(out), digest) {
		t.Fatalf("skopeo inspect %s: %v\n%s", ref, err, out)
	}
	t.Run("umoci", func(t *testing.T) { unpackWithUmoci(t, b.Layout()+":"+img.Declared.Hex()[:12]) })
}

// unpackWithUmoci unpacks an image.
func unpackWithUmoci(t *testing.T, image string) {
	umoci, err := osexec.LookPath("umoci")
	if err != nil {
		t.Skip("umoci isn't installed")
	}
	bundle := filepath.Join(t.TempDir(), "bundle")
	if out, err := osexec.Command(umoci, "unpack", "--image", image, bundle).CombinedOutput(); err != nil {
		t.Fatalf("umoci unpack: %v\n%s", err, out)
	}
	if _, err := os.Stat(bundle + "/rootfs/opt/venv/pyvenv.cfg"); err != nil {
		t.Error(err)
	}
}
