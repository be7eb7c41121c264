package pip

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/plan"
)

// The programs that run under an image's Python.
var (
	//go:embed python/probe.py
	probeScript string
	//go:embed python/resolve.py
	resolveScript []byte
	//go:embed python/compile.py
	compileScript []byte
)

// python is an image's Python.
type python struct {
	Version    string `json:"version"`    // "3.11.2"
	Short      string `json:"short"`      // "3.11"
	Executable string `json:"executable"` // absolute
	Platform   string `json:"platform"`   // what decides which wheels fit: machine, ABI, libc
	Magic      string `json:"magic"`      // of its bytecode, in hex
	Pip        string `json:"pip"`        // version of its own pip; empty if it has none
}

// key adds to k everything about a Python that wheels and their bytecode depend on.
func (p python) key(k *memo.Key) *memo.Key { return k.Str(p.Version).Str(p.Platform).Str(p.Magic) }

// python returns the Python of the image so far.
func (inst *Installer) python(ctx context.Context, img Image, s plan.Step) (python, error) {
	k := memo.NewKey("python 1").List(oci.DiffIDs(img.Layers)).Str(img.Path)
	py, err := memo.Made(ctx, inst.Memo, "python", k, nil, func() (python, error) {
		var out bytes.Buffer
		c := &exec.Container{
			Name: "python", Layers: inst.Layout.Open(img.Layers), Env: slices.Clone(img.Environ), Stdout: &out,
			Args: []string{"/bin/sh", "-c", `command -v python3 >/dev/null || exit 99; exec python3 -c "$1"`, "sh", probeScript},
		}
		err := inst.Build.Run(ctx, c)
		var failed *process.Failed
		if errors.As(err, &failed) && failed.Code == 99 || len(img.Layers) == 0 {
			return python{}, diag.Errorf(s.Pos, diag.Build, "the image has no python3, which pip packages need").
				WithHint("start from image.from_debian_base(), or install it before: .with_apt_packages(\"python3\")")
		}
		if errors.As(err, &failed) {
			return python{}, failed.At(s.Pos, "the image's python3")
		}
		if err != nil {
			return python{}, err
		}
		var py python
		if err := json.Unmarshal(out.Bytes(), &py); err != nil {
			return py, fmt.Errorf("the image's python3 says %.200q: %w", out.String(), err)
		}
		return py, py.check()
	})
	return py, err
}

var shortVersion = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^3\.[0-9]{1,3}$`) })

// check refuses what can't be part of a path.
func (p python) check() error {
	if !shortVersion().MatchString(p.Short) || !path.IsAbs(p.Executable) || strings.ContainsAny(p.Executable+p.Version, "\n\r\x00") {
		return fmt.Errorf("the image's python3 says that it is %q at %q", p.Version, p.Executable)
	}
	return nil
}

// venvDir is the directory of packages in an image, relative to its root.
const venvDir = "opt/venv"

// venv adds the virtual environment, as a layer below the first wheels.
func (inst *Installer) venv(ctx context.Context, img Image, py python, ext *Extension) error {
	f, err := inst.Layout.Forest(img.Layers)
	if err != nil {
		return err
	}
	if at, err := f.Resolve("/" + venvDir); err != nil || at != venvDir {
		return fmt.Errorf("/%s leads to /%s in the base: %w", venvDir, at, errors.Join(err, errors.New("packages need a directory there")))
	}
	l, err := inst.venvLayer(ctx, py)
	if err != nil {
		return err
	}
	ext.Layers = append(ext.Layers, Titled{l, "venv /" + venvDir})
	ext.Env = append(ext.Env, "PATH=/"+venvDir+"/bin:"+cmp.Or(img.Path, process.DefaultPath), "VIRTUAL_ENV=/"+venvDir)
	return nil
}

func (inst *Installer) venvLayer(ctx context.Context, py python) (oci.Layer, error) {
	return inst.layer(ctx, memo.NewKey("venv 1").Str(py.Executable).Str(py.Version), func() (oci.Layer, error) {
		return inst.Layout.WriteLayer(ctx, func(w *oci.LayerWriter) error { return writeVenv(w, py) })
	})
}

// writeVenv writes what "python3 -m venv --without-pip" makes.
func writeVenv(w *oci.LayerWriter, py python) error {
	cfg := fmt.Sprintf("home = %s\ninclude-system-site-packages = false\nversion = %s\nexecutable = %s\n", path.Dir(py.Executable), py.Version, py.Executable)
	links := [][2]string{{"bin/python", "python3"}, {"bin/python3", py.Executable}, {"bin/python" + py.Short, "python3"}, {"lib64", "lib"}}
	site := venvDir + "/lib/python" + py.Short + "/site-packages"
	for _, l := range links {
		hdr := &tar.Header{Typeflag: tar.TypeSymlink, Name: venvDir + "/" + l[0], Linkname: l[1], Mode: 0o777, ModTime: oci.FileTime}
		if err := w.AddParents(hdr.Name); err != nil {
			return err
		}
		if err := w.Add(hdr, nil); err != nil {
			return err
		}
	}
	if err := w.AddParents(site + "/x"); err != nil {
		return err
	}
	return w.Add(&tar.Header{Typeflag: tar.TypeReg, Name: venvDir + "/pyvenv.cfg", Size: int64(len(cfg)), Mode: 0o644, ModTime: oci.FileTime}, strings.NewReader(cfg))
}

// layer returns the layer of a key. It calls maker if there is none.
func (inst *Installer) layer(ctx context.Context, k *memo.Key, maker func() (oci.Layer, error)) (oci.Layer, error) {
	return memo.Made(ctx, inst.Memo, "layers", k, inst.Layout.Has, maker)
}
