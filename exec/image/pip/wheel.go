package pip

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/process"
)

// A wheel is laid down once for each Python. The outcome is a fragment: a tar of the installed
// files, with bytecode and RECORD. The fragments of a call's small wheels go into one layer. A big
// wheel is a layer of its own, so that it isn't written and pushed again when a package is added
// beside it.

// bigWheel is the size from which a wheel is a layer of its own, in bytes.
const bigWheel = 10 << 20

// laidWheel is a wheel that was laid down.
type laidWheel struct {
	Name  string     `json:"name"` // "pytest 9.0.1", for messages
	Key   string     `json:"key"`  // names the fragment
	Big   bool       `json:"big"`
	Files []laidFile `json:"files"`
}

// laidFile is a file of a laid wheel.
type laidFile struct {
	Path   string `json:"path"` // relative to the image's root
	SHA256 string `json:"sha256"`
	Mode   int64  `json:"mode"`
	Size   int64  `json:"size"`
	NoHash bool   `json:"no_hash,omitempty"` // RECORD doesn't have its hash: bytecode
}

// addWheels adds the layers of a call's wheels.
func (inst *Installer) addWheels(ctx context.Context, img Image, c *call, ext *Extension) error {
	var err error
	if c.wheels, err = inst.lay(ctx, c); err != nil {
		return err
	}
	inst.calls = append(inst.calls, c)
	lost, err := inst.conflicts(c.step)
	if err != nil {
		return err
	}
	inst.say(lost)
	var pool []laidWheel
	for _, w := range c.wheels {
		if !w.Big {
			pool = append(pool, w)
			continue
		}
		l, err := inst.wheelLayer(ctx, c, lost, w)
		if err != nil {
			return err
		}
		ext.add(img, l, "wheel "+w.Name)
	}
	if len(pool) == 0 {
		return nil
	}
	l, err := inst.wheelLayer(ctx, c, lost, pool...)
	if err != nil {
		return err
	}
	ext.add(img, l, Title(c.step))
	return nil
}

// add adds a layer of wheels, unless img or the extension has it: an earlier call may have the same
// big wheel.
func (ext *Extension) add(img Image, l oci.Layer, title string) {
	if slices.ContainsFunc(img.Layers, func(had oci.Layer) bool { return had.Digest == l.Digest }) ||
		slices.ContainsFunc(ext.Layers, func(had Titled) bool { return had.Digest == l.Digest }) {
		return
	}
	ext.Layers = append(ext.Layers, Titled{l, title})
}

// laidKey names a wheel as laid down for a Python.
func laidKey(d Distribution, py python) string {
	return py.key(memo.NewKey("wheel 2").Str(d.Name).Str(d.Version).Str(d.SHA256).Str(py.Short)).Hex()
}

func (inst *Installer) fragmentPath(key string) string {
	return filepath.Join(inst.Cache, "laid", key+".tar")
}

// lay returns a call's wheels, laid down. It lays down those that aren't.
func (inst *Installer) lay(ctx context.Context, c *call) ([]laidWheel, error) {
	k := memo.NewKey("laid 1")
	for _, d := range c.pinned.Packages {
		k.Str(laidKey(d, c.py))
	}
	return memo.Made(ctx, inst.Memo, "laid", k, nil, func() ([]laidWheel, error) {
		wheels, missing := []laidWheel{}, []Distribution(nil)
		for _, d := range c.pinned.Packages {
			w, ok, err := memo.Recall[laidWheel](inst.Memo, "wheels", laidKey(d, c.py))
			if err != nil {
				return nil, err
			}
			if !ok {
				missing = append(missing, d)
				continue
			}
			wheels = append(wheels, w)
		}
		more, err := inst.layMissing(ctx, c, missing)
		wheels = append(wheels, more...)
		slices.SortFunc(wheels, func(a, b laidWheel) int { return strings.Compare(a.Name, b.Name) })
		return wheels, err
	})
}

// wheelLayer returns the layer of some of a call's wheels, without the files that they lost to others.
func (inst *Installer) wheelLayer(ctx context.Context, c *call, lost losses, wheels ...laidWheel) (oci.Layer, error) {
	k := memo.NewKey("wheels 1")
	for _, w := range wheels {
		k.Str(w.Key)
		if len(lost[w.Name]) > 0 {
			k.List(slices.Sorted(maps.Keys(lost[w.Name])))
		}
	}
	return inst.layer(ctx, k, func() (oci.Layer, error) {
		if err := inst.needFragments(ctx, c, wheels); err != nil {
			return oci.Layer{}, err
		}
		l, err := inst.Layout.WriteLayer(ctx, func(lw *oci.LayerWriter) error {
			for _, w := range wheels {
				err := inst.copyFragment(lw, w, func(name string) (string, bool) {
					_, gone := lost[w.Name][name]
					return name, !gone
				})
				if err != nil {
					return fmt.Errorf("wheel %s: %w", w.Name, err)
				}
			}
			return nil
		})
		for _, w := range wheels {
			if w.Big && err == nil && len(lost[w.Name]) == 0 {
				err = os.Remove(inst.fragmentPath(w.Key)) // the layer has it all
			}
		}
		return l, err
	})
}

// needFragments lays down again the wheels that have lost their fragments.
func (inst *Installer) needFragments(ctx context.Context, c *call, wheels []laidWheel) error {
	var missing []Distribution
	for _, w := range wheels {
		_, err := os.Stat(inst.fragmentPath(w.Key))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			continue
		}
		for _, d := range c.pinned.Packages {
			if laidKey(d, c.py) == w.Key {
				missing = append(missing, d)
			}
		}
	}
	_, err := inst.layMissing(ctx, c, missing)
	return err
}

// copyFragment adds a fragment to a layer. It skips files that another wheel has put there:
// they are the same. place says where a file goes, and whether it is copied at all.
func (inst *Installer) copyFragment(lw *oci.LayerWriter, w laidWheel, place func(name string) (string, bool)) error {
	f, err := os.Open(inst.fragmentPath(w.Key))
	if err != nil {
		return err
	}
	defer f.Close()
	return visitTar(f, func(hdr *tar.Header, r io.Reader) error {
		name, wanted := place(hdr.Name)
		hdr.Name = name
		if !wanted || lw.Has(hdr.Name) {
			return nil
		}
		if err := lw.AddParents(hdr.Name); err != nil {
			return err
		}
		return lw.Add(hdr, r)
	})
}

// layMissing lays wheels down: it plans each, compiles all their modules in one container, and
// writes their fragments.
func (inst *Installer) layMissing(ctx context.Context, c *call, missing []Distribution) ([]laidWheel, error) {
	if len(missing) == 0 {
		return nil, nil
	}
	inst.Build.Step("lay " + cmp.Or(c.title, Title(c.step)))
	plans := make([]*wheelPlan, len(missing))
	defer func() {
		for _, p := range plans {
			if p != nil {
				p.zip.Close()
			}
		}
	}()
	for i, d := range missing {
		var err error
		if plans[i], err = planWheel(inst.wheelPath(d), d, c.py); err != nil {
			return nil, diag.Errorf(c.step.Pos, diag.Build, "wheel %s: %w", d.Wheel, err)
		}
	}
	bytecode, err := inst.compile(ctx, c, plans)
	if err != nil {
		return nil, err
	}
	out := make([]laidWheel, len(plans))
	g, ctx := errgroup.WithContext(ctx)
	for i, p := range plans {
		g.Go(func() (err error) {
			if err := inst.Slots.Acquire(ctx, 1); err != nil {
				return err
			}
			defer inst.Slots.Release(1)
			if out[i], err = inst.writeFragment(ctx, p, bytecode[i], c.py); err != nil {
				return fmt.Errorf("wheel %s: %w", p.dist.Wheel, err)
			}
			return nil
		})
	}
	return out, g.Wait()
}

// moduleChunk is how many modules one process compiles.
const moduleChunk = 100

// compile returns the bytecode of all modules of all wheels, by wheel.
func (inst *Installer) compile(ctx context.Context, call *call, plans []*wheelPlan) ([][]member, error) {
	py, out := call.py, make([][]member, len(plans))
	chunks := [][][3]any{}
	c := &exec.Container{
		Name: "bytecode", Layers: inst.Layout.Open(call.under.Layers), Workdir: "/",
		Args: []string{py.Executable, runDir + "/compile.py", runDir + "/jobs.json"},
		Env:  append(withoutPython(call.under.Environ), "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1"),
	}
	for i, p := range plans {
		var modules [][3]any
		for _, m := range p.members {
			if m.file != nil && strings.HasSuffix(m.path, ".py") && strings.HasPrefix(m.path, siteDir(py)+"/") {
				modules = append(modules, [3]any{i, m.file.Name, "/" + m.path})
			}
		}
		for chunk := range slices.Chunk(modules, moduleChunk) {
			chunks = append(chunks, chunk)
		}
		c.Mounts = append(c.Mounts, exec.Mount{Source: inst.wheelPath(p.dist), Target: fmt.Sprintf("%s/%d.whl", runDir, i)})
	}
	if len(chunks) == 0 {
		return out, nil
	}
	data, err := json.Marshal(chunks)
	if err != nil {
		return nil, err
	}
	c.Files = []exec.File{{Path: runDir + "/compile.py", Mode: 0o644, Data: compileScript}, {Path: runDir + "/jobs.json", Mode: 0o644, Data: data}}
	err = inst.stream(ctx, c, func(hdr *tar.Header, r io.Reader) error {
		number, name, _ := strings.Cut(hdr.Name, "/")
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= len(out) || !fs.ValidPath(name) || !strings.HasPrefix(name, siteDir(py)+"/") || path.Ext(name) != ".pyc" {
			return fmt.Errorf("the compiler sends a file named %q", hdr.Name)
		}
		data, err := io.ReadAll(io.LimitReader(r, maxBytecode))
		out[i] = append(out[i], member{path: name, mode: 0o644, data: data})
		return err
	})
	var failed *process.Failed
	if errors.As(err, &failed) {
		return nil, failed.At(diag.Position{}, "the compiler of bytecode")
	}
	return out, err
}

// withoutPython returns an image's environment without what changes how Python compiles. What Python
// needs to start stays.
func withoutPython(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(e string) bool {
		return strings.HasPrefix(e, "PYTHON") && !strings.HasPrefix(e, "PYTHONHOME=")
	})
}

// maxBytecode bounds one module's bytecode, in bytes.
const maxBytecode = 256 << 20

// writeFragment lays a wheel down.
func (inst *Installer) writeFragment(ctx context.Context, p *wheelPlan, bytecode []member, py python) (laidWheel, error) {
	w := laidWheel{Name: p.dist.Name + " " + p.dist.Version, Key: laidKey(p.dist, py), Big: p.big}
	f, err := inst.Memo.Scratch.Create()
	if err != nil {
		return w, err
	}
	defer f.Close()
	tw := tar.NewWriter(f)
	compiled := map[string]bool{}
	for _, m := range bytecode {
		compiled[m.path] = true
	}
	for _, m := range p.members {
		if compiled[m.path] {
			continue // the wheel has bytecode of its own, which Python may never compare with the module
		}
		if err := w.write(ctx, tw, m, false); err != nil {
			return w, err
		}
	}
	for _, m := range bytecode {
		if err := w.write(ctx, tw, m, true); err != nil {
			return w, err
		}
	}
	record, err := w.record(siteDir(py), p.info)
	if err != nil {
		return w, err
	}
	if err := w.write(ctx, tw, member{path: siteDir(py) + "/" + p.info + "/RECORD", mode: 0o644, data: record}, false); err != nil {
		return w, err
	}
	if err := tw.Close(); err != nil {
		return w, err
	}
	if err := f.Commit(inst.fragmentPath(w.Key), 0o644); err != nil {
		return w, err
	}
	return w, inst.Memo.Remember("wheels", w.Key, w)
}

// write adds a member to a fragment and to the wheel's files.
func (w *laidWheel) write(ctx context.Context, tw *tar.Writer, m member, noHash bool) error {
	r, size, err := m.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: m.path, Mode: m.mode, Size: size, ModTime: oci.FileTime}); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(tw, io.TeeReader(exec.Cancellable(ctx, r), h)); err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	w.Files = append(w.Files, laidFile{m.path, hex.EncodeToString(h.Sum(nil)), m.mode, size, noHash})
	return nil
}

// record is the wheel's RECORD: what is installed, by path relative to site-packages.
func (w *laidWheel) record(site, info string) ([]byte, error) {
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	row := func(name, hash, size string) error {
		rel, err := filepath.Rel(site, name)
		if err != nil {
			return err
		}
		return out.Write([]string{filepath.ToSlash(rel), hash, size})
	}
	for _, f := range w.Files {
		sum, err := hex.DecodeString(f.SHA256)
		if err != nil {
			return nil, err
		}
		hash, size := "sha256="+base64.RawURLEncoding.EncodeToString(sum), strconv.FormatInt(f.Size, 10)
		if f.NoHash {
			hash, size = "", ""
		}
		if err := row(f.Path, hash, size); err != nil {
			return nil, err
		}
	}
	if err := row(site+"/"+info+"/RECORD", "", ""); err != nil {
		return nil, err
	}
	out.Flush()
	return b.Bytes(), out.Error()
}
