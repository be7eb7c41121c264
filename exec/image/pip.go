package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/debian"
	infiles "github.com/flytestar/flytestar/internal/source"
	"github.com/flytestar/flytestar/plan"
)

// The programs that run under an image's Python.
var (
	//go:embed python/probe.py
	probeScript string
	//go:embed python/resolve.py
	resolveScript []byte
	//go:embed python/compile.py
	compileScript []byte
)

// python is an image's Python.
type python struct {
	Version    string `json:"version"`    // "3.11.2"
	Short      string `json:"short"`      // "3.11"
	Executable string `json:"executable"` // absolute
	Platform   string `json:"platform"`   // what decides which wheels fit: machine, ABI, libc
	Magic      string `json:"magic"`      // of its bytecode, in hex
	Pip        string `json:"pip"`        // version of its own pip; empty if it has none
}

// key adds everything about a Python that wheels and their bytecode depend on.
func (p python) key(k *key) *key { return k.str(p.Version).str(p.Platform).str(p.Magic) }

// call is a pip step, and what it has come to.
type call struct {
	step   plan.Step
	py     python
	under  []layer // the image before it: where its wheels are compiled
	pinned *pinned
	wheels []laidWheel
}

// pinned is what the requirements of a call came to.
type pinned struct {
	Time     time.Time      `json:"time"`
	Packages []distribution `json:"packages"` // by name
}

// distribution is one exact package.
type distribution struct {
	Name    string `json:"name"` // normalised
	Version string `json:"version"`
	URL     string `json:"url"`    // where it was found, without credentials
	Source  string `json:"source"` // SHA-256 of what the index has, in hex; empty if it doesn't say
	Wheel   string `json:"wheel"`  // the wheel's file name
	SHA256  string `json:"sha256"` // of the wheel, in hex: other than Source where it was built from an sdist
}

// pip takes a pip or requirements step: it resolves its requirements and puts
// the layers of their wheels on top.
func (j *job) pip(ctx context.Context, st *state, s plan.Step) error {
	var py python
	var err error
	if len(st.calls) > 0 {
		py = st.calls[0].py // whose virtual environment it is
	} else if py, err = j.python(ctx, st, s); err != nil {
		return err
	}
	want, err := j.requirements(s)
	if err != nil {
		return err
	}
	c := &call{step: s, py: py, under: slices.Clone(st.layers)}
	if c.pinned, err = j.pin(ctx, st, s, py, want); err != nil {
		return err
	}
	if err := j.venv(ctx, st, py); err != nil {
		return err
	}
	return j.addWheels(ctx, st, c)
}

// python returns the image's Python so far.
func (j *job) python(ctx context.Context, st *state, s plan.Step) (python, error) {
	k := newKey("python 1").list(diffIDs(st.layers)).str(st.env("PATH"))
	py, err := made(ctx, j, "python", k, nil, func() (python, error) {
		var out bytes.Buffer
		c := &exec.Container{
			Name: "python", Layers: j.store.open(st.layers), Env: j.runEnv(st), Stdout: &out,
			Args: []string{"/bin/sh", "-c", `command -v python3 >/dev/null || exit 99; exec python3 -c "$1"`, "sh", probeScript},
		}
		_, err := j.run(ctx, c)
		var failed *exitError
		if errors.As(err, &failed) && failed.Code == 99 || len(st.layers) == 0 {
			return python{}, diag.Errorf(s.Pos, diag.Build, "the image has no python3, which pip packages need").
				WithHint("start from image.from_debian_base(), or install it before: .with_apt_packages(\"python3\")")
		}
		if errors.As(err, &failed) {
			return python{}, failed.at(s.Pos, "the image's python3")
		}
		if err != nil {
			return python{}, err
		}
		var py python
		if err := json.Unmarshal(out.Bytes(), &py); err != nil {
			return py, fmt.Errorf("the image's python3 says %.200q: %w", out.String(), err)
		}
		return py, py.check()
	})
	return py, err
}

var shortVersion = regexp.MustCompile(`^3\.[0-9]{1,3}$`)

// check refuses what would end up in paths.
func (p python) check() error {
	if !shortVersion.MatchString(p.Short) || !path.IsAbs(p.Executable) || strings.ContainsAny(p.Executable+p.Version, "\n\r\x00") {
		return fmt.Errorf("the image's python3 says that it is %q at %q", p.Version, p.Executable)
	}
	return nil
}

// wanted is what pip is asked for: files that name requirements, and the arguments that name the files.
type wanted struct {
	files []exec.File
	args  []string
}

// key adds what is wanted.
func (w wanted) key(k *key) *key {
	k.list(w.args).int(int64(len(w.files)))
	for _, f := range w.files {
		k.str(f.Path).str(string(f.Data))
	}
	return k
}

// requirements returns what a step asks pip for. A requirements file comes with the
// files of the workspace that it includes, and with no others.
func (j *job) requirements(s plan.Step) (wanted, error) {
	if s.Kind == plan.StepRequirements {
		return j.requirementsFile(s)
	}
	lines := slices.Sorted(slices.Values(s.Packages))
	for _, l := range lines {
		if strings.TrimSpace(l) == "" || strings.HasPrefix(strings.TrimSpace(l), "-") || strings.ContainsAny(l, "\n\r\x00") {
			return wanted{}, diag.Errorf(s.Pos, diag.Build, "%q is no requirement", l).WithHint("write a package as in \"numpy>=2\", with one string for each")
		}
	}
	name := pipDir + "/requirements.txt"
	return wanted{[]exec.File{{Path: name, Mode: 0o600, Data: text(lines)}}, []string{"-r", name}}, nil
}

func (j *job) requirementsFile(s plan.Step) (wanted, error) {
	if j.opts.Workspace == nil {
		return wanted{}, fmt.Errorf("there is no workspace to take %s from", s.Src)
	}
	files := j.opts.Workspace.FS()
	found, err := infiles.ReadRequirements(files, s.Src)
	if err != nil {
		return wanted{}, err
	}
	w := wanted{args: []string{"-r", path.Join(pipDir, "requirements", s.Src)}}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(found.Files))) {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return wanted{}, err
		}
		w.files = append(w.files, exec.File{Path: path.Join(pipDir, "requirements", name), Mode: 0o600, Data: data})
	}
	return w, nil
}

// pin returns the exact packages of requirements. Where they overlap with those of earlier calls in other versions,
// they are resolved again with the earlier versions as constraints.
func (j *job) pin(ctx context.Context, st *state, s plan.Step, py python, want wanted) (*pinned, error) {
	p, err := j.resolve(ctx, st, s, py, want, nil)
	if err != nil {
		return nil, err
	}
	other := st.clash(p)
	if other == nil {
		return p, nil
	}
	p, err = j.resolve(ctx, st, s, py, want, st.constraints())
	if err == nil && st.clash(p) == nil || errors.Is(err, errUnmade) {
		return p, err
	}
	var e *diag.Error
	if err != nil && (!errors.As(err, &e) || e.Class != diag.Build) {
		return nil, err
	}
	clash := diag.Errorf(s.Pos, diag.Build, "%s can't be installed after %s: they need different versions of %s",
		stepTitle(s), stepTitle(other.step), other.name).WithHint("name the packages in one call, or loosen the versions")
	clash.Notes = []diag.Note{{Pos: other.step.Pos, Msg: fmt.Sprintf("this call installs %s %s", other.name, other.version)}}
	if e != nil {
		clash.Notes = append(clash.Notes, e.Notes...)
	}
	return nil, clash
}

// clashing is a package that an earlier call has in another version.
type clashing struct {
	step          plan.Step
	name, version string
}

// clash finds the first package of p that an earlier call has in another version.
func (st *state) clash(p *pinned) *clashing {
	for _, d := range p.Packages {
		for _, c := range st.calls {
			for _, had := range c.pinned.Packages {
				if had.Name == d.Name && had.Version != d.Version {
					return &clashing{c.step, had.Name, had.Version}
				}
			}
		}
	}
	return nil
}

// constraints pins what earlier calls installed.
func (st *state) constraints() []string {
	pins := map[string]bool{}
	for _, c := range st.calls {
		for _, d := range c.pinned.Packages {
			pins[d.Name+"=="+d.Version] = true
		}
	}
	return slices.Sorted(maps.Keys(pins))
}

// resolve returns what requirements come to, and has the wheels in the cache. It is asked
// once for the same requirements, indices, Python and platform.
func (j *job) resolve(ctx context.Context, st *state, s plan.Step, py python, want wanted, constraints []string) (*pinned, error) {
	config, err := j.pipConfig()
	if err != nil {
		return nil, err
	}
	config = config.withStep(s)
	k := want.key(py.key(newKey("pip 1").str(j.img.Platform))).list(constraints).list(config.public()).bool(s.Pre)
	return made(ctx, j, "pip", k, j.hasWheels, func() (*pinned, error) {
		j.step("resolve " + stepTitle(s))
		layers := st.base.Layers
		if len(layers) == 0 || st.ran && !j.samePython(ctx, st, py) {
			layers = st.layers
		}
		// The base's environment, since the key doesn't have the image's.
		bottom := &state{base: st.base, layers: layers, config: st.base.Config}
		p, err := j.runPip(ctx, bottom, s, py, config, want, constraints)
		var failed *diag.Error
		if errors.As(err, &failed) && failed.Class == diag.Build && st.ran && len(layers) != len(st.layers) {
			// What an earlier step installed may be what building an sdist needs.
			return j.runPip(ctx, st, s, py, config, want, constraints)
		}
		return p, err
	})
}

// samePython reports whether the image's base has the same Python as the image.
func (j *job) samePython(ctx context.Context, st *state, py python) bool {
	bottom := &state{base: st.base, layers: st.base.Layers, config: st.config}
	was, err := j.python(ctx, bottom, plan.Step{})
	return err == nil && was == py
}

// hasWheels reports whether the wheels of a resolution are in the cache.
func (j *job) hasWheels(p *pinned) bool {
	return !slices.ContainsFunc(p.Packages, func(d distribution) bool { return !j.hasWheel(d) })
}

func (j *job) hasWheel(d distribution) bool {
	_, err := os.Stat(j.wheelPath(d))
	return err == nil
}

// wheelPath is where a wheel is kept.
func (j *job) wheelPath(d distribution) string {
	return filepath.Join(j.opts.Home, "cache", "wheels", d.SHA256, d.Wheel)
}

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
		if hdr.Typeflag != tar.TypeReg || !strings.HasPrefix(name, "pip-") || !wheelName.MatchString(name) || d.Wheel != "" {
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
		if !wheelName.MatchString(hdr.Name) {
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
	wheelName = regexp.MustCompile(`^[A-Za-z0-9_.+!-]{1,200}\.whl$`)
	pipName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	hexSum    = regexp.MustCompile(`^[0-9a-f]{64}$`)
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
	if !pipName.MatchString(d.Name) || d.Source != "" && !hexSum.MatchString(d.Source) {
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
var unreachable = regexp.MustCompile(`NewConnectionError|Max retries exceeded|Temporary failure in name resolution|Name or service not known|CERTIFICATE_VERIFY_FAILED|Connection (refused|reset|timed out)|ProxyError|ReadTimeoutError`)

// pipError says what the resolver's failure means.
func pipError(s plan.Step, err error) error {
	var failed *exitError
	if !errors.As(err, &failed) {
		return err
	}
	log := strings.Join(failed.tail, "\n")
	e := failed.at(s.Pos, "pip can't resolve "+strings.TrimPrefix(stepTitle(s), "pip "))
	switch {
	case unreachable.MatchString(log):
		e.Class = diag.System
		return e.WithHint("pip doesn't reach its index; its configuration on this machine (pip.conf, PIP_INDEX_URL, proxies) is used")
	case strings.Contains(log, "No matching distribution") || strings.Contains(log, "ResolutionImpossible"):
		return e.WithHint("check the names and versions, and that they have releases for the image's Python")
	case strings.Contains(log, "error: command") || strings.Contains(log, "Failed building wheel") || strings.Contains(log, "metadata-generation-failed"):
		return e.WithHint("a package without a wheel is compiled in the image: install what it needs before, .with_apt_packages(\"gcc\", \"python3-dev\")")
	}
	return e
}

// venvDir is where packages live in an image, relative to its root.
const venvDir = "opt/venv"

// venv puts the virtual environment under the first wheels.
func (j *job) venv(ctx context.Context, st *state, py python) error {
	if len(st.calls) > 0 {
		return nil
	}
	f, err := j.store.trees(st.layers)
	if err != nil {
		return err
	}
	if at, err := f.resolve("/" + venvDir); err != nil || at != venvDir {
		return fmt.Errorf("/%s leads to /%s in the base: %w", venvDir, at, errors.Join(err, errors.New("packages need a directory there")))
	}
	l, err := j.venvLayer(ctx, py)
	if err != nil {
		return err
	}
	st.add(l, "venv /"+venvDir)
	old := st.env("PATH")
	if old == "" {
		old = defaultPath
	}
	st.setEnv("PATH", "/"+venvDir+"/bin:"+old)
	st.setEnv("VIRTUAL_ENV", "/"+venvDir)
	return nil
}

func (j *job) venvLayer(ctx context.Context, py python) (layer, error) {
	return j.layer(ctx, newKey("venv 1").str(py.Executable).str(py.Version), func() (layer, error) {
		return j.store.writeLayer(ctx, func(t *tarball) error { return writeVenv(t, py) })
	})
}

// writeVenv writes what "python3 -m venv --without-pip" makes.
func writeVenv(t *tarball, py python) error {
	cfg := fmt.Sprintf("home = %s\ninclude-system-site-packages = false\nversion = %s\nexecutable = %s\n", path.Dir(py.Executable), py.Version, py.Executable)
	links := [][2]string{{"bin/python", "python3"}, {"bin/python3", py.Executable}, {"bin/python" + py.Short, "python3"}, {"lib64", "lib"}}
	site := venvDir + "/lib/python" + py.Short + "/site-packages"
	for _, l := range links {
		hdr := &tar.Header{Typeflag: tar.TypeSymlink, Name: venvDir + "/" + l[0], Linkname: l[1], Mode: 0o777, ModTime: fileTime}
		if err := t.parents(hdr.Name); err != nil {
			return err
		}
		if err := t.header(hdr, nil); err != nil {
			return err
		}
	}
	if err := t.parents(site + "/x"); err != nil {
		return err
	}
	return t.header(&tar.Header{Typeflag: tar.TypeReg, Name: venvDir + "/pyvenv.cfg", Size: int64(len(cfg)), Mode: 0o644, ModTime: fileTime}, strings.NewReader(cfg))
}

// addWheelLayer puts a layer of wheels on top, unless the image has it.
func (st *state) addWheelLayer(l layer, title string) {
	for _, had := range st.layers {
		if had.Digest == l.Digest {
			return // a big wheel that an earlier call has already
		}
	}
	st.layers = append(st.layers, l)
	st.history = append(st.history, v1.History{Created: v1.Time{Time: st.base.Epoch}, CreatedBy: title})
}
