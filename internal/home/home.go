// Package home says where everything lies below flytestar's home directory. [Dir] has a method for
// each place, and [Dir.NewRun] makes the directory of a run. The package that uses a place makes
// it, and says what is in it.
package home

import (
	"os"
	"path/filepath"

	"github.com/adrg/xdg"
)

// Variable is the environment variable that names the home directory.
const Variable = "FLYTESTAR_HOME"

// Dir is a home directory: an absolute path.
type Dir string

// Find returns the home directory: asked, else what [Variable] says, else flytestar in the XDG data
// directory. It makes nothing.
func Find(asked string) (Dir, error) {
	if asked == "" {
		asked = os.Getenv(Variable)
	}
	if asked == "" {
		asked = filepath.Join(xdg.DataHome, "flytestar")
	}
	abs, err := filepath.Abs(asked)
	return Dir(abs), err
}

func (d Dir) join(names ...string) string {
	return filepath.Join(append([]string{string(d)}, names...)...)
}

// Images is the OCI image layout.
func (d Dir) Images() string { return d.join("images") }

// Resolved has what each declared image came to.
func (d Dir) Resolved() string { return d.join("resolved") }

// Index has what the builder made of each key, in a directory for each kind of key.
func (d Dir) Index() string { return d.join("index") }

// Cache has downloads, and what is made of them, in a directory for each kind.
func (d Dir) Cache(kind string) string { return d.join("cache", kind) }

// Locks has the builder's lock files.
func (d Dir) Locks() string { return d.join("locks") }

// BuilderScratch has a scratch directory for each builder that is at work.
func (d Dir) BuilderScratch() string { return d.join("tmp", "images") }

// Layers has unpacked layers, in a folder for the form in which they are unpacked.
func (d Dir) Layers() string { return d.join("layers", "2") }

// Sandbox has what running containers write.
func (d Dir) Sandbox() string { return d.join("sandbox") }

// Artifacts is the artifact store.
func (d Dir) Artifacts() string { return d.join("artifacts") }

// Programs has compiled modules and graphs.
func (d Dir) Programs() string { return d.join("programs") }

// Runs has a directory for each run.
func (d Dir) Runs() string { return d.join("runs") }
