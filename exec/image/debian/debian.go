// Package debian bootstraps a Debian base image from a Debian mirror. It needs none of Debian's
// tools on this machine.
//
//   - Package archive below it reads the mirror: sources, signatures, indices, downloads. Package
//     control reads the format of Debian's files.
//   - [Debian.Resolve] returns a [Closure], the exact packages of a base (closure.go).
//   - [Debian.Build] makes layers of a closure. It downloads the packages and unpacks them into one
//     tar, with dpkg's database (deb.go, tree.go, unpack.go, dpkgdb.go). Then dpkg configures them
//     in a container, and Python's bytecode is compiled in another (configure.go, bytecode.py,
//     layer.go).
//   - [Files] reads a package.
//
// The same closure gives the same bytes.
package debian

// Maintainer scripts run once per base, in a container made of the packages' layer. Preinst scripts
// don't run: in a fresh root they only guard upgrades. The one that does more is base-passwd's;
// what it does is in unpack.go.
//
// Configuring takes half of a bootstrap's time, and half of that is one Python process that
// compiles the standard library. So the postinsts find that compiler masked, and a second container
// does the same work at the same time, in parallel.

import (
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/debian/archive"
)

// Debian makes bases from what a mirror has. Its fields are set before the first call. Its methods
// may be called concurrently.
type Debian struct {
	*archive.Mirror
	Sandbox exec.Sandbox // runs the maintainer scripts; only Build needs it
}

// Request says which base is wanted.
type Request struct {
	Suite  string // codename or alias ("bookworm", "stable"); empty: what the sources have
	Python bool   // with python3
	Arch   string // Debian's name ("amd64"); empty: this machine's
}

// Closure is the exact content of a base, to be remembered as JSON. It has no credentials. The same
// packages give the same closure.
type Closure struct {
	Suite    string            `json:"suite"` // codename
	Arch     string            `json:"arch"`
	Date     time.Time         `json:"date"`     // of the suite's Release; no file in the base is newer
	Sources  []archive.Source  `json:"sources"`  // what apt in the base will use
	Packages []archive.Package `json:"packages"` // by name
}

// step reports what is being done; done and total are bytes, 0 where unknown.
func step(watch exec.Watch, what string, done, total int64) {
	if watch != nil {
		watch(exec.Event{Time: time.Now(), Kind: exec.ImageStep, Step: what, Bytes: done, Total: total})
	}
}

// errorf returns an error about the mirror or what it serves.
func errorf(class diag.Class, format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, class, format, args...)
}
