package image

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
	infiles "github.com/flytestar/flytestar/workspace"
)

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
