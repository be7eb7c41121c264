package debian

import (
	"archive/tar"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/text"
)

// configure lets dpkg configure the unpacked packages while Python compiles its library. It returns
// the layers of what both changed.
func (d *Debian) configure(ctx context.Context, c *Closure, packages *Layer, t *tree, dir string, watch exec.Watch) ([]*Layer, error) {
	if d.Sandbox == nil {
		return nil, errors.New("no sandbox to configure the packages in")
	}
	libraries := t.pythonLibraries()
	runs := []*exec.Container{dpkgConfigure(c, libraries)}
	names := []string{"configuration.tar"}
	keeps := []keep{keepConfiguration}
	if len(libraries) > 0 {
		runs = append(runs, pythonCompile(libraries))
		names = append(names, "bytecode.tar")
		keeps = append(keeps, keepBytecode)
	}
	step(watch, "debian "+c.Suite+": configure", 0, 0)
	layers := make([]*Layer, len(runs))
	g, gctx := errgroup.WithContext(ctx)
	for i, run := range runs {
		g.Go(func() (err error) {
			run.Layers = []exec.Layer{packages}
			layers[i], err = d.difference(gctx, run, filepath.Join(dir, names[i]), c, keeps[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		for _, l := range layers {
			l.remove()
		}
		return nil, err
	}
	return layers, nil
}

// pythonLibraries lists the directories of Python's standard libraries ("usr/lib/python3.11").
func (t *tree) pythonLibraries() []string {
	var dirs []string
	for name := range t.entries {
		if dir, file := path.Split(name); file == "py_compile.py" && strings.HasPrefix(dir, "usr/lib/python3") {
			dirs = append(dirs, path.Clean(dir))
		}
	}
	slices.Sort(dirs)
	return dirs
}

// dpkgConfigure returns the container that configures all packages. In it, the bytecode compilers
// that postinst scripts call do nothing: see pythonCompile.
func dpkgConfigure(c *Closure, libraries []string) *exec.Container {
	run := &exec.Container{
		Name: "debian-configure",
		Args: []string{"/usr/bin/dpkg", "--force-unsafe-io", "--configure", "-a"},
		Env: append(environment(c), "DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
			"DEBCONF_NOWARNINGS=yes", "PYTHONDONTWRITEBYTECODE=1"),
	}
	for _, dir := range libraries {
		run.Files = append(run.Files, exec.File{Path: "/" + dir + "/py_compile.py", Mode: 0o644})
	}
	if len(libraries) > 0 {
		run.Files = append(run.Files, exec.File{Path: "/usr/bin/py3compile", Mode: 0o755, Data: []byte("#!/bin/sh\nexit 0\n")})
	}
	return run
}

//go:embed bytecode.py
var bytecodeScript string

// pythonCompile returns the container that compiles Python's bytecode. As in Debian, the bytecode
// has the times of its sources: SOURCE_DATE_EPOCH isn't set, since with it Python would write
// hashes.
func pythonCompile(libraries []string) *exec.Container {
	run := &exec.Container{
		Name: "debian-bytecode",
		Args: []string{"/usr/bin/python3", "-S", "-B", "-c", bytecodeScript},
		Env:  []string{pathVariable, "LC_ALL=C.UTF-8", "PYTHONHASHSEED=0"},
	}
	for _, dir := range append(slices.Clone(libraries), "usr/lib/python3/dist-packages", "usr/share/python3") {
		run.Args = append(run.Args, "/"+dir)
	}
	return run
}

const pathVariable = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func environment(c *Closure) []string {
	return []string{pathVariable, "HOME=/root", "LC_ALL=C.UTF-8", "TZ=UTC", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", c.Date.Unix())}
}

// difference runs a container and writes what it changed as a layer.
func (d *Debian) difference(ctx context.Context, run *exec.Container, name string, c *Closure, keep keep) (*Layer, error) {
	w, err := createLayer(name, c.Date)
	if err != nil {
		return nil, err
	}
	layer, err := d.runInto(ctx, run, w, keep)
	if err != nil {
		w.discard()
		return nil, err
	}
	return layer, nil
}

func (d *Debian) runInto(ctx context.Context, run *exec.Container, w *layerWriter, keep keep) (*Layer, error) {
	log := &text.Tail{Bytes: maxTail}
	run.Stdout, run.Stderr = log, log
	pr, pw := io.Pipe()
	run.Diff = pw
	filtered := make(chan error, 1)
	go func() {
		err := filter(w, pr, keep)
		pr.CloseWithError(err) // also without an error: nobody reads what follows the end of the tar
		filtered <- err
	}()
	exit, err := d.Sandbox.Run(ctx, run)
	if err == nil && exit.Code != 0 {
		err = errorf(diag.Build, "debian base: %s failed with exit code %d:\n%s", run.Name, exit.Code, log).
			WithHint("the packages' own scripts failed in a container: flytestar doctor says what this machine's lacks")
	}
	pw.CloseWithError(err)
	if ferr := <-filtered; err == nil {
		err = ferr
	}
	if err != nil {
		return nil, err
	}
	return w.finish()
}

// keep reports whether an entry that a container changed belongs to a base. name is clean and has
// no leading slash.
type keep func(name string, hdr *tar.Header) bool

// filter copies what a container changed. It leaves out what differs from one run to the next.
func filter(w *layerWriter, diff io.Reader, keep keep) error {
	tr := tar.NewReader(diff)
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, diff)
			return err
		}
		if err != nil {
			return fmt.Errorf("read a container's difference: %w", err)
		}
		if !keep(path.Clean("/" + hdr.Name)[1:], hdr) {
			continue
		}
		if hdr.Typeflag == tar.TypeDir {
			hdr.ModTime = w.epoch // overlayfs keeps a copied directory's time in some runs only
		}
		if err := w.add(hdr, tr); err != nil {
			return err
		}
	}
}

// keepBytecode keeps bytecode and the directories above it.
func keepBytecode(name string, hdr *tar.Header) bool {
	return hdr.Typeflag == tar.TypeDir || strings.HasSuffix(name, ".pyc")
}

// keepConfiguration leaves out logs, caches, locks, backups, and bytecode that Python wrote when a
// script ran it.
func keepConfiguration(name string, hdr *tar.Header) bool {
	dir, file := path.Split(name)
	switch {
	case file == "__pycache__", strings.HasSuffix(dir, "/__pycache__/"):
		return false
	case hdr.Typeflag == tar.TypeDir:
		return true
	case strings.HasPrefix(name, "var/log/"):
		return hdr.Size == 0 // btmp, wtmp and lastlog must exist with their modes
	case strings.HasPrefix(name, "tmp/"), strings.HasPrefix(name, "run/"), strings.HasPrefix(name, "dev/"),
		strings.HasPrefix(name, "var/cache/ldconfig/"), strings.HasPrefix(name, "var/lib/apt/lists/"),
		strings.HasPrefix(name, "var/cache/apt/"), name == "etc/.pwd.lock":
		return false
	case dir == "var/cache/debconf/", dir == "var/lib/dpkg/":
		return !strings.HasSuffix(file, "-old") && !strings.HasPrefix(file, "lock")
	case dir == "var/lib/dpkg/triggers/":
		return file != "Lock"
	}
	return true
}

// maxTail is how much of a container's output an error shows.
const maxTail = 4 << 10
