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
	"strconv"
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
	//go:embed python/files.py
	filesScript string
)

// python is an image's Python.
type python struct {
	Version    string   `json:"version"`    // "3.11.2"
	Short      string   `json:"short"`      // "3.11"
	Command    string   `json:"command"`    // absolute: what sees the packages that the image brings
	Executable string   `json:"executable"` // absolute: the same, below any virtual environment
	Platform   string   `json:"platform"`   // what decides which wheels fit: machine, ABI, libc
	Magic      string   `json:"magic"`      // of its bytecode, in hex
	Pip        string   `json:"pip"`        // version of its own pip; empty if it has none
	Brings     []string `json:"brings"`     // NAME==VERSION of the packages that are there, sorted
	Venv       string   `json:"venv"`       // the virtual environment that Command belongs to; empty if it is in none
	Site       string   `json:"site"`       // where Venv has its packages
	System     bool     `json:"system"`     // sees the packages of Executable's own
}

// key adds to k everything about a Python that wheels and their bytecode depend on.
func (p python) key(k *memo.Key) *memo.Key { return k.Str(p.Version).Str(p.Platform).Str(p.Magic) }

// extends reports whether the image has the virtual environment of packages already: it was built
// by flytestar, or has one in the same place.
func (p python) extends() bool { return p.Venv == "/"+venvDir }

// python returns the Python of the image so far, with the packages that it brings.
func (inst *Installer) python(ctx context.Context, img Image, s plan.Step) (python, error) {
	k := memo.NewKey("python 2").List(oci.DiffIDs(img.Layers)).Str(img.Path)
	py, err := memo.Made(ctx, inst.Memo, "python", k, nil, func() (python, error) {
		var out bytes.Buffer
		c := &exec.Container{
			Name: "python", Layers: inst.Layout.Open(img.Layers), Env: slices.Clone(img.Environ), Stdout: &out,
			Args: []string{"python3", "-c", probeScript},
		}
		err := inst.Build.Run(ctx, c)
		var failed *process.Failed
		if errors.As(err, &failed) && failed.Code == notFound || len(img.Layers) == 0 {
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
		if py.Short == "" {
			return py, diag.Errorf(s.Pos, diag.Build, "the image's python3 is %.20q, and pip packages need 3.7 or later", py.Version).
				WithHint("choose a base with a newer Python")
		}
		return py, py.check()
	})
	return py, err
}

// notFound is the exit code of a container whose program isn't in its image.
const notFound = 127

var shortVersion = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^3\.[0-9]{1,3}$`) })

// check refuses what can't be part of a path.
func (p python) check() error {
	all := []string{p.Command, p.Executable, p.Venv, p.Site, p.Version}
	if !shortVersion().MatchString(p.Short) || !path.IsAbs(p.Command) || !path.IsAbs(p.Executable) || strings.ContainsAny(strings.Join(all, ""), "\n\r\x00") {
		return fmt.Errorf("the image's python3 says that it is %q at %q", p.Version, p.Executable)
	}
	if p.extends() && p.Site != "/"+siteDir(p) {
		return fmt.Errorf("the image's virtual environment %s has its packages in %s, not in /%s", p.Venv, p.Site, siteDir(p))
	}
	return nil
}

// venvDir is the directory of packages in an image, relative to its root.
const venvDir = "opt/venv"

// venv adds the virtual environment, as a layer below the first wheels. An image that has it keeps
// it.
func (inst *Installer) venv(ctx context.Context, img Image, py python, ext *Extension) error {
	f, err := inst.Layout.Forest(img.Layers)
	if err != nil {
		return err
	}
	if at, err := f.Resolve("/" + venvDir); err != nil || at != venvDir {
		return fmt.Errorf("/%s leads to /%s in the base: %w", venvDir, at, errors.Join(err, errors.New("packages need a directory there")))
	}
	if !py.extends() {
		for _, sub := range []string{"/bin", "/lib"} {
			if _, ok := f.Dir(venvDir + sub); ok {
				return diag.Errorf(diag.Position{}, diag.Build, "the image has a /%s already, and its python3 is another: %s", venvDir, py.Command).
					WithHint("to add packages to it, put /%s/bin into PATH first, with .with_env_vars; else remove it, with .with_commands", venvDir)
			}
		}
		l, err := inst.venvLayer(ctx, py)
		if err != nil {
			return err
		}
		ext.Layers = append(ext.Layers, Titled{l, "venv /" + venvDir})
	}
	searched, bin := cmp.Or(img.Path, process.DefaultPath), "/"+venvDir+"/bin"
	if searched != bin && !strings.HasPrefix(searched, bin+":") {
		ext.Env = append(ext.Env, "PATH="+bin+":"+searched)
	}
	ext.Env = append(ext.Env, "VIRTUAL_ENV=/"+venvDir)
	return nil
}

func (inst *Installer) venvLayer(ctx context.Context, py python) (oci.Layer, error) {
	k := memo.NewKey("venv 2").Str(py.Executable).Str(py.Version).Bool(py.System).Str(py.Site)
	return inst.layer(ctx, k, func() (oci.Layer, error) {
		return inst.Layout.WriteLayer(ctx, func(w *oci.LayerWriter) error { return writeVenv(w, py) })
	})
}

// writeVenv writes what "python3 -m venv --without-pip --system-site-packages" makes. If the image's
// python3 is in a virtual environment, its packages are found too.
func writeVenv(w *oci.LayerWriter, py python) error {
	links := [][2]string{{"bin/python", "python3"}, {"bin/python3", py.Executable}, {"bin/python" + py.Short, "python3"}, {"lib64", "lib"}}
	for _, l := range links {
		hdr := &tar.Header{Typeflag: tar.TypeSymlink, Name: venvDir + "/" + l[0], Linkname: l[1], Mode: 0o777, ModTime: oci.FileTime}
		if err := errors.Join(w.AddParents(hdr.Name), w.Add(hdr, nil)); err != nil {
			return err
		}
	}
	files := [][2]string{{venvDir + "/pyvenv.cfg", fmt.Sprintf("home = %s\ninclude-system-site-packages = %t\nversion = %s\nexecutable = %s\n",
		path.Dir(py.Executable), py.System, py.Version, py.Executable)}}
	if py.Site != "" {
		files = append(files, [2]string{siteDir(py) + "/_flytestar_base.pth", "import site; site.addsitedir(" + strconv.QuoteToASCII(py.Site) + ")\n"})
	}
	for _, f := range files {
		hdr := &tar.Header{Typeflag: tar.TypeReg, Name: f[0], Size: int64(len(f[1])), Mode: 0o644, ModTime: oci.FileTime}
		if err := errors.Join(w.AddParents(hdr.Name), w.Add(hdr, strings.NewReader(f[1]))); err != nil {
			return err
		}
	}
	return w.AddParents(siteDir(py) + "/x")
}

// layer returns the layer of a key. It calls maker if there is none.
func (inst *Installer) layer(ctx context.Context, k *memo.Key, maker func() (oci.Layer, error)) (oci.Layer, error) {
	return memo.Made(ctx, inst.Memo, "layers", k, inst.Layout.Has, maker)
}
