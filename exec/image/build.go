package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/pip"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// job is the build of one image.
type job struct {
	*Builder
	img   plan.BuildImage
	watch exec.Watch
	memo  *memo.Memo // what was made before; in a dry walk it only looks
}

func (b *Builder) job(img plan.BuildImage, watch exec.Watch) *job {
	return &job{Builder: b, img: img, watch: watch, memo: b.store.memo}
}

// processes runs the job's containers.
func (j *job) processes() *process.Runner {
	return &process.Runner{Sandbox: j.opts.Sandbox, Platform: j.img.Platform, Environ: j.opts.Environ}
}

// state is the image after the steps so far.
type state struct {
	base    base
	layers  []oci.Layer
	config  v1.Config
	history []v1.History
	ran     bool // a step has run something in a container
	pip     *pip.Installer
}

// event tells the watch, if there is one.
func (j *job) event(e exec.Event) {
	if j.watch == nil || j.memo.Looking {
		return
	}
	e.Time, e.Image = time.Now(), strings.Join(j.img.Environments, ",")
	j.watch(e)
}

// step reports what is being done.
func (j *job) step(what string) { j.event(exec.Event{Kind: exec.ImageStep, Step: what}) }

// named adds to an error which environments the image belongs to.
func (j *job) named(err error) error {
	err = systemError(err)
	var e *diag.Error
	if len(j.img.Environments) == 0 || !errors.As(err, &e) {
		return err
	}
	named := *e
	named.Msg = "image of " + strings.Join(j.img.Environments, ", ") + ": " + e.Msg
	return &named
}

// layer returns the layer of a key. It calls maker if there is none.
func (j *job) layer(ctx context.Context, k *memo.Key, maker func() (oci.Layer, error)) (oci.Layer, error) {
	return memo.Made(ctx, j.memo, "layers", k, j.store.layout.Has, maker)
}

// build makes the image and records it.
func (j *job) build(ctx context.Context) (plan.Digest, error) {
	m := *j.memo
	m.Waiting = func() { j.step("wait for another image or another process that makes the same") }
	j.memo = &m
	st := &state{}
	if _, err := j.walk(ctx, st); err != nil {
		return "", err
	}
	desc, blobs, err := j.assemble(st)
	if err != nil {
		return "", err
	}
	path, err := j.recordPath(j.img.Declared, j.img.Platform)
	if err != nil {
		return "", err
	}
	if err := j.store.layout.List(ctx, j.img.Declared.Hex()[:12], desc); err != nil {
		return "", err
	}
	rec := &record{Format: recordFormat, Platform: j.img.Platform, Digest: plan.Digest(desc.Digest.String()), Time: time.Now().UTC(), Base: st.base.baseName, Blobs: blobs, Pip: st.pip.Pinned()}
	return rec.Digest, j.memo.WriteFile(path, rec)
}

// walk goes through the base and the steps. With an error it returns the number of the step that
// failed, or -1 for the base.
func (j *job) walk(ctx context.Context, st *state) (int, error) {
	var err error
	if st.base, err = j.base(ctx, j.img.Image.Base); err != nil {
		return -1, classed(j.img.Image.Base.Pos, diag.Build, err)
	}
	st.layers = slices.Clone(st.base.Layers)
	st.config = *st.base.Config.DeepCopy()
	st.history = slices.Clone(st.base.History)
	st.pip = j.installer(st)
	for i, s := range j.img.Image.Steps {
		if err := j.extend(ctx, st, s); err != nil {
			return i, buildError(s.Pos, err)
		}
		if n := len(st.layers); n > plan.MaxLayers {
			return i, diag.Errorf(s.Pos, diag.Build, "with this step the image has %d layers, and an image can have %d", n, plan.MaxLayers).
				WithHint("give one step more packages or commands, or use a base with fewer layers")
		}
	}
	return 0, nil
}

// extend takes one step.
func (j *job) extend(ctx context.Context, st *state, s plan.Step) error {
	var l oci.Layer
	var err error
	switch s.Kind {
	case plan.StepPip, plan.StepRequirements:
		return j.install(ctx, st, s)
	case plan.StepApt:
		l, err = j.apt(ctx, st, s)
	case plan.StepCommands:
		l, err = j.commands(ctx, st, s)
	case plan.StepFile, plan.StepFolder:
		if j.opts.Workspace == nil {
			return fmt.Errorf("there is no workspace to take %s from", s.Src)
		}
		l, err = j.filesLayer(ctx, st, s)
	case plan.StepEnv:
		for _, name := range slices.Sorted(maps.Keys(s.EnvVars)) {
			st.setEnv(name, s.EnvVars[name])
		}
		return st.configured(s)
	case plan.StepWorkdir:
		st.config.WorkingDir = path.Join("/", st.config.WorkingDir, s.Name)
		if path.IsAbs(s.Name) {
			st.config.WorkingDir = path.Clean(s.Name)
		}
		return st.configured(s)
	case plan.StepUser:
		st.config.User = s.Name
		return st.configured(s)
	default:
		return fmt.Errorf("unknown step %q", s.Kind)
	}
	if err != nil {
		return err
	}
	st.add(l, stepTitle(s))
	return nil
}

// configured adds a step that only changes the configuration to the history.
func (st *state) configured(s plan.Step) error {
	st.history = append(st.history, v1.History{Created: v1.Time{Time: st.base.Epoch}, CreatedBy: stepTitle(s), EmptyLayer: true})
	return nil
}

// add puts a layer on top.
func (st *state) add(l oci.Layer, title string) {
	st.layers = append(st.layers, l)
	st.history = append(st.history, v1.History{Created: v1.Time{Time: st.base.Epoch}, CreatedBy: title})
}

// setEnv sets a variable of the image's environment. A variable that is there keeps its place.
func (st *state) setEnv(name, value string) {
	for i, e := range st.config.Env {
		if strings.HasPrefix(e, name+"=") {
			st.config.Env[i] = name + "=" + value
			return
		}
	}
	st.config.Env = append(st.config.Env, name+"="+value)
}

// env returns a variable of the image's environment.
func (st *state) env(name string) string {
	for _, e := range st.config.Env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// stepTitle describes a step in a line, for history, progress and messages. It leaves out the
// credentials that a URL in the step may have.
func stepTitle(s plan.Step) string {
	if isPip(s) {
		return pip.Title(s)
	}
	return text.Redact(title(s))
}

func title(s plan.Step) string {
	switch s.Kind {
	case plan.StepApt:
		return "apt " + strings.Join(s.Packages, " ")
	case plan.StepCommands:
		return "commands " + strings.Join(s.Commands, "; ")
	case plan.StepFile, plan.StepFolder:
		return string(s.Kind) + " " + s.Src + " " + s.Dst
	case plan.StepEnv:
		return "env " + strings.Join(slices.Sorted(maps.Keys(s.EnvVars)), " ")
	}
	return string(s.Kind) + " " + s.Name
}

// assemble writes the image's configuration and manifest.
func (j *job) assemble(st *state) (v1.Descriptor, []oci.Blob, error) {
	if st.base.Manifest != nil && len(j.img.Image.Steps) == 0 {
		return st.base.whole()
	}
	os, rest, _ := strings.Cut(j.img.Platform, "/")
	arch, variant, _ := strings.Cut(rest, "/")
	return j.store.layout.PutImage(v1.ConfigFile{
		OS: os, Architecture: arch, Variant: variant, Created: v1.Time{Time: st.base.Epoch}, Config: st.config, History: st.history,
	}, st.layers)
}
