package image

import (
	"archive/tar"
	"context"
	"io"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/debian"
	"github.com/flytestar/flytestar/exec/image/pip"
	"github.com/flytestar/flytestar/plan"
)

// installer returns the installer for the pip steps of an image on st's base.
func (j *job) installer(st *state) *pip.Installer {
	opts := pip.Options{
		Build: pipBuild{j}, Memo: j.memo, Layout: j.store.layout, Cache: j.store.home.Cache(""),
		Environ: j.opts.Environ, Slots: j.slots, Platform: j.img.Platform, Base: j.soFar(st),
	}
	if j.opts.Workspace != nil {
		opts.Workspace = j.opts.Workspace.FS()
	}
	if st.base.Kind == plan.BaseDebian {
		opts.Suite = st.base.Name
	}
	return pip.New(opts)
}

// soFar returns the image so far, in the form that pip steps take.
func (j *job) soFar(st *state) pip.Image {
	return pip.Image{Layers: st.layers, Path: st.env("PATH"), Environ: j.runEnv(st), Ran: st.ran}
}

// install takes a pip or requirements step.
func (j *job) install(ctx context.Context, st *state, s plan.Step) error {
	ext, err := st.pip.Step(ctx, j.soFar(st), s)
	// Also if there is an error: State counts the layers that are there.
	for _, l := range ext.Layers {
		st.add(l.Layer, l.Title)
	}
	for _, e := range ext.Env {
		name, value, _ := strings.Cut(e, "=")
		st.setEnv(name, value)
	}
	return err
}

// pipBuild gives pip steps what they need of the build.
type pipBuild struct{ j *job }

var _ pip.Build = pipBuild{}

// Run implements [pip.Build].
func (b pipBuild) Run(ctx context.Context, c *exec.Container) error {
	return b.j.processes().Run(ctx, c)
}

// Step implements [pip.Build].
func (b pipBuild) Step(what string) { b.j.step(what) }

// Progress implements [pip.Build].
func (b pipBuild) Progress(what string) io.Writer { return &progress{j: b.j, what: what} }

// DebianFiles implements [pip.Build].
func (b pipBuild) DebianFiles(ctx context.Context, suite, name string, visit func(*tar.Header, io.Reader) error) (string, error) {
	if b.j.opts.Debian == nil {
		return "", diag.Errorf(diag.Position{}, diag.System, "the image has no pip, and no Debian mirror is configured to take it from").
			WithHint("use a base that has pip 22.2 or newer")
	}
	deb, p, err := b.j.opts.Debian.Fetch(ctx, suite, name, b.j.nested())
	if err != nil {
		return "", err
	}
	return p.Version, debian.Files(deb, visit)
}
