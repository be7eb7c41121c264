// Package image builds OCI images in this process: without a daemon, and without root for what
// doesn't need it. [Builder] implements [exec.Builder].
//
//   - image.go has the builder's methods; state.go says how much of an image is there.
//   - build.go walks through the steps of an image, and puts the image together.
//   - base.go makes what an image starts from: a Debian base, an image of a layout in the workspace
//     (pull.go) or of a registry (registry.go, which patience.go asks again if it stalls), or
//     nothing.
//   - run.go runs apt and commands in a container, and normalises what they changed.
//   - files.go takes files from the workspace.
//   - pip.go hands pip steps to package pip.
//   - store.go says where everything is kept.
//
// The packages below know nothing of the builder:
//
//	oci      keeps layers and images
//	pip      takes pip and requirements steps
//	debian   makes Debian bases
//	memo     remembers what was made, by a key over everything that makes it
//	process  runs the processes of a build
//
// What two images share is made once, also across processes. The same inputs give the same bytes.
package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/pip"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/internal/home"
	"github.com/flytestar/flytestar/plan"
)

// Options say where a builder works, and with what.
type Options struct {
	Home      string       // directory of the store; made if missing
	Workspace *os.Root     // where files, folders, requirements and oci: bases come from; nil: such steps fail
	Sandbox   exec.Sandbox // runs apt, commands, pip; nil: such steps fail
	Debian    Debian       // makes Debian bases and fetches pip; nil: such steps fail
	// Unswept is told once why some of what killed processes left couldn't be removed; nil: nobody
	// is.
	Unswept func(error)
	// Jobs is how many layers are fetched or made at a time, in all images together. 0 means the
	// number of CPUs that this process may use.
	Jobs int
	// Stall is how long a registry may say nothing before a request is tried again; 0 means 30 s.
	Stall time.Duration
	// Environ is where pip's settings, proxies and the CA bundle are looked up
	// (PIP_…, HTTPS_PROXY, SSL_CERT_FILE, HOME, XDG_CONFIG_HOME); nil: this process's environment.
	Environ []string
}

// Builder implements [exec.Builder] on an OCI image layout at Home/images.
type Builder struct {
	opts  Options
	store *store
	slots *semaphore.Weighted // Jobs places: each layer that is fetched or made takes one
}

var _ exec.Builder = (*Builder)(nil)

// Limited returns a sandbox for a builder and its Debian. A container in it runs for limit at most;
// 0 means an hour.
func Limited(s exec.Sandbox, limit time.Duration) exec.Sandbox {
	return process.Limited(s, cmp.Or(limit, time.Hour))
}

// NewBuilder returns a builder on the store under opts.Home. Nothing is written before the first
// Build, which makes the store if it isn't there. The caller closes the builder.
func NewBuilder(opts Options) (*Builder, error) {
	if opts.Home == "" {
		return nil, diag.Errorf(diag.Position{}, diag.System, "the image builder has no home directory").WithHint("set FLYTESTAR_HOME")
	}
	if opts.Jobs <= 0 {
		opts.Jobs = runtime.GOMAXPROCS(0)
	}
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	return &Builder{opts, newStore(home.Dir(opts.Home), opts.Unswept), semaphore.NewWeighted(int64(opts.Jobs))}, nil
}

// Close removes the builder's scratch directory. No other method may be running.
func (b *Builder) Close() error { return b.store.close() }

// Layout returns the directory of the OCI image layout that the builder writes.
func (b *Builder) Layout() string { return b.store.home.Images() }

// record says which image was built for a declared digest.
type record struct {
	Format   int           `json:"format"` // recordFormat
	Platform string        `json:"platform"`
	Digest   plan.Digest   `json:"digest"` // of the manifest
	Time     time.Time     `json:"time"`   // when it was built
	Base     baseName      `json:"base"`
	Pip      []*pip.Pinned `json:"pip,omitempty"` // by call
	Blobs    []oci.Blob    `json:"blobs"`         // manifest, configuration and layers
}

// recordFormat goes up when the same declared image becomes another one, because a fault of the
// builder was mended. Records with another format don't count, so such images are built again.
const recordFormat = 2

func (b *Builder) recordPath(declared plan.Digest, platform string) (string, error) {
	if !declared.Valid() {
		return "", fmt.Errorf("declared digest %q isn't a digest", declared)
	}
	return filepath.Join(b.store.home.Resolved(), declared.Hex()+"-"+strings.ReplaceAll(platform, "/", "-")+".json"), nil
}

// recalled returns the record of an image, and whether all its blobs are there.
func (b *Builder) recalled(img plan.BuildImage) (rec *record, complete bool, err error) {
	path, err := b.recordPath(img.Declared, img.Platform)
	if err != nil {
		return nil, false, err
	}
	rec, ok, err := memo.ReadFile(path, func(r *record) bool { return r.Format == recordFormat })
	if err != nil || !ok {
		return nil, false, err
	}
	for _, bl := range rec.Blobs {
		if !b.store.layout.HasBlob(bl) {
			return rec, false, nil
		}
	}
	return rec, true, nil
}

// Build implements [exec.Builder].
func (b *Builder) Build(ctx context.Context, img plan.BuildImage, watch exec.Watch) (plan.Digest, error) {
	j := b.job(img, watch)
	rec, complete, err := b.recalled(img)
	if err != nil {
		return "", systemError(err)
	}
	if complete {
		j.event(exec.Event{Kind: exec.ImageHit, Digest: rec.Digest})
		return rec.Digest, nil
	}
	digest := plan.Digest("")
	if err = b.store.begin(); err == nil {
		digest, err = j.build(ctx)
	}
	if err != nil {
		err = j.named(err)
		j.event(exec.Event{Kind: exec.ImageFailed, Msg: err.Error()})
		return "", err
	}
	j.event(exec.Event{Kind: exec.ImageDone, Digest: digest})
	return digest, nil
}

// Image implements [exec.Builder].
func (b *Builder) Image(ctx context.Context, digest plan.Digest) (*exec.Image, error) {
	m, cfg, err := b.store.layout.Manifest(digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, diag.Errorf(diag.Position{}, diag.System, "image %s isn't in the store: %w", digest, err).WithHint("build it again")
	}
	if err != nil {
		return nil, systemError(fmt.Errorf("image %s: %w", digest, err))
	}
	img := &exec.Image{
		Digest: digest, Env: cfg.Config.Env, Workdir: cfg.Config.WorkingDir, User: cfg.Config.User, StopSignal: cfg.Config.StopSignal,
	}
	img.Layers = b.store.layout.Open(oci.Layers(m, cfg))
	return img, nil
}

// systemError returns err as an error of the machine, unless err has a class of its own.
func systemError(err error) error { return classed(diag.Position{}, diag.System, err) }

// buildError returns err as an error of the build step at pos, unless err has a class of its own
// or the machine is at fault.
func buildError(pos diag.Position, err error) error { return classed(pos, diag.Build, err) }

// machineFaults are errors that are the machine's fault, whichever step they occur in.
var machineFaults = []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}

func classed(pos diag.Position, class diag.Class, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, memo.ErrUnmade) {
		return err
	}
	var e *diag.Error
	if errors.As(err, &e) {
		if !e.Pos.IsValid() && pos.IsValid() {
			copied := *e
			copied.Pos = pos
			return &copied
		}
		return err
	}
	for _, fault := range machineFaults {
		if errors.Is(err, fault) {
			class = diag.System
		}
	}
	return diag.Errorf(pos, class, "%w", err)
}

// ago says how long ago t was.
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return plural(int(d/time.Hour), "hour") + " ago"
	default:
		return plural(int(d/(24*time.Hour)), "day") + " ago"
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
