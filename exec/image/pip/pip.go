// Package pip takes the pip and requirements steps of an image: it resolves their packages with the
// image's own pip, and makes layers of the wheels.
//
//   - pip.go has [Installer], which takes the steps, and [Build], which is all it needs of the
//     build. A step goes through the files below from top to bottom.
//   - python.go asks the image which Python it has, and makes a virtual environment.
//   - requirements.go says what pip is asked for.
//   - replace.go removes packages of the image that get another version.
//   - agree.go makes the calls of one image agree on versions.
//   - config.go takes over the user's own configuration of pip. probe.go asks the index whether it
//     is there, for doctor.
//   - resolver.go runs pip in a container, and keeps the wheels that it sends.
//   - wheelplan.go decides where the files of a wheel go.
//   - share.go finds files that several wheels have.
//   - wheel.go lays wheels down with their bytecode, and makes layers of them.
//   - python/ has the programs that run in containers.
package pip

import (
	"archive/tar"
	"context"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// Build is what pip steps need of the build that they belong to.
type Build interface {
	// Run runs a container to its end. A process that fails is a *process.Failed.
	Run(ctx context.Context, c *exec.Container) error
	// Step says what is being done.
	Step(what string)
	// Progress returns a writer that counts what is written to it as progress of what is being
	// done.
	Progress(what string) io.Writer
	// DebianFiles visits the files of a Debian package, and returns the package's version. An empty
	// suite means the newest stable one.
	DebianFiles(ctx context.Context, suite, name string, visit func(*tar.Header, io.Reader) error) (version string, err error)
}

// Options say what an [Installer] works with.
type Options struct {
	Build     Build
	Memo      *memo.Memo          // what was made before; if it only looks, the installer makes nothing
	Layout    *oci.Layout         // where layers are written
	Cache     string              // directory of wheels/ and laid/
	Workspace fs.FS               // where requirements files come from; nil: such steps fail
	Environ   process.Environ     // where the user's configuration of pip is looked up
	Slots     *semaphore.Weighted // one is held while a wheel is laid down
	Platform  string              // of the image: "linux/amd64"
	Base      Image               // what the image starts from
	Suite     string              // of a Debian base; empty for other bases
}

// Image is an image so far, before a step.
type Image struct {
	Layers  []oci.Layer // bottom first
	Path    string      // its PATH; empty if it has none
	Environ []string    // KEY=VALUE: the environment of a build container on it
	Ran     bool        // a step has run something in a container
}

// Extension is what a step adds to an image.
type Extension struct {
	Layers []Titled // bottom first
	Env    []string // KEY=VALUE: variables to set
}

// Titled is a layer with its line in the image's history.
type Titled struct {
	oci.Layer
	Title string
}

// Installer takes the pip steps of one image, in their order.
type Installer struct {
	Options
	calls    []*call
	under    Image           // the image before the first step
	replaced map[string]bool // packages of the image that calls have in another version, by name
}

// New returns an installer for an image that no step has added packages to.
func New(opts Options) *Installer {
	return &Installer{Options: opts, replaced: map[string]bool{}}
}

// call is a pip step with its outcome.
type call struct {
	step   plan.Step
	title  string // in progress, instead of the step's
	py     python
	under  Image // the image before it: where its wheels are compiled
	pinned *Pinned
	wheels []laidWheel
}

// Pinned has the exact packages that the requirements of a call were resolved to.
type Pinned struct {
	Time     time.Time      `json:"time"`
	Packages []Distribution `json:"packages"` // by name
}

// Distribution is one exact package.
type Distribution struct {
	Name    string `json:"name"` // normalised
	Version string `json:"version"`
	URL     string `json:"url"`    // where it was found, without credentials
	Source  string `json:"source"` // SHA-256 of what the index has, in hex; empty if it doesn't say
	Wheel   string `json:"wheel"`  // the wheel's file name
	SHA256  string `json:"sha256"` // of the wheel, in hex; it differs from Source if an sdist was built
}

// Pinned returns the exact packages of each step.
func (inst *Installer) Pinned() []*Pinned {
	var out []*Pinned
	for _, c := range inst.calls {
		out = append(out, c.pinned)
	}
	return out
}

// Step takes a pip or requirements step on img: it resolves the requirements and makes layers of
// their wheels. If it fails, the extension has what it made, or found, before that.
func (inst *Installer) Step(ctx context.Context, img Image, s plan.Step) (Extension, error) {
	var ext Extension
	py, err := inst.pythonOf(ctx, img, s)
	if err != nil {
		return ext, err
	}
	want, err := inst.requirements(s)
	if err != nil {
		return ext, err
	}
	img.Layers = slices.Clone(img.Layers)
	c := &call{step: s, py: py, under: img}
	if len(inst.calls) == 0 {
		inst.under = img
	}
	if c.pinned, err = inst.pin(ctx, img, s, py, want); err != nil {
		return ext, err
	}
	if len(inst.calls) == 0 {
		if err := inst.venv(ctx, img, py, &ext); err != nil {
			return ext, err
		}
	}
	if err := inst.replace(ctx, c, &ext); err != nil {
		return ext, err
	}
	return ext, inst.addWheels(ctx, img, c, &ext)
}

// pythonOf returns the Python of the virtual environment: the one that the first step found.
func (inst *Installer) pythonOf(ctx context.Context, img Image, s plan.Step) (python, error) {
	if len(inst.calls) > 0 {
		return inst.calls[0].py, nil
	}
	return inst.python(ctx, img, s)
}

// Title describes a pip or requirements step in a line. It leaves out the credentials that a URL in
// the step may have.
func Title(s plan.Step) string {
	if s.Kind == plan.StepRequirements {
		return "requirements " + s.Src
	}
	return text.Redact(string(s.Kind) + " " + strings.Join(s.Packages, " "))
}
