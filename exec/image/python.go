package image

import (
	"archive/tar"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
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

// key adds everything about a Python that wheels and their bytecode depend on.
func (p python) key(k *key) *key { return k.str(p.Version).str(p.Platform).str(p.Magic) }

// python returns the image's Python so far.
func (j *job) python(ctx context.Context, st *state, s plan.Step) (python, error) {
	k := newKey("python 1").list(diffIDs(st.layers)).str(st.env("PATH"))
	py, err := made(ctx, j, "python", k, nil, func() (python, error) {
		var out bytes.Buffer
		c := &exec.Container{
			Name: "python", Layers: j.store.open(st.layers), Env: j.runEnv(st), Stdout: &out,
			Args: []string{"/bin/sh", "-c", `command -v python3 >/dev/null || exit 99; exec python3 -c "$1"`, "sh", probeScript},
		}
		_, err := j.run(ctx, c)
		var failed *exitError
		if errors.As(err, &failed) && failed.Code == 99 || len(st.layers) == 0 {
			return python{}, diag.Errorf(s.Pos, diag.Build, "the image has no python3, which pip packages need").
				WithHint("start from image.from_debian_base(), or install it before: .with_apt_packages(\"python3\")")
		}
		if errors.As(err, &failed) {
			return python{}, failed.at(s.Pos, "the image's python3")
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

// check refuses what would end up in paths.
func (p python) check() error {
	if !shortVersion().MatchString(p.Short) || !path.IsAbs(p.Executable) || strings.ContainsAny(p.Executable+p.Version, "\n\r\x00") {
		return fmt.Errorf("the image's python3 says that it is %q at %q", p.Version, p.Executable)
	}
	return nil
}

// venvDir is where packages live in an image, relative to its root.
const venvDir = "opt/venv"

// venv puts the virtual environment under the first wheels.
func (j *job) venv(ctx context.Context, st *state, py python) error {
	if len(st.calls) > 0 {
		return nil
	}
	f, err := j.store.trees(st.layers)
	if err != nil {
		return err
	}
	if at, err := f.resolve("/" + venvDir); err != nil || at != venvDir {
		return fmt.Errorf("/%s leads to /%s in the base: %w", venvDir, at, errors.Join(err, errors.New("packages need a directory there")))
	}
	l, err := j.venvLayer(ctx, py)
	if err != nil {
		return err
	}
	st.add(l, "venv /"+venvDir)
	old := st.env("PATH")
	if old == "" {
		old = defaultPath
	}
	st.setEnv("PATH", "/"+venvDir+"/bin:"+old)
	st.setEnv("VIRTUAL_ENV", "/"+venvDir)
	return nil
}

func (j *job) venvLayer(ctx context.Context, py python) (layer, error) {
	return j.layer(ctx, newKey("venv 1").str(py.Executable).str(py.Version), func() (layer, error) {
		return j.store.writeLayer(ctx, func(t *tarball) error { return writeVenv(t, py) })
	})
}

// writeVenv writes what "python3 -m venv --without-pip" makes.
func writeVenv(t *tarball, py python) error {
	cfg := fmt.Sprintf("home = %s\ninclude-system-site-packages = false\nversion = %s\nexecutable = %s\n", path.Dir(py.Executable), py.Version, py.Executable)
	links := [][2]string{{"bin/python", "python3"}, {"bin/python3", py.Executable}, {"bin/python" + py.Short, "python3"}, {"lib64", "lib"}}
	site := venvDir + "/lib/python" + py.Short + "/site-packages"
	for _, l := range links {
		hdr := &tar.Header{Typeflag: tar.TypeSymlink, Name: venvDir + "/" + l[0], Linkname: l[1], Mode: 0o777, ModTime: fileTime}
		if err := t.parents(hdr.Name); err != nil {
			return err
		}
		if err := t.header(hdr, nil); err != nil {
			return err
		}
	}
	if err := t.parents(site + "/x"); err != nil {
		return err
	}
	return t.header(&tar.Header{Typeflag: tar.TypeReg, Name: venvDir + "/pyvenv.cfg", Size: int64(len(cfg)), Mode: 0o644, ModTime: fileTime}, strings.NewReader(cfg))
}
