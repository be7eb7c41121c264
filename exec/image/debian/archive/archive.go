// Package archive reads a Debian archive from a mirror, and trusts only what Debian has signed.
//
//   - sources.go reads from apt's configuration where packages come from; auth.go reads
//     credentials.
//   - release.go verifies the signed InRelease of a suite.
//   - index.go reads the indices of packages: a [Suite] finds a package in them.
//   - fetch.go downloads, and keeps what it downloaded by hash.
//   - probe.go asks whether the mirror is there, for doctor.
//
// The chain of trust is apt's: a keyring on this machine, the signed InRelease, the hash of an
// index in it, the hash of a package in that.
package archive

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/debian/control"
)

// Mirror reads archives from one set of sources. Its fields are set before the first call. Its
// methods may be called concurrently.
type Mirror struct {
	Sources Sources // where packages come from
	Cache   string  // directory of indices and packages, by hash; made if missing
	// Keyring is the file of OpenPGP keys that must have signed a source without a Signed-By of its
	// own. Empty: Debian's archive keyring on this machine.
	Keyring string
	Client  *http.Client     // nil: one that uses the environment's proxies
	Now     func() time.Time // nil: time.Now; for the dates of signatures and indices

	mu      sync.Mutex
	shelves map[string]*shelf // suites by name and architecture, for this process
	client  *http.Client
	slots   *semaphore.Weighted // one is held by each file that is fetched
	pause   time.Duration       // before the first retry; 0: the default
}

// Package is one exact binary package.
type Package struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Arch     string `json:"arch"`     // "all", or the architecture that was asked for
	Suite    string `json:"suite"`    // Suite of the source that has it
	Filename string `json:"filename"` // path below the source's URI
	SHA256   string `json:"sha256"`   // of the .deb, in hex
	Size     int64  `json:"size"`     // of the .deb, in bytes
}

// Check refuses what can't be a package: its fields become paths and URLs.
func (p Package) Check() error {
	switch {
	case !control.ValidName(p.Name):
		return fmt.Errorf("%.60q isn't a package name", p.Name)
	case p.Version == "" || strings.ContainsAny(p.Version, " \n/"):
		return fmt.Errorf("%.60q isn't a version", p.Version)
	case !control.ValidName(p.Arch):
		return fmt.Errorf("%.60q isn't an architecture", p.Arch)
	case p.Filename == "" || path.Clean("/"+p.Filename) != "/"+strings.TrimPrefix(p.Filename, "./"):
		return fmt.Errorf("%.200q isn't a path in an archive", p.Filename)
	case !isSHA256(p.SHA256) || p.Size <= 0:
		return fmt.Errorf("%s has no valid SHA256 and size", p.Name)
	}
	return nil
}

// HostArch returns Debian's name for the architecture of this machine.
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

// Fetch gets the newest version of one package of a suite, without its dependencies. An empty suite
// means this machine's own if the sources have it, else their newest. Fetch returns the path of the
// .deb in the cache, verified.
func (m *Mirror) Fetch(ctx context.Context, suite, name string, watch exec.Watch) (string, Package, error) {
	s, err := m.Suite(ctx, suite, HostArch(), watch)
	if err != nil {
		return "", Package{}, err
	}
	c, err := s.Candidate(name)
	if err != nil {
		return "", Package{}, err
	}
	if c == nil {
		return "", Package{}, errorf(diag.System, "debian %s has no package %q", s.Codename, name)
	}
	step(watch, "debian "+s.Codename+": "+name, c.Size)
	deb, err := m.FetchPackage(ctx, s.Sources, c.Package, func(int64) {})
	return deb, c.Package, err
}

// FetchPackage gets a package from its source among sources. It returns the path of the .deb in the
// cache. It calls got with the number of bytes that have come, and with a negative number when a
// download begins again.
func (m *Mirror) FetchPackage(ctx context.Context, sources []Source, p Package, got func(n int64)) (string, error) {
	for _, src := range sources {
		if src.Suite == p.Suite {
			return m.fetchFile(ctx, m.withCredentials(src), path.Clean(p.Filename), p.SHA256, p.Size, got)
		}
	}
	return "", errorf(diag.System, "package %s is of suite %q, which has no source", p.Name, p.Suite)
}

// withCredentials returns src with the credentials that the configuration has for its URI: a source
// that was read from a file has none.
func (m *Mirror) withCredentials(src Source) Source {
	for _, own := range m.Sources.list {
		if src.user == nil && own.URI == src.URI {
			src.user = own.user
		}
	}
	return src
}

func (m *Mirror) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}

// step reports what is being done; total is its bytes, 0 where unknown.
func step(watch exec.Watch, what string, total int64) {
	if watch != nil {
		watch(exec.Event{Time: time.Now(), Kind: exec.ImageStep, Step: what, Total: total})
	}
}

// errorf returns an error about the mirror or what it serves.
func errorf(class diag.Class, format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, class, format, args...)
}
