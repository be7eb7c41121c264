package pip

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Bounds on what a wheel may hold.
const (
	maxWheelFiles = 500_000
	maxWheelSize  = 64 << 30 // bytes, unpacked
)

// wheelPlan says where a wheel's members go.
type wheelPlan struct {
	dist    Distribution
	zip     *zip.ReadCloser
	info    string // its .dist-info directory
	members []member
	big     bool
}

// member is a file to lay down. It comes from a wheel, or is generated.
type member struct {
	path   string // relative to the image's root
	mode   int64
	file   *zip.File
	data   []byte // instead of file
	script bool   // its first line may name Python
}

func siteDir(py python) string { return venvDir + "/lib/python" + py.Short + "/site-packages" }

// planWheel opens a wheel and decides where its members go. The wheel may be hostile, so planWheel
// refuses paths that lead out of the virtual environment.
func planWheel(file string, d Distribution, py python) (*wheelPlan, error) {
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

var nameSeparators = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[-_.]+`) })

func normalName(s string) string { return strings.ToLower(nameSeparators().ReplaceAllString(s, "-")) }

// place decides where a member goes. It drops members that the installer writes itself.
func (p *wheelPlan) place(f *zip.File, py python) (m member, keep bool, err error) {
	if !fs.ValidPath(f.Name) || strings.ContainsAny(f.Name, "\\\x00") {
		return m, false, fmt.Errorf("it has a member named %q", f.Name)
	}
	if !f.Mode().IsRegular() {
		return m, false, fmt.Errorf("its member %s isn't a regular file", f.Name)
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

// generate adds what installers write: programs for entry points, and INSTALLER. It replaces a
// program that the wheel brings for an entry point.
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
	entryName   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`) })
	entryTarget = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^([A-Za-z_][\w]*(?:\.[A-Za-z_][\w]*)*)\s*:\s*([A-Za-z_][\w]*(?:\.[A-Za-z_][\w]*)*)\s*(?:\[[^\]]*\])?$`)
	})
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
		m := entryTarget().FindStringSubmatch(strings.TrimSpace(target))
		if m == nil || !entryName().MatchString(name) {
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
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head[:n]), r), r}, int64(m.file.UncompressedSize64), nil
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
