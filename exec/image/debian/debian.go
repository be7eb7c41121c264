// Package debian bootstraps a Debian base image from a Debian mirror, without
// Debian's tools on this machine.
//
//   - [HostSources] says where packages come from (sources.go, auth.go);
//     [Debian.Probe] whether the mirror answers.
//   - [Debian.Resolve] reads the signed indices and returns a [Closure]: the exact
//     packages of a base (release.go, index.go, closure.go, version.go).
//   - [Debian.Build] turns a Closure into layers: it downloads and unpacks the
//     packages into one tar with dpkg's database beside them (fetch.go, deb.go, tree.go,
//     unpack.go, dpkgdb.go), then lets dpkg configure them in a container and
//     compiles Python's bytecode in another (configure.go, bytecode.py, layer.go).
//   - [Debian.Fetch] gets one package that isn't part of a base, [Files] reads it.
//
// The same Closure gives the same bytes. The trust chain is apt's: a keyring on
// this machine, the signed InRelease, the hash of an index in it, the hash of a
// package in that.
package debian

// Maintainer scripts run once per base, in a container made of the packages'
// layer. Preinst scripts don't run: in a fresh root they only guard upgrades,
// but for base-passwd's, whose effect unpack.go has.
//
// Configuring is half of a bootstrap's time, and half of that is one Python
// process compiling the standard library. So the postinsts find that compiler
// masked, and a second container does the same work at the same time, in parallel.

import (
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
)

// Debian makes bases from one set of sources. Its fields are set before the
// first call; its methods may be called concurrently.
type Debian struct {
	Sources Sources      // where packages come from
	Cache   string       // directory for indices and packages, by hash; made if missing
	Sandbox exec.Sandbox // runs the maintainer scripts; only Build needs it
	// Keyring is the file of OpenPGP keys that sources without a Signed-By of
	// their own must be signed by. Empty: Debian's archive keyring of this machine.
	Keyring string
	Client  *http.Client     // nil: one that heeds the environment's proxies
	Now     func() time.Time // nil: time.Now; for dates in signatures and indices

	mu      sync.Mutex
	shelves map[string]*shelf // archives by suite and architecture, for this process
	client  *http.Client
	pause   time.Duration // before the first retry; 0: the default
}

// Request says which base is wanted.
type Request struct {
	Suite  string // codename or alias ("bookworm", "stable"); empty: what the sources have
	Python bool   // with python3
	Arch   string // Debian's name ("amd64"); empty: this machine's
}

// Closure is the exact content of a base: what a lock records. It marshals to
// JSON, has no credentials, and is the same whenever the packages are.
type Closure struct {
	Suite    string    `json:"suite"` // codename
	Arch     string    `json:"arch"`
	Date     time.Time `json:"date"`     // of the suite's Release; no file in the base is newer
	Sources  []Source  `json:"sources"`  // what apt in the base will use
	Packages []Package `json:"packages"` // by name
}

// Package is one exact binary package.
type Package struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Arch     string `json:"arch"`     // "all" or the closure's
	Suite    string `json:"suite"`    // whose source has it: a Suite of the closure's Sources
	Filename string `json:"filename"` // path below the source's URI
	SHA256   string `json:"sha256"`   // hex, of the .deb
	Size     int64  `json:"size"`     // bytes, of the .deb
}

// HostArch is Debian's name of this machine's architecture.
func HostArch() string {
	switch runtime.GOARCH {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	case "mips64le":
		return "mips64el"
	}
	return runtime.GOARCH
}

func (d *Debian) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
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
