package flytestar

import (
	"context"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/image/pip"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/internal/home"
)

// Finding is one thing that [Examine] looked at.
type Finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Needed bool   `json:"needed"` // nothing can be built or run without it
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"` // how to get it
	// Lockdown is that of the evaluator, in the finding about it.
	Lockdown *lockdown.State `json:"-"`
}

const (
	askTimeout = 15 * time.Second // for a mirror's or an index's answer
	roomy      = 5 << 30          // bytes that a few images take
)

// runtimes are the OCI runtimes that Options.Runtime may name.
var runtimes = []string{"runc", "crun", "runsc"}

// Examine looks at what evaluating, building and running need of this machine and its network. It
// changes nothing, and what it says has no credentials in it.
func Examine(ctx context.Context, opts Options) []Finding {
	findings := make([]Finding, 5)
	var asked sync.WaitGroup
	for i, look := range []func(context.Context) Finding{debianMirror, pythonIndex} {
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			findings[i] = look(ctx)
		})
	}
	findings[2], findings[3], findings[4] = disk(opts.Home), ociRuntimes(), examineEvaluator(ctx)
	var containers []Finding
	for _, f := range sandbox.Probe() {
		containers = append(containers, Finding{Name: f.Name, OK: f.OK, Needed: f.Needed, Detail: f.Detail, Hint: f.Hint})
	}
	asked.Wait()
	return append(containers, findings...)
}

// emptyModule is the source of an evaluator that is started only to look at it.
type emptyModule struct{}

// ReadModule implements interp.Source.
func (emptyModule) ReadModule(string) ([]byte, error) { return nil, nil }

// examineEvaluator starts an evaluator and looks at how far it is locked down.
func examineEvaluator(ctx context.Context) Finding {
	f := Finding{Name: "evaluator"}
	e, _, err := evaluator.Start(ctx, evaluator.Options{Source: emptyModule{}, Entry: "empty.star"})
	if err != nil {
		f.Needed = true
		return f.because(err, "nothing can be loaded without it")
	}
	defer e.Close()
	l := e.Lockdown()
	f.OK, f.Detail, f.Lockdown = l.Level == lockdown.Full, "sandbox "+l.String(), &l
	if !f.OK {
		f.Hint = "a full one needs Linux 5.13 or later with landlock and seccomp; until then only evaluate files of people whom you trust"
	}
	return f
}

func debianMirror(ctx context.Context) Finding {
	f := Finding{Name: "debian mirror", Needed: true}
	sources, err := archive.HostSources("/")
	if err == nil {
		var suite, mirror string
		suite, mirror, err = (&archive.Mirror{Sources: sources}).Probe(ctx)
		f.Detail = fmt.Sprintf("%s has %s, signed by a key of this machine's keyring", mirror, suite)
	}
	return f.because(err, "image.from_debian_base needs it; image.from_base(REF) does without")
}

func pythonIndex(ctx context.Context) Finding {
	f := Finding{Name: "python index", Needed: true}
	var err error
	f.Detail, err = pip.Probe(ctx, nil)
	return f.because(err, "check the network, the proxy variables, and index-url in pip's configuration")
}

// because completes a finding. With an error, it says what went wrong.
func (f Finding) because(err error, hint string) Finding {
	if err == nil {
		f.OK = true
		return f
	}
	f.Detail, f.Hint = err.Error(), hint
	var e *diag.Error
	if errors.As(err, &e) && e.Hint != "" {
		f.Hint = e.Hint
	}
	return f
}

// disk looks at the file system that the home directory is on or will be on.
func disk(asked string) Finding {
	f := Finding{Name: "disk"}
	found, err := home.Find(asked)
	if err != nil {
		return f.because(err, "set FLYTESTAR_HOME")
	}
	at := string(found)
	for {
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(at, &fs); err != nil {
		return f.because(&os.PathError{Op: "statfs", Path: at, Err: err}, "set FLYTESTAR_HOME")
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	f.OK = free >= roomy
	f.Detail = fmt.Sprintf("%.1f GB free for %s", float64(free)/1e9, found)
	if !f.OK {
		f.Hint = "images take some hundred MB each; FLYTESTAR_HOME can name a directory elsewhere"
	}
	return f
}

func ociRuntimes() Finding {
	f := Finding{Name: "oci runtimes"}
	var found []string
	for _, name := range runtimes {
		if path, err := osexec.LookPath(name); err == nil {
			found = append(found, path)
		}
	}
	if f.OK = len(found) > 0; f.OK {
		f.Detail = strings.Join(found, ", ")
	} else {
		f.Detail = "none of " + strings.Join(runtimes, ", ") + " is on PATH"
		f.Hint = "only --runtime needs one"
	}
	return f
}
