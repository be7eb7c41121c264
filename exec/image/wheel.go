package image

import (
	"archive/tar"
	"archive/zip"
	"bytes"
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
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// A wheel is laid down once for each Python, as a fragment: a tar of its files where they
// are installed, with bytecode and RECORD. Fragments of small wheels are pooled in one layer for
// each call; a big wheel is a layer of its own, so that adding a package beside it
// doesn't write and push it again.

// bigWheel is the size from which a wheel is a layer of its own, in bytes.
const bigWheel = 10 << 20

// laidWheel is a wheel as laid down.
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

// addWheels puts the layers of a call's wheels on top of the image.
func (j *job) addWheels(ctx context.Context, st *state, c *call) error {
	var err error
	if c.wheels, err = j.lay(ctx, c); err != nil {
		return err
	}
	st.calls = append(st.calls, c)
	if err := st.conflicts(c.step); err != nil {
		return err
	}
	var pool []laidWheel
	for _, w := range c.wheels {
		if !w.Big {
			pool = append(pool, w)
			continue
		}
		l, err := j.wheelLayer(ctx, c, w)
		if err != nil {
			return err
		}
		st.addWheelLayer(l, "wheel "+w.Name)
	}
	if len(pool) == 0 {
		return nil
	}
	l, err := j.wheelLayer(ctx, c, pool...)
	if err != nil {
		return err
	}
	st.addWheelLayer(l, stepTitle(c.step))
	return nil
}

// laidKey names a wheel as laid down for a Python.
func laidKey(d distribution, py python) string {
	return py.key(newKey("wheel 1").str(d.Name).str(d.Version).str(d.SHA256).str(py.Short)).hex()
}

func (j *job) fragmentPath(key string) string {
	return filepath.Join(j.opts.Home, "cache", "laid", key+".tar")
}

// lay returns a call's wheels as laid down, laying those that aren't.
func (j *job) lay(ctx context.Context, c *call) ([]laidWheel, error) {
	k := newKey("laid 1")
	for _, d := range c.pinned.Packages {
		k.str(laidKey(d, c.py))
	}
	return made(ctx, j, "laid", k, nil, func() ([]laidWheel, error) {
		wheels, missing := []laidWheel{}, []distribution(nil)
		for _, d := range c.pinned.Packages {
			w, ok, err := recall[laidWheel](j.store.memoPath("wheels", laidKey(d, c.py)), nil)
			if err != nil {
				return nil, err
			}
			if !ok {
				missing = append(missing, d)
				continue
			}
			wheels = append(wheels, w)
		}
		more, err := j.layMissing(ctx, c, missing)
		wheels = append(wheels, more...)
		slices.SortFunc(wheels, func(a, b laidWheel) int { return strings.Compare(a.Name, b.Name) })
		return wheels, err
	})
}

// wheelLayer returns the layer of some of a call's wheels.
func (j *job) wheelLayer(ctx context.Context, c *call, wheels ...laidWheel) (layer, error) {
	k := newKey("wheels 1")
	for _, w := range wheels {
		k.str(w.Key)
	}
	return j.layer(ctx, k, func() (layer, error) {
		if err := j.needFragments(ctx, c, wheels); err != nil {
			return layer{}, err
		}
		l, err := j.store.writeLayer(ctx, func(t *tarball) error {
			for _, w := range wheels {
				if err := j.copyFragment(t, w); err != nil {
					return fmt.Errorf("wheel %s: %w", w.Name, err)
				}
			}
			return nil
		})
		for _, w := range wheels {
			if w.Big && err == nil {
				err = os.Remove(j.fragmentPath(w.Key)) // the layer has it all
			}
		}
		return l, err
	})
}

// needFragments lays wheels again whose fragments are gone.
func (j *job) needFragments(ctx context.Context, c *call, wheels []laidWheel) error {
	var missing []distribution
	for _, w := range wheels {
		_, err := os.Stat(j.fragmentPath(w.Key))
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
	_, err := j.layMissing(ctx, c, missing)
	return err
}

// copyFragment adds a fragment to a layer. What another wheel has put there already is the same: see conflicts.
func (j *job) copyFragment(t *tarball, w laidWheel) error {
	f, err := os.Open(j.fragmentPath(w.Key))
	if err != nil {
		return err
	}
	defer f.Close()
	return visitTar(f, func(hdr *tar.Header, r io.Reader) error {
		if t.seen[hdr.Name] {
			return nil
		}
		if err := t.parents(hdr.Name); err != nil {
			return err
		}
		return t.header(hdr, r)
	})
}

// conflicts finds files that two wheels of the image have with different
// content, and files where another wheel needs a directory.
func (st *state) conflicts(s plan.Step) error {
	type owner struct {
		wheel string
		file  laidFile
	}
	files, dirs := map[string]owner{}, map[string]string{}
	for _, name := range []string{"pyvenv.cfg", "lib64", "bin/python", "bin/python3"} {
		files[venvDir+"/"+name] = owner{wheel: "the virtual environment"}
	}
	clash := func(name, a, b string) error {
		return diag.Errorf(s.Pos, diag.Build, "the wheels %s and %s both have /%s, with different content", a, b, name).
			WithHint("leave one of the two packages out, or choose versions that agree")
	}
	for _, c := range st.calls {
		for _, w := range c.wheels {
			for _, f := range w.Files {
				had, ok := files[f.Path]
				if ok && had.wheel != w.Name && (had.file.SHA256 != f.SHA256 || had.file.Mode != f.Mode) {
					return clash(f.Path, had.wheel, w.Name)
				}
				if other, ok := dirs[f.Path]; ok {
					return clash(f.Path, other, w.Name)
				}
				files[f.Path] = owner{w.Name, f}
				for dir := path.Dir(f.Path); dir != venvDir && dirs[dir] == ""; dir = path.Dir(dir) {
					if had, ok := files[dir]; ok {
						return clash(dir, had.wheel, w.Name)
					}
					dirs[dir] = w.Name
				}
			}
		}
	}
	return nil
}

// layMissing lays wheels down: it plans each, compiles all their modules in one container, and
// writes their fragments.
func (j *job) layMissing(ctx context.Context, c *call, missing []distribution) ([]laidWheel, error) {
	if len(missing) == 0 {
		return nil, nil
	}
	j.step("lay " + stepTitle(c.step))
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
		if plans[i], err = planWheel(j.wheelPath(d), d, c.py); err != nil {
			return nil, diag.Errorf(c.step.Pos, diag.Build, "wheel %s: %w", d.Wheel, err)
		}
	}
	bytecode, err := j.compile(ctx, c, plans)
	if err != nil {
		return nil, err
	}
	out := make([]laidWheel, len(plans))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(j.opts.Jobs)
	for i, p := range plans {
		g.Go(func() (err error) {
			if out[i], err = j.writeFragment(ctx, p, bytecode[i], c.py); err != nil {
				return fmt.Errorf("wheel %s: %w", p.dist.Wheel, err)
			}
			return nil
		})
	}
	return out, g.Wait()
}

// Bounds on what a wheel may hold.
const (
	maxWheelFiles = 500_000
	maxWheelSize  = 64 << 30 // bytes, unpacked
)

// wheelPlan says where a wheel's members go.
type wheelPlan struct {
	dist    distribution
	zip     *zip.ReadCloser
	info    string // its .dist-info directory
	members []member
	big     bool
}

// member is a file to lay down: a wheel's, or one that is generated.
type member struct {
	path   string // relative to the image's root
	mode   int64
	file   *zip.File
	data   []byte // instead of file
	script bool   // its first line may name Python
}

func siteDir(py python) string { return venvDir + "/lib/python" + py.Short + "/site-packages" }

// planWheel opens a wheel and decides where its members go. The wheel may be hostile:
// no path leads out of the virtual environment.
func planWheel(file string, d distribution, py python) (*wheelPlan, error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return nil, err
	}
	p := &wheelPlan{dist: d, zip: z}
	if err := p.fill(file, py); err != nil {
		z.Close()
		return nil, err
	}
	return p, nil
}

func (p *wheelPlan) fill(file string, py python) error {
	fi, err := os.Stat(file)
	if err != nil {
		return err
	}
	p.big = fi.Size() >= bigWheel
	if len(p.zip.File) > maxWheelFiles {
		return fmt.Errorf("it has %d members, more than %d", len(p.zip.File), maxWheelFiles)
	}
	if p.info, err = infoDir(p.zip.File, p.dist.Name); err != nil {
		return err
	}
	seen, total := map[string]bool{}, uint64(0)
	for _, f := range p.zip.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if total += f.UncompressedSize64; total > maxWheelSize || f.UncompressedSize64 > maxWheelSize {
			return fmt.Errorf("it unpacks to more than %d bytes", int64(maxWheelSize))
		}
		m, keep, err := p.place(f, py)
		if err != nil {
			return err
		}
		if !keep {
			continue
		}
		if seen[m.path] {
			return fmt.Errorf("it has %s twice", f.Name)
		}
		seen[m.path] = true
		p.members = append(p.members, m)
	}
	if err := p.generate(py); err != nil {
		return err
	}
	slices.SortFunc(p.members, func(a, b member) int { return strings.Compare(a.path, b.path) })
	return nil
}

// infoDir finds a wheel's .dist-info directory.
func infoDir(files []*zip.File, name string) (string, error) {
	found := ""
	for _, f := range files {
		dir, _, ok := strings.Cut(f.Name, "/")
		stem, isInfo := strings.CutSuffix(dir, ".dist-info")
		if !ok || !isInfo || dir == found {
			continue
		}
		project, _, _ := strings.Cut(stem, "-")
		if normalName(project) != name {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("it has both %s and %s", found, dir)
		}
		found = dir
	}
	if found == "" {
		return "", fmt.Errorf("it has no .dist-info directory of %s", name)
	}
	return found, nil
}

var nameSeparators = regexp.MustCompile(`[-_.]+`)

func normalName(s string) string { return strings.ToLower(nameSeparators.ReplaceAllString(s, "-")) }

// place decides where a member goes. What the installer writes itself isn't kept.
func (p *wheelPlan) place(f *zip.File, py python) (m member, keep bool, err error) {
	if !fs.ValidPath(f.Name) || strings.ContainsAny(f.Name, "\\\x00") {
		return m, false, fmt.Errorf("it has a member named %q", f.Name)
	}
	if !f.Mode().IsRegular() {
		return m, false, fmt.Errorf("its member %s is no regular file", f.Name)
	}
	m = member{path: siteDir(py) + "/" + f.Name, mode: 0o644, file: f}
	if f.Mode()&0o111 != 0 {
		m.mode = 0o755
	}
	top, rest, _ := strings.Cut(f.Name, "/")
	if top == p.info {
		return m, !slices.Contains([]string{"RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json"}, rest), nil
	}
	if top != strings.TrimSuffix(p.info, ".dist-info")+".data" {
		return m, true, nil
	}
	scheme, rest, _ := strings.Cut(rest, "/")
	if rest == "" {
		return m, false, fmt.Errorf("it has a file %s", f.Name)
	}
	switch scheme {
	case "purelib", "platlib":
		m.path = siteDir(py) + "/" + rest
	case "scripts":
		m.path, m.mode, m.script = venvDir+"/bin/"+rest, 0o755, true
	case "headers":
		m.path = venvDir + "/include/site/python" + py.Short + "/" + p.dist.Name + "/" + rest
	case "data":
		if inLib, ok := strings.CutPrefix(rest, "lib64/"); ok {
			rest = "lib/" + inLib // lib64 is a link to lib
		}
		m.path = venvDir + "/" + rest
	default:
		return m, false, fmt.Errorf("it has data of an unknown scheme, %s", f.Name)
	}
	return m, true, nil
}

// generate adds what installers write: programs for entry points, and INSTALLER. A program that
// the wheel brings for an entry point is replaced.
func (p *wheelPlan) generate(py python) error {
	programs, err := p.entryPoints()
	if err != nil {
		return err
	}
	p.members = slices.DeleteFunc(p.members, func(m member) bool {
		name, ok := strings.CutPrefix(m.path, venvDir+"/bin/")
		return ok && programs[name] != nil
	})
	for name, data := range programs {
		p.members = append(p.members, member{path: venvDir + "/bin/" + name, mode: 0o755, data: data})
	}
	p.members = append(p.members, member{path: siteDir(py) + "/" + p.info + "/INSTALLER", mode: 0o644, data: []byte("flytestar\n")})
	return nil
}

var (
	entryName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`)
	entryTarget = regexp.MustCompile(`^([A-Za-z_][\w]*(?:\.[A-Za-z_][\w]*)*)\s*:\s*([A-Za-z_][\w]*(?:\.[A-Za-z_][\w]*)*)\s*(?:\[[^\]]*\])?$`)
)

// maxEntryPoints bounds entry_points.txt, in bytes.
const maxEntryPoints = 4 << 20

// entryPoints returns the programs that a wheel's entry points ask for, by name.
func (p *wheelPlan) entryPoints() (map[string][]byte, error) {
	programs := map[string][]byte{}
	f, err := p.zip.Open(p.info + "/entry_points.txt")
	if errors.Is(err, fs.ErrNotExist) {
		return programs, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxEntryPoints))
	if err != nil {
		return nil, err
	}
	section := ""
	for _, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[] ")
			continue
		}
		if section != "console_scripts" && section != "gui_scripts" {
			continue
		}
		name, target, _ := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		m := entryTarget.FindStringSubmatch(strings.TrimSpace(target))
		if m == nil || !entryName.MatchString(name) {
			return nil, fmt.Errorf("its entry_points.txt has %q", line)
		}
		programs[name] = program(m[1], m[2])
	}
	return programs, nil
}

// venvPython is the interpreter that programs name in their first line.
const venvPython = "/" + venvDir + "/bin/python3"

// program is what runs an entry point.
func program(module, attr string) []byte {
	first, _, _ := strings.Cut(attr, ".")
	return []byte("#!" + venvPython + "\nimport sys\n\nfrom " + module + " import " + first +
		"\n\nif __name__ == \"__main__\":\n    sys.exit(" + attr + "())\n")
}

// moduleChunk is how many modules one process compiles.
const moduleChunk = 100

// compile returns the bytecode of all modules of all wheels, by wheel.
func (j *job) compile(ctx context.Context, call *call, plans []*wheelPlan) ([][]member, error) {
	py, out := call.py, make([][]member, len(plans))
	chunks := [][][3]any{}
	c := &exec.Container{
		Name: "bytecode", Layers: j.store.open(call.under), Workdir: "/",
		Args: []string{py.Executable, pipDir + "/compile.py", pipDir + "/jobs.json"},
		Env:  []string{"PATH=" + defaultPath, "HOME=/root", "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1"},
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
		c.Mounts = append(c.Mounts, exec.Mount{Source: j.wheelPath(p.dist), Target: fmt.Sprintf("%s/%d.whl", pipDir, i)})
	}
	if len(chunks) == 0 {
		return out, nil
	}
	data, err := json.Marshal(chunks)
	if err != nil {
		return nil, err
	}
	c.Files = []exec.File{{Path: pipDir + "/compile.py", Mode: 0o644, Data: compileScript}, {Path: pipDir + "/jobs.json", Mode: 0o644, Data: data}}
	err = j.stream(ctx, c, func(hdr *tar.Header, r io.Reader) error {
		number, name, _ := strings.Cut(hdr.Name, "/")
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= len(out) || !fs.ValidPath(name) || !strings.HasPrefix(name, siteDir(py)+"/") || path.Ext(name) != ".pyc" {
			return fmt.Errorf("the compiler sends a file named %q", hdr.Name)
		}
		data, err := io.ReadAll(io.LimitReader(r, maxBytecode))
		out[i] = append(out[i], member{path: name, mode: 0o644, data: data})
		return err
	})
	var failed *exitError
	if errors.As(err, &failed) {
		return nil, failed.at(diag.Position{}, "the compiler of bytecode")
	}
	return out, err
}

// maxBytecode bounds one module's bytecode, in bytes.
const maxBytecode = 256 << 20

// writeFragment lays a wheel down.
func (j *job) writeFragment(ctx context.Context, p *wheelPlan, bytecode []member, py python) (laidWheel, error) {
	w := laidWheel{Name: p.dist.Name + " " + p.dist.Version, Key: laidKey(p.dist, py), Big: p.big}
	f, err := os.CreateTemp(j.store.tmp, "fragment")
	if err != nil {
		return w, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	tw := tar.NewWriter(f)
	brought := map[string]bool{}
	for _, m := range p.members {
		brought[m.path] = true
		if err := w.write(ctx, tw, m, false); err != nil {
			return w, err
		}
	}
	for _, m := range bytecode {
		if brought[m.path] {
			continue // the wheel has bytecode of its own
		}
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
	path := j.fragmentPath(w.Key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return w, err
	}
	if err := install(f, path); err != nil {
		return w, err
	}
	return w, j.store.remember(j.store.memoPath("wheels", w.Key), w)
}

// write adds a member to a fragment and to the wheel's files.
func (w *laidWheel) write(ctx context.Context, tw *tar.Writer, m member, noHash bool) error {
	r, size, err := m.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: m.path, Mode: m.mode, Size: size, ModTime: fileTime}); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(tw, io.TeeReader(cancellable{ctx, r}, h)); err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	w.Files = append(w.Files, laidFile{m.path, hex.EncodeToString(h.Sum(nil)), m.mode, size, noHash})
	return nil
}

// maxScript bounds a script whose first line is changed, in bytes.
const maxScript = 64 << 20

// open returns a member's content and size.
func (m member) open() (io.ReadCloser, int64, error) {
	if m.file == nil {
		return io.NopCloser(bytes.NewReader(m.data)), int64(len(m.data)), nil
	}
	r, err := m.file.Open()
	if err != nil || !m.script {
		return r, int64(m.file.UncompressedSize64), err
	}
	head := make([]byte, len("#!python"))
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		r.Close()
		return nil, 0, err
	}
	if string(head) != "#!python" {
		return &stacked{io.MultiReader(bytes.NewReader(head[:n]), r), []io.Closer{r}}, int64(m.file.UncompressedSize64), nil
	}
	defer r.Close()
	rest, err := io.ReadAll(io.LimitReader(r, maxScript+1))
	if err == nil && len(rest) > maxScript {
		err = fmt.Errorf("script %s is larger than %d bytes", m.path, maxScript)
	}
	_, body, _ := bytes.Cut(rest, []byte("\n"))
	data := append([]byte("#!"+venvPython+"\n"), body...)
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), err
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
