package pip

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
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// resolve returns the exact packages of requirements, with their wheels in the cache: those that the
// image doesn't bring. It runs pip once for the same requirements, indices, Python, platform, and
// packages that the image brings.
func (inst *Installer) resolve(ctx context.Context, img Image, s plan.Step, py python, want wanted, constraints []string) (*Pinned, error) {
	config, err := readConfig(inst.Environ)
	if err != nil {
		return nil, err
	}
	config = config.withStep(s)
	k := want.key(py.key(memo.NewKey("pip 1").Str(inst.Platform))).List(constraints).List(config.public()).Bool(s.Pre)
	if len(py.Brings) > 0 {
		k.List(py.Brings)
	}
	return memo.Made(ctx, inst.Memo, "pip", k, inst.hasWheels, func() (*Pinned, error) {
		inst.Build.Step("resolve " + Title(s))
		bottom := inst.Base // with the base's environment: that of the image isn't in the key
		if len(bottom.Layers) == 0 || img.Ran && !inst.samePython(ctx, img, py) {
			bottom.Layers = inst.under.Layers
		}
		old, known, err := memo.Recall[*Pinned](inst.Memo, "pip", k.Hex())
		if err != nil {
			return nil, err
		}
		if again, ok := inst.lostWheels(old); known && ok {
			return inst.fetch(ctx, bottom, s, py, config, old, again)
		}
		p, err := inst.runPip(ctx, bottom, s, py, config, want, constraints)
		var failed *diag.Error
		// In a virtual environment of the image's own, what earlier calls installed would count as brought.
		again := img.Ran && len(bottom.Layers) != len(img.Layers) && !(py.extends() && len(inst.calls) > 0)
		if errors.As(err, &failed) && failed.Class == diag.Build && again {
			// Building an sdist may need what an earlier step installed.
			return inst.runPip(ctx, img, s, py, config, want, constraints)
		}
		return p, err
	})
}

// lostWheels returns requirements for exactly the wheels of a resolution that the cache has lost;
// false if the index doesn't say which they are.
func (inst *Installer) lostWheels(p *Pinned) (wanted, bool) {
	var lines []string
	if p == nil {
		return wanted{}, false
	}
	for _, d := range p.Packages {
		if inst.hasWheel(d) {
			continue
		}
		if d.Source == "" {
			return wanted{}, false
		}
		where, _, _ := strings.Cut(d.URL, "#")
		lines = append(lines, d.Name+" @ "+where+"#sha256="+d.Source)
	}
	name := runDir + "/requirements.txt"
	return wanted{[]exec.File{{Path: name, Mode: 0o600, Data: joined(lines)}}, []string{"--no-deps", "-r", name}}, true
}

// fetch gets the wheels that the cache has lost. The resolution stays what it was, but for the wheel
// of an sdist, which may be another when it is built again.
func (inst *Installer) fetch(ctx context.Context, img Image, s plan.Step, py python, config settings, old *Pinned, want wanted) (*Pinned, error) {
	py.Brings = nil // what the image brings is no reason not to fetch
	got, err := inst.runPip(ctx, img, s, py, config, want, nil)
	var failed *diag.Error
	if errors.As(err, &failed) && failed.Class == diag.Build {
		return nil, failed.WithHint("these packages were resolved on %s and aren't in the cache any more; remove index/pip in the home directory to resolve again", old.Time.Format(time.DateOnly))
	}
	if err != nil {
		return nil, err
	}
	out := &Pinned{Time: old.Time, Packages: slices.Clone(old.Packages)}
	for _, d := range got.Packages {
		i := slices.IndexFunc(out.Packages, func(had Distribution) bool { return had.Name == d.Name && had.Version == d.Version })
		if i < 0 {
			return nil, fmt.Errorf("%s is %s %s now, which wasn't resolved", d.URL, d.Name, d.Version)
		}
		out.Packages[i] = d
	}
	return out, nil
}

// samePython reports whether the image's base has the same Python as the image, and brings the same
// packages.
func (inst *Installer) samePython(ctx context.Context, img Image, py python) bool {
	bottom := Image{Layers: inst.Base.Layers, Path: img.Path, Environ: img.Environ}
	was, err := inst.python(ctx, bottom, plan.Step{})
	return err == nil && reflect.DeepEqual(was, py)
}

// hasWheels reports whether the wheels of a resolution are in the cache.
func (inst *Installer) hasWheels(p *Pinned) bool {
	return !slices.ContainsFunc(p.Packages, func(d Distribution) bool { return !inst.hasWheel(d) })
}

func (inst *Installer) hasWheel(d Distribution) bool {
	_, err := os.Stat(inst.wheelPath(d))
	return err == nil
}

// wheelPath returns the path of a wheel in the cache.
func (inst *Installer) wheelPath(d Distribution) string {
	return filepath.Join(inst.Cache, "wheels", d.SHA256, d.Wheel)
}

// runPip runs the resolver in the image so far.
func (inst *Installer) runPip(ctx context.Context, img Image, s plan.Step, py python, config settings, want wanted, constraints []string) (*Pinned, error) {
	c := &exec.Container{
		Name: "pip", Layers: inst.Layout.Open(img.Layers), Network: true, Workdir: "/",
		Args: []string{py.Command, runDir + "/resolve.py", runDir + "/resolve.json"},
		Env:  append(slices.Clone(img.Environ), "PYTHONDONTWRITEBYTECODE=1", "PYTHONIOENCODING=utf-8", "PIP_BREAK_SYSTEM_PACKAGES=1"),
	}
	ask := struct {
		Args         []string `json:"args"`
		Requirements []string `json:"requirements"`
		Fresh        bool     `json:"fresh"`
		Pip          string   `json:"pip"`
		Have         []string `json:"have"`
	}{Args: []string{}, Requirements: want.args, Fresh: len(py.Brings) == 0}
	var err error
	if ask.Have, err = inst.cachedWheels(py); err != nil {
		return nil, err
	}
	if !pipReports(py.Pip) {
		own, err := inst.pipLayer(ctx, img, s, py)
		if err != nil {
			return nil, err
		}
		c.Layers = append(c.Layers, inst.Layout.Open([]oci.Layer{own})...)
		ask.Pip = "/" + pipDir
	}
	if s.Pre {
		ask.Args = append(ask.Args, "--pre")
	}
	if len(constraints) > 0 {
		ask.Requirements = append(ask.Requirements, "-c", runDir+"/constraints.txt")
	}
	data, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	c.Files = append([]exec.File{
		{Path: runDir + "/resolve.py", Mode: 0o644, Data: resolveScript},
		{Path: runDir + "/resolve.json", Mode: 0o644, Data: data},
		{Path: runDir + "/constraints.txt", Mode: 0o600, Data: joined(constraints)},
	}, want.files...)
	netrc, err := netrc(inst.Environ, config, want)
	if err == nil {
		err = config.apply(c, netrc)
	}
	if err != nil {
		return nil, err
	}
	return inst.takeWheels(ctx, s, py, c)
}

// pipReports reports whether a version of pip has the options that the resolver needs: --dry-run
// and --report came with 22.2.
func pipReports(version string) bool {
	var major, minor int
	n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return n == 2 && (major > 22 || major == 22 && minor >= 2)
}

// cachedWheels lists the SHA-256 of distributions that needn't be fetched again: those of wheels,
// and those of sdists of which a wheel was built for the same Python.
func (inst *Installer) cachedWheels(py python) ([]string, error) {
	wheels, err := os.ReadDir(filepath.Join(inst.Cache, "wheels"))
	if err != nil {
		return nil, err
	}
	sums, err := inst.Memo.Keys(sdists(py))
	if err != nil {
		return nil, err
	}
	for _, e := range wheels {
		sums = append(sums, e.Name())
	}
	return sums, nil
}

// sdists names the kind of memory that says which wheel was built of an sdist for a Python.
func sdists(py python) string { return "sdists/" + py.key(memo.NewKey("sdist 1")).Hex() }

// pipWheel returns Debian's wheel of pip, for images that have no pip of their own.
func (inst *Installer) pipWheel(ctx context.Context) (Distribution, error) {
	// It is remembered, since reading the mirror's index takes longer than pip does.
	return memo.Made(ctx, inst.Memo, "pip-wheels", memo.NewKey("pip wheel 1").Str(inst.Suite), inst.hasWheel, func() (d Distribution, err error) {
		dir, err := inst.Memo.Scratch.Dir(0o755)
		if err != nil {
			return d, err
		}
		defer durable.RemoveTree(dir)
		const deb = "python3-pip-whl"
		d.Name = "pip"
		d.Version, err = inst.Build.DebianFiles(ctx, inst.Suite, deb, func(hdr *tar.Header, r io.Reader) error {
			name := path.Base(hdr.Name)
			if hdr.Typeflag != tar.TypeReg || !strings.HasPrefix(name, "pip-") || !wheelName().MatchString(name) || d.Wheel != "" {
				return nil
			}
			d.Wheel = name
			var err error
			d.SHA256, err = saveFile(filepath.Join(dir, name), r)
			return err
		})
		if err == nil && d.Wheel == "" {
			err = fmt.Errorf("package %s %s holds no wheel of pip", deb, d.Version)
		}
		if err != nil {
			return d, err
		}
		return d, inst.cacheWheel(dir, d)
	})
}

// cacheWheel moves a wheel from a directory into the cache.
func (inst *Installer) cacheWheel(dir string, d Distribution) error {
	final := inst.wheelPath(d)
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, d.Wheel), final)
}

// pipDir is where the resolver's container has Debian's pip: beside the packages of the image, so
// that pip doesn't count as one of them.
const pipDir = "opt/flytestar/pip"

// pipLayer returns a layer with Debian's pip, for the resolver's container only. Laid down like any
// wheel, pip starts three times as fast as from its archive.
func (inst *Installer) pipLayer(ctx context.Context, img Image, s plan.Step, py python) (oci.Layer, error) {
	wheel, err := inst.pipWheel(ctx)
	if err != nil {
		return oci.Layer{}, err
	}
	c := &call{step: s, title: "Debian's pip", py: py, under: img, pinned: &Pinned{Packages: []Distribution{wheel}}}
	wheels, err := inst.lay(ctx, c)
	if err != nil {
		return oci.Layer{}, err
	}
	return inst.layer(ctx, memo.NewKey("pip itself 1").Str(wheels[0].Key), func() (oci.Layer, error) {
		if err := inst.needFragments(ctx, c, wheels); err != nil {
			return oci.Layer{}, err
		}
		return inst.Layout.WriteLayer(ctx, func(lw *oci.LayerWriter) error {
			return inst.copyFragment(lw, wheels[0], func(name string) (string, bool) {
				rest, ok := strings.CutPrefix(name, siteDir(py)+"/")
				return pipDir + "/" + rest, ok
			})
		})
	})
}

// maxAnswer bounds the resolver's answer, in bytes.
const maxAnswer = 16 << 20

// answer is what the resolver says of one distribution.
type answer struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	URL     string  `json:"url"`
	SHA256  *string `json:"sha256"`
	Wheel   *string `json:"wheel"`
}

// takeWheels runs the resolver's container and puts the wheels that it sends into the cache.
func (inst *Installer) takeWheels(ctx context.Context, s plan.Step, py python, c *exec.Container) (*Pinned, error) {
	dir, err := inst.Memo.Scratch.Dir(0o755)
	if err != nil {
		return nil, err
	}
	defer durable.RemoveTree(dir)
	p := inst.Build.Progress("packages of " + Title(s))
	sums, result := map[string]string{}, []byte(nil)
	err = inst.stream(ctx, c, func(hdr *tar.Header, r io.Reader) error {
		if hdr.Name == "result.json" {
			var err error
			result, err = io.ReadAll(io.LimitReader(r, maxAnswer))
			return err
		}
		if !wheelName().MatchString(hdr.Name) {
			return fmt.Errorf("the resolver sends a file named %q", hdr.Name)
		}
		var err error
		sums[hdr.Name], err = saveFile(filepath.Join(dir, hdr.Name), io.TeeReader(exec.Cancellable(ctx, r), p))
		return err
	})
	if err != nil {
		return nil, explain(s, err)
	}
	var all []answer
	if err := json.Unmarshal(result, &all); err != nil {
		return nil, fmt.Errorf("the resolver's answer: %w", err)
	}
	out := &Pinned{Time: time.Now().UTC(), Packages: []Distribution{}}
	for _, a := range all {
		d, err := inst.keepWheel(py, a, dir, sums)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", a.Name, a.Version, err)
		}
		out.Packages = append(out.Packages, d)
	}
	slices.SortFunc(out.Packages, func(a, b Distribution) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Patterns of file and package names that a resolver may send.
var (
	wheelName   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.+!-]{1,200}\.whl$`) })
	projectName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`) })
	hexSum      = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{64}$`) })
)

// stream runs a container and visits the entries of the tar that it writes to its standard output.
func (inst *Installer) stream(ctx context.Context, c *exec.Container, visit func(*tar.Header, io.Reader) error) error {
	r, w := io.Pipe()
	c.Stdout = w
	ended := make(chan error, 1)
	go func() {
		err := inst.Build.Run(ctx, c)
		w.Close()
		ended <- err
	}()
	err := visitTar(r, visit)
	// Let the container write to its end: a closed pipe would make it fail for another reason.
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
func (inst *Installer) keepWheel(py python, a answer, dir string, sums map[string]string) (Distribution, error) {
	d := Distribution{Name: a.Name, Version: a.Version, URL: text.WithoutUser(a.URL)}
	if a.SHA256 != nil {
		d.Source = *a.SHA256
	}
	if !projectName().MatchString(d.Name) || d.Source != "" && !hexSum().MatchString(d.Source) {
		return d, fmt.Errorf("the resolver's answer has the name %q and the hash %q", d.Name, d.Source)
	}
	if a.Wheel == nil {
		return inst.cachedWheel(py, d)
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
	if err := inst.cacheWheel(dir, d); err != nil || isWheel || d.Source == "" {
		return d, err
	}
	return d, inst.Memo.Remember(sdists(py), d.Source, d)
}

// cachedWheel completes a distribution that wasn't fetched because the cache has it.
func (inst *Installer) cachedWheel(py python, d Distribution) (Distribution, error) {
	built, ok, err := memo.Recall[Distribution](inst.Memo, sdists(py), d.Source)
	if ok || err != nil {
		return built, err
	}
	names, err := filepath.Glob(filepath.Join(inst.Cache, "wheels", d.Source, "*.whl"))
	if err != nil || len(names) != 1 {
		return d, fmt.Errorf("its wheel isn't in the cache: %v", err)
	}
	d.SHA256, d.Wheel = d.Source, filepath.Base(names[0])
	return d, nil
}

// unreachable matches signs in pip's log that it couldn't reach an index.
var unreachable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`NewConnectionError|Max retries exceeded|Temporary failure in name resolution|Name or service not known|CERTIFICATE_VERIFY_FAILED|Connection (refused|reset|timed out)|ProxyError|ReadTimeoutError`)
})

// explain says what the resolver's failure means.
func explain(s plan.Step, err error) error {
	var failed *process.Failed
	if !errors.As(err, &failed) {
		return err
	}
	log := strings.Join(failed.Log, "\n")
	e := failed.At(s.Pos, "pip can't resolve "+strings.TrimPrefix(Title(s), "pip "))
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
