package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/debian"
	"github.com/flytestar/flytestar/plan"
)

// runPip runs the resolver in the image so far.
func (j *job) runPip(ctx context.Context, st *state, s plan.Step, py python, config pipConfig, want wanted, constraints []string) (*pinned, error) {
	c := &exec.Container{
		Name: "pip", Layers: j.store.open(st.layers), Network: true, Workdir: "/",
		Args: []string{py.Executable, pipDir + "/resolve.py", pipDir + "/resolve.json"},
		Env:  append(j.runEnv(st), "PYTHONDONTWRITEBYTECODE=1", "PYTHONIOENCODING=utf-8"),
	}
	ask := struct {
		Args         []string `json:"args"`
		Requirements []string `json:"requirements"`
		Have         []string `json:"have"`
	}{Args: []string{}, Requirements: want.args}
	var err error
	if ask.Have, err = j.cachedWheels(py); err != nil {
		return nil, err
	}
	if !pipReports(py.Pip) {
		more, err := j.pipLayers(ctx, st, s, py)
		if err != nil {
			return nil, err
		}
		c.Layers = append(c.Layers, j.store.open(more)...)
		c.Args[0] = venvPython
	}
	if s.Pre {
		ask.Args = append(ask.Args, "--pre")
	}
	if len(constraints) > 0 {
		ask.Requirements = append(ask.Requirements, "-c", pipDir+"/constraints.txt")
	}
	data, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	c.Files = append([]exec.File{
		{Path: pipDir + "/resolve.py", Mode: 0o644, Data: resolveScript},
		{Path: pipDir + "/resolve.json", Mode: 0o644, Data: data},
		{Path: pipDir + "/constraints.txt", Mode: 0o600, Data: text(constraints)},
	}, want.files...)
	netrc, err := j.netrc(config, want)
	if err == nil {
		err = config.apply(c, netrc)
	}
	if err != nil {
		return nil, err
	}
	return j.takeWheels(ctx, s, py, c)
}

func text(lines []string) []byte { return []byte(strings.Join(lines, "\n") + "\n") }

// pipReports reports whether a version of pip has what the resolver needs: --dry-run and --report, since 22.2.
func pipReports(version string) bool {
	var major, minor int
	n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return n == 2 && (major > 22 || major == 22 && minor >= 2)
}

// cachedWheels lists the SHA-256 of the distributions that needn't be fetched again:
// wheels, and the sdists that were built to wheels for the same Python.
func (j *job) cachedWheels(py python) ([]string, error) {
	wheels, err := os.ReadDir(filepath.Join(j.opts.Home, "cache", "wheels"))
	if err != nil {
		return nil, err
	}
	built, err := os.ReadDir(filepath.Dir(j.sdistPath(py, "")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	sums := []string{}
	for _, e := range append(wheels, built...) {
		sums = append(sums, strings.TrimSuffix(e.Name(), ".json"))
	}
	return sums, nil
}

// sdistPath is where it is remembered which wheel an sdist was built to.
func (j *job) sdistPath(py python, sum string) string {
	return j.store.memoPath("sdists", py.key(newKey("sdist 1")).hex()+"/"+sum)
}

// pipWheel returns Debian's wheel of pip, for images that have no pip of their own.
func (j *job) pipWheel(ctx context.Context, st *state) (distribution, error) {
	if j.opts.Debian == nil {
		return distribution{}, diag.Errorf(diag.Position{}, diag.System, "the image has no pip, and no Debian mirror is configured to take it from").
			WithHint("use a base that has pip 22.2 or newer")
	}
	suite := ""
	if st.base.Kind == plan.BaseDebian {
		suite = st.base.Name
	}
	// Remembered, since reading the mirror's index takes longer than pip does.
	return made(ctx, j, "pip-wheels", newKey("pip wheel 1").str(suite), j.hasWheel, func() (distribution, error) {
		deb, p, err := j.opts.Debian.Fetch(ctx, suite, "python3-pip-whl", j.nested())
		if err != nil {
			return distribution{}, err
		}
		return j.extractPip(deb, p)
	})
}

// extractPip takes pip's wheel out of its Debian package and into the cache.
func (j *job) extractPip(deb string, p debian.Package) (distribution, error) {
	d := distribution{Name: "pip", Version: p.Version}
	tmp := filepath.Join(j.store.tmp, "pip-"+p.SHA256)
	defer os.Remove(tmp)
	err := debian.Files(deb, func(hdr *tar.Header, r io.Reader) error {
		name := path.Base(hdr.Name)
		if hdr.Typeflag != tar.TypeReg || !strings.HasPrefix(name, "pip-") || !wheelName().MatchString(name) || d.Wheel != "" {
			return nil
		}
		var err error
		d.Wheel = name
		d.SHA256, err = saveFile(tmp, r)
		return err
	})
	if err == nil && d.Wheel == "" {
		err = fmt.Errorf("package %s %s holds no wheel of pip", p.Name, p.Version)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(j.wheelPath(d)), 0o755)
	}
	if err == nil {
		err = os.Rename(tmp, j.wheelPath(d))
	}
	return d, err
}

// pipLayers returns the layers that give an image a virtual environment with Debian's pip, for the
// resolver's container only. Laid down like any wheel it starts three times as fast as off its archive.
func (j *job) pipLayers(ctx context.Context, st *state, s plan.Step, py python) ([]layer, error) {
	wheel, err := j.pipWheel(ctx, st)
	if err != nil {
		return nil, err
	}
	venv, err := j.venvLayer(ctx, py)
	if err != nil {
		return nil, err
	}
	c := &call{step: s, py: py, under: st.layers, pinned: &pinned{Packages: []distribution{wheel}}}
	wheels, err := j.lay(ctx, c)
	if err != nil {
		return nil, err
	}
	pip, err := j.wheelLayer(ctx, c, wheels...)
	return []layer{venv, pip}, err
}

// answer is what the resolver says of one distribution.
type answer struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	URL     string  `json:"url"`
	SHA256  *string `json:"sha256"`
	Wheel   *string `json:"wheel"`
}

// takeWheels runs the resolver's container and puts the wheels that it sends into the cache.
func (j *job) takeWheels(ctx context.Context, s plan.Step, py python, c *exec.Container) (*pinned, error) {
	dir, err := os.MkdirTemp(j.store.tmp, "wheels")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	p := &progress{j: j, what: "resolve " + stepTitle(s)}
	sums, result := map[string]string{}, []byte(nil)
	err = j.stream(ctx, c, func(hdr *tar.Header, r io.Reader) error {
		if hdr.Name == "result.json" {
			var err error
			result, err = io.ReadAll(io.LimitReader(r, maxJSON))
			return err
		}
		if !wheelName().MatchString(hdr.Name) {
			return fmt.Errorf("the resolver sends a file named %q", hdr.Name)
		}
		var err error
		sums[hdr.Name], err = saveFile(filepath.Join(dir, hdr.Name), io.TeeReader(cancellable{ctx, r}, p))
		return err
	})
	if err != nil {
		return nil, pipError(s, err)
	}
	var all []answer
	if err := json.Unmarshal(result, &all); err != nil {
		return nil, fmt.Errorf("the resolver's answer: %w", err)
	}
	out := &pinned{Time: time.Now().UTC(), Packages: []distribution{}}
	for _, a := range all {
		d, err := j.keepWheel(py, a, dir, sums)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", a.Name, a.Version, err)
		}
		out.Packages = append(out.Packages, d)
	}
	slices.SortFunc(out.Packages, func(a, b distribution) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// What file and package names from a resolver may look like.
var (
	wheelName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.+!-]{1,200}\.whl$`) })
	pipName   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`) })
	hexSum    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{64}$`) })
)

// stream runs a container and visits the entries of the tar that it writes to its standard output.
func (j *job) stream(ctx context.Context, c *exec.Container, visit func(*tar.Header, io.Reader) error) error {
	r, w := io.Pipe()
	c.Stdout = w
	ended := make(chan error, 1)
	go func() {
		_, err := j.run(ctx, c)
		w.Close()
		ended <- err
	}()
	err := visitTar(r, visit)
	// The container writes on into nothing: closing the pipe would fail it for another reason.
	if _, drainErr := io.Copy(io.Discard, r); err == nil {
		err = drainErr
	}
	if runErr := <-ended; runErr != nil {
		return runErr
	}
	return err
}

func visitTar(r io.Reader, visit func(*tar.Header, io.Reader) error) error {
	tr := tar.NewReader(r)
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if hdr.Typeflag != tar.TypeReg {
			return fmt.Errorf("%q isn't a regular file", hdr.Name)
		}
		if err := visit(hdr, tr); err != nil {
			return err
		}
	}
}

// saveFile writes r to a new file and returns its SHA-256 in hex.
func saveFile(name string, r io.Reader) (string, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), r)
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Sync(), f.Close())
}

// keepWheel checks an answer of the resolver and moves its wheel into the cache.
func (j *job) keepWheel(py python, a answer, dir string, sums map[string]string) (distribution, error) {
	d := distribution{Name: a.Name, Version: a.Version, URL: withoutUser(a.URL)}
	if a.SHA256 != nil {
		d.Source = *a.SHA256
	}
	if !pipName().MatchString(d.Name) || d.Source != "" && !hexSum().MatchString(d.Source) {
		return d, fmt.Errorf("the resolver's answer has the name %q and the hash %q", d.Name, d.Source)
	}
	if a.Wheel == nil {
		return j.cachedWheel(py, d)
	}
	sum, ok := sums[*a.Wheel]
	if !ok {
		return d, errors.New("the resolver didn't send its wheel")
	}
	d.Wheel, d.SHA256 = *a.Wheel, sum
	isWheel := strings.HasSuffix(strings.SplitN(d.URL, "#", 2)[0], ".whl")
	if isWheel && d.Source != "" && d.Source != sum {
		return d, fmt.Errorf("the wheel has the SHA-256 %s, not the index's %s", sum, d.Source)
	}
	final := j.wheelPath(d)
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return d, err
	}
	if err := os.Rename(filepath.Join(dir, d.Wheel), final); err != nil || isWheel || d.Source == "" {
		return d, err
	}
	return d, j.store.remember(j.sdistPath(py, d.Source), d)
}

// cachedWheel completes a distribution that wasn't fetched, being in the cache.
func (j *job) cachedWheel(py python, d distribution) (distribution, error) {
	built, ok, err := recall[distribution](j.sdistPath(py, d.Source), nil)
	if ok || err != nil {
		return built, err
	}
	names, err := filepath.Glob(filepath.Join(j.opts.Home, "cache", "wheels", d.Source, "*.whl"))
	if err != nil || len(names) != 1 {
		return d, fmt.Errorf("its wheel isn't in the cache: %v", err)
	}
	d.SHA256, d.Wheel = d.Source, filepath.Base(names[0])
	return d, nil
}

// Signs, in pip's log, that it couldn't reach an index.
var unreachable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`NewConnectionError|Max retries exceeded|Temporary failure in name resolution|Name or service not known|CERTIFICATE_VERIFY_FAILED|Connection (refused|reset|timed out)|ProxyError|ReadTimeoutError`)
})

// pipError says what the resolver's failure means.
func pipError(s plan.Step, err error) error {
	var failed *exitError
	if !errors.As(err, &failed) {
		return err
	}
	log := strings.Join(failed.tail, "\n")
	e := failed.at(s.Pos, "pip can't resolve "+strings.TrimPrefix(stepTitle(s), "pip "))
	switch {
	case unreachable().MatchString(log):
		e.Class = diag.System
		return e.WithHint("pip doesn't reach its index; its configuration on this machine (pip.conf, PIP_INDEX_URL, proxies) is used")
	case strings.Contains(log, "No matching distribution") || strings.Contains(log, "ResolutionImpossible"):
		return e.WithHint("check the names and versions, and that they have releases for the image's Python")
	case strings.Contains(log, "error: command") || strings.Contains(log, "Failed building wheel") || strings.Contains(log, "metadata-generation-failed"):
		return e.WithHint("a package without a wheel is compiled in the image: install what it needs before, .with_apt_packages(\"gcc\", \"python3-dev\")")
	}
	return e
}
