package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// job is one image on its way.
type job struct {
	*Builder
	img   plan.BuildImage
	watch exec.Watch
	dry   bool // look only at what is there; what isn't is errUnmade
}

// state is an image as far as its steps have been walked.
type state struct {
	base    base
	layers  []layer
	config  v1.Config
	history []v1.History
	ran     bool // a step has run something in a container
	calls   []*call
}

// event tells the watch, if there is one.
func (j *job) event(e exec.Event) {
	if j.watch == nil || j.dry {
		return
	}
	e.Time, e.Image = time.Now(), strings.Join(j.img.Environments, ",")
	j.watch(e)
}

// step says what is being done.
func (j *job) step(what string) { j.event(exec.Event{Kind: exec.ImageStep, Step: what}) }

// named says in an error which environments the image belongs to.
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

// made returns what was made of a key, making it unless the walk is dry.
func made[T any](ctx context.Context, j *job, kind string, k *key, valid func(T) bool, maker func() (T, error)) (T, error) {
	if j.dry {
		maker = nil
	}
	return once(ctx, j.store, kind, k.hex(), valid, maker)
}

// layer returns the layer of a key.
func (j *job) layer(ctx context.Context, k *key, maker func() (layer, error)) (layer, error) {
	return made(ctx, j, "layers", k, j.store.has, maker)
}

// build makes the image and records it.
func (j *job) build(ctx context.Context) (string, error) {
	st := &state{}
	if _, err := j.walk(ctx, st); err != nil {
		return "", err
	}
	desc, blobs, err := j.assemble(st)
	if err != nil {
		return "", err
	}
	declared, err := v1.NewHash(j.img.Declared)
	if err != nil {
		return "", err
	}
	if err := j.store.addToIndex(ctx, declared.Hex[:12], desc); err != nil {
		return "", err
	}
	rec := &record{Platform: j.img.Platform, Digest: desc.Digest.String(), Time: time.Now().UTC(), Base: st.base.baseName, Blobs: blobs}
	for _, c := range st.calls {
		rec.Pip = append(rec.Pip, c.pinned)
	}
	path, err := j.recordPath(j.img.Declared, j.img.Platform)
	if err != nil {
		return "", err
	}
	return rec.Digest, j.store.remember(path, rec)
}

// walk goes through the base and the steps. It returns the number of the step
// at which it ended with an error, -1 for the base.
func (j *job) walk(ctx context.Context, st *state) (int, error) {
	var err error
	if st.base, err = j.base(ctx, j.img.Image.Base); err != nil {
		return -1, classed(j.img.Image.Base.Pos, diag.Build, err)
	}
	st.layers = slices.Clone(st.base.Layers)
	st.config = *st.base.Config.DeepCopy()
	st.history = slices.Clone(st.base.History)
	for i, s := range j.img.Image.Steps {
		if err := j.extend(ctx, st, s); err != nil {
			return i, buildError(s.Pos, err)
		}
	}
	return 0, nil
}

// extend takes one step.
func (j *job) extend(ctx context.Context, st *state, s plan.Step) error {
	var l layer
	var err error
	switch s.Kind {
	case plan.StepPip, plan.StepRequirements:
		return j.pip(ctx, st, s)
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

// configured notes in the history a step that only changes the configuration.
func (st *state) configured(s plan.Step) error {
	st.history = append(st.history, v1.History{Created: v1.Time{Time: st.base.Epoch}, CreatedBy: stepTitle(s), EmptyLayer: true})
	return nil
}

// add puts a layer on top.
func (st *state) add(l layer, title string) {
	st.layers = append(st.layers, l)
	st.history = append(st.history, v1.History{Created: v1.Time{Time: st.base.Epoch}, CreatedBy: title})
}

// setEnv sets a variable of the image's environment, in its place if it is there.
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

// diffIDs names the layers by content.
func diffIDs(layers []layer) []string {
	ids := make([]string, len(layers))
	for i, l := range layers {
		ids[i] = l.DiffID
	}
	return ids
}

// stepTitle describes a step in a line, for history, progress and messages: without the
// credentials that a URL in it may have.
func stepTitle(s plan.Step) string { return redact(title(s)) }

func title(s plan.Step) string {
	switch s.Kind {
	case plan.StepPip, plan.StepApt:
		return string(s.Kind) + " " + strings.Join(s.Packages, " ")
	case plan.StepRequirements:
		return "requirements " + s.Src
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
func (j *job) assemble(st *state) (v1.Descriptor, []blob, error) {
	if st.base.Manifest != nil && len(j.img.Image.Steps) == 0 {
		return st.base.whole()
	}
	os, rest, _ := strings.Cut(j.img.Platform, "/")
	arch, variant, _ := strings.Cut(rest, "/")
	cfg := v1.ConfigFile{
		OS: os, Architecture: arch, Variant: variant, Created: v1.Time{Time: st.base.Epoch},
		Config: st.config, History: st.history, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	var blobs []blob
	for _, l := range st.layers {
		diff, err := v1.NewHash(l.DiffID)
		if err != nil {
			return v1.Descriptor{}, nil, err
		}
		digest, err := v1.NewHash(l.Digest)
		if err != nil {
			return v1.Descriptor{}, nil, err
		}
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, diff)
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: l.MediaType, Digest: digest, Size: l.Size})
		blobs = append(blobs, blob{l.Digest, l.Size})
	}
	config, err := j.putJSON(types.OCIConfigJSON, cfg)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	m.Config = config
	manifest, err := j.putJSON(types.OCIManifestSchema1, m)
	manifest.Platform = &v1.Platform{OS: os, Architecture: arch, Variant: variant}
	return manifest, append(blobs, blob{config.Digest.String(), config.Size}, blob{manifest.Digest.String(), manifest.Size}), err
}

// putJSON writes v as a blob.
func (j *job) putJSON(mediaType types.MediaType, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	digest, err := j.store.putBlob(data)
	if err != nil {
		return v1.Descriptor{}, err
	}
	h, err := v1.NewHash(digest)
	return v1.Descriptor{MediaType: mediaType, Digest: h, Size: int64(len(data))}, err
}
