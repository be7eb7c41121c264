package pip

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/csv"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/semaphore"

	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/plan"
)

// newInstaller returns an installer in a home of its own, on a workspace with files by name. It
// can't run anything.
func newInstaller(t testing.TB, files map[string]string) *Installer {
	t.Helper()
	home := t.TempDir()
	for _, dir := range []string{"locks", "cache/wheels"} {
		must(t, os.MkdirAll(filepath.Join(home, dir), 0o755))
	}
	workspace := fstest.MapFS{}
	for name, content := range files {
		workspace[name] = &fstest.MapFile{Data: []byte(content)}
	}
	tmp, err := durable.OpenScratch(filepath.Join(home, "tmp"))
	must(t, err)
	t.Cleanup(func() { must(t, tmp.Close()) })
	layout := &oci.Layout{Dir: filepath.Join(home, "images"), Trees: filepath.Join(home, "trees"), Scratch: tmp, Lock: filepath.Join(home, "locks", "index.json")}
	must(t, layout.Init())
	return New(Options{
		Memo: &memo.Memo{Index: filepath.Join(home, "index"), Locks: filepath.Join(home, "locks"), Scratch: tmp}, Layout: layout,
		Cache: filepath.Join(home, "cache"), Workspace: workspace, Slots: semaphore.NewWeighted(2), Platform: "linux/amd64",
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var testPython = python{Version: "3.11.2", Short: "3.11", Executable: "/usr/bin/python3", Platform: "linux-x86_64", Magic: "a70d0d0a"}

const site = "opt/venv/lib/python3.11/site-packages/"

// addWheel puts a wheel with members into b's cache. A name that ends in "*" is executable.
func addWheel(t testing.TB, inst *Installer, name, version string, members map[string]string) Distribution {
	t.Helper()
	var data bytes.Buffer
	z := zip.NewWriter(&data)
	for _, n := range slices.Sorted(maps.Keys(members)) {
		h := &zip.FileHeader{Name: strings.TrimSuffix(n, "*"), Method: zip.Deflate}
		h.SetMode(0o644)
		if strings.HasSuffix(n, "*") {
			h.SetMode(0o755)
		}
		w, err := z.CreateHeader(h)
		must(t, err)
		_, err = io.WriteString(w, members[n])
		must(t, err)
	}
	must(t, z.Close())
	d := Distribution{Name: normalName(name), Version: version, Wheel: name + "-" + version + "-py3-none-any.whl"}
	tmp := filepath.Join(t.TempDir(), "w.whl")
	var err error
	d.SHA256, err = saveFile(tmp, &data)
	must(t, err)
	path := inst.wheelPath(d)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.Rename(tmp, path))
	return d
}

// fragment lays a wheel down and returns it, and its files by path.
func fragment(t testing.TB, inst *Installer, d Distribution, bytecode ...member) (laidWheel, map[string]string, error) {
	t.Helper()
	p, err := planWheel(inst.wheelPath(d), d, testPython)
	if err != nil {
		return laidWheel{}, nil, err
	}
	defer p.zip.Close()
	w, err := inst.writeFragment(t.Context(), p, bytecode, testPython)
	if err != nil {
		return w, nil, err
	}
	f, err := os.Open(inst.fragmentPath(w.Key))
	must(t, err)
	defer f.Close()
	files := map[string]string{}
	must(t, visitTar(f, func(h *tar.Header, r io.Reader) error {
		data, err := io.ReadAll(r)
		files[h.Name] = string(data)
		if h.Mode == 0o755 {
			files[h.Name] = "* " + files[h.Name]
		}
		return err
	}))
	return w, files, nil
}

func TestLayWheel(t *testing.T) {
	inst := newInstaller(t, nil)
	d := addWheel(t, inst, "My_Pkg", "1.0", map[string]string{
		"my_pkg/__init__.py": "x = 1\n", "my_pkg/tool.so*": "elf",
		"My_Pkg-1.0.dist-info/METADATA": "Name: My_Pkg\n", "My_Pkg-1.0.dist-info/RECORD": "old", "My_Pkg-1.0.dist-info/INSTALLER": "pip",
		"My_Pkg-1.0.dist-info/entry_points.txt": "[console_scripts]\nmy = my_pkg.cli:App.main\nshadow=my_pkg:f [extra]\n[other]\nz = not:used\n",
		"My_Pkg-1.0.data/scripts/run":           "#!python -E\nprint()\n",
		"My_Pkg-1.0.data/scripts/sh":            "#!/bin/sh\n",
		"My_Pkg-1.0.data/scripts/shadow":        "replaced",
		"My_Pkg-1.0.data/purelib/other.py":      "o",
		"My_Pkg-1.0.data/data/share/x":          "s",
		"My_Pkg-1.0.data/data/lib64/y":          "y",
		"My_Pkg-1.0.data/headers/a.h":           "h",
	})
	pyc := member{path: site + "my_pkg/__pycache__/__init__.cpython-311.pyc", mode: 0o644, data: []byte("code")}
	w, files, err := fragment(t, inst, d, pyc)
	must(t, err)
	want := map[string]string{
		site + "my_pkg/__init__.py": "x = 1\n", site + "my_pkg/tool.so": "* elf", pyc.path: "code",
		site + "My_Pkg-1.0.dist-info/METADATA": "Name: My_Pkg\n", site + "My_Pkg-1.0.dist-info/INSTALLER": "flytestar\n",
		"opt/venv/bin/run": "* #!/opt/venv/bin/python3\nprint()\n", "opt/venv/bin/sh": "* #!/bin/sh\n",
		site + "other.py": "o", "opt/venv/share/x": "s", "opt/venv/lib/y": "y", "opt/venv/include/site/python3.11/my-pkg/a.h": "h",
		"opt/venv/bin/my":     "* " + string(program("my_pkg.cli", "App.main")),
		"opt/venv/bin/shadow": "* " + string(program("my_pkg", "f")),
	}
	for name, content := range want {
		if files[name] != content {
			t.Errorf("%s: %q, want %q", name, files[name], content)
		}
	}
	if len(files) != len(want)+2 { // entry_points.txt and RECORD
		t.Errorf("%d files: %v", len(files), slices.Sorted(maps.Keys(files)))
	}
	checkRecord(t, files[site+"My_Pkg-1.0.dist-info/RECORD"], files)
	again, _, err := fragment(t, inst, d, pyc)
	must(t, err)
	if again.Key != w.Key || len(again.Files) != len(w.Files) {
		t.Error("laid down differently the second time")
	}
}

// checkRecord checks that RECORD lists each file once, with its size.
func checkRecord(t *testing.T, record string, files map[string]string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(record)).ReadAll()
	must(t, err)
	if len(rows) != len(files) {
		t.Errorf("RECORD has %d rows for %d files", len(rows), len(files))
	}
	for _, row := range rows {
		name := filepath.Join(site, row[0])
		content, ok := files[name]
		if !ok {
			t.Errorf("RECORD lists %s", name)
		}
		hashed := !strings.HasSuffix(name, ".pyc") && !strings.HasSuffix(name, "/RECORD")
		if strings.HasPrefix(row[1], "sha256=") != hashed || hashed && row[2] == "" && content != "" {
			t.Errorf("RECORD has %q", row)
		}
	}
}

func TestHostileWheels(t *testing.T) {
	inst := newInstaller(t, nil)
	info := map[string]string{"x-1.dist-info/METADATA": ""}
	for name, members := range map[string]map[string]string{
		"parent":           {"../evil": ""},
		"parent within":    {"x/../../evil": ""},
		"absolute":         {"/etc/passwd": ""},
		"backslash":        {`x\..\evil`: ""},
		"data parent":      {"x-1.data/data/../../../evil": ""},
		"unknown scheme":   {"x-1.data/evil/x": ""},
		"scheme alone":     {"x-1.data/data": ""},
		"script name":      {"x-1.dist-info/entry_points.txt": "[console_scripts]\n../evil = a:b\n"},
		"script target":    {"x-1.dist-info/entry_points.txt": "[console_scripts]\nx = a:b\"; import os; \"\n"},
		"no target":        {"x-1.dist-info/entry_points.txt": "[console_scripts]\nx\n"},
		"two dist-info":    {"x-2.dist-info/METADATA": ""},
		"the same path":    {"x-1.data/purelib/a.py": "", "x-1.data/platlib/a.py": ""},
		"python in data":   nil,
		"empty path parts": {"x//y": ""},
	} {
		all := maps.Clone(info)
		maps.Copy(all, members)
		if name == "python in data" {
			all = map[string]string{"y-1.dist-info/METADATA": ""} // another package's
		}
		d := addWheel(t, inst, "x", "1", all)
		if _, files, err := fragment(t, inst, d); err == nil {
			t.Errorf("%s: laid down as %v", name, slices.Sorted(maps.Keys(files)))
		}
	}
}

func FuzzWheel(f *testing.F) {
	inst := newInstaller(f, nil)
	d := addWheel(f, inst, "x", "1", map[string]string{"x.py": "", "x-1.dist-info/METADATA": "", "x-1.dist-info/entry_points.txt": "[console_scripts]\na=b:c\n"})
	data, err := os.ReadFile(inst.wheelPath(d))
	must(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "w.whl")
		must(t, os.WriteFile(file, data, 0o644))
		p, err := planWheel(file, d, testPython)
		if err != nil {
			return
		}
		defer p.zip.Close()
		for _, m := range p.members {
			if !strings.HasPrefix(m.path, venvDir+"/") || strings.Contains(m.path, "..") && filepath.Clean(m.path) != m.path {
				t.Errorf("a member at %q", m.path)
			}
		}
	})
}

// wheelsOf makes a state with a call for each list of wheels, laid down.
func wheelsOf(t *testing.T, inst *Installer, calls ...[]Distribution) *Installer {
	of := &Installer{Options: inst.Options}
	for i, list := range calls {
		c := &call{py: testPython, pinned: &Pinned{Packages: list}, step: plan.Step{Kind: plan.StepPip, Packages: []string{"call", string(rune('1' + i))}}}
		for _, d := range list {
			w, _, err := fragment(t, inst, d)
			must(t, err)
			c.wheels = append(c.wheels, w)
		}
		of.calls = append(of.calls, c)
	}
	return of
}

func TestConflicts(t *testing.T) {
	inst := newInstaller(t, nil)
	wheel := func(name string, members map[string]string) Distribution {
		members[name+"-1.dist-info/METADATA"] = name
		return addWheel(t, inst, name, "1", members)
	}
	a := wheel("a", map[string]string{"tests/__init__.py": "", "a.py": "a"})
	same := wheel("same", map[string]string{"tests/__init__.py": ""})
	other := wheel("other", map[string]string{"tests/__init__.py": "x"})
	asFile := wheel("asfile", map[string]string{"tests": "a file"})
	python := wheel("python", map[string]string{"python-1.data/data/bin/python3": "evil"})
	for name, tt := range map[string]struct {
		calls [][]Distribution
		want  string
	}{
		"equal content":      {[][]Distribution{{a, same}}, ""},
		"one package twice":  {[][]Distribution{{a}, {a}}, ""},
		"different content":  {[][]Distribution{{a, other}}, ""},
		"directory and file": {[][]Distribution{{a, asFile}}, "a 1 and asfile 1"},
		"file and directory": {[][]Distribution{{asFile, a}}, "asfile 1 and a 1"},
		"the venv's own":     {[][]Distribution{{python}}, "virtual environment and python 1"},
	} {
		_, err := wheelsOf(t, inst, tt.calls...).conflicts(plan.Step{})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestLosses: of two wheels of a call that have a file with different content or mode, the last one
// has its way, and the layer has each file once.
func TestLosses(t *testing.T) {
	inst := newInstaller(t, nil)
	wheel := func(name string, members map[string]string) Distribution {
		members[name+"-1.dist-info/METADATA"] = name
		return addWheel(t, inst, name, "1", members)
	}
	a := wheel("a", map[string]string{"cv2/x.py": "a", "cv2/same.py": "", "a.py": "a"})
	b := wheel("b", map[string]string{"cv2/x.py": "b", "cv2/same.py": ""})
	c := wheel("c", map[string]string{"a.py*": "a"})
	for _, tt := range []struct {
		calls [][]Distribution
		want  losses
	}{
		{[][]Distribution{{a, b, c}}, losses{"a 1": {site + "cv2/x.py": "b 1", site + "a.py": "c 1"}}},
		{[][]Distribution{{b, c}}, losses{}},
		{[][]Distribution{{a}, {b}}, losses{}}, // the later call's layer hides the earlier's
		{[][]Distribution{{a, b}, {c}}, losses{}},
	} {
		got, err := wheelsOf(t, inst, tt.calls...).conflicts(plan.Step{})
		must(t, err)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Error(diff)
		}
	}
	of := wheelsOf(t, inst, []Distribution{a, b})
	lost, err := of.conflicts(plan.Step{})
	must(t, err)
	l, err := inst.wheelLayer(t.Context(), of.calls[0], lost, of.calls[0].wheels...)
	must(t, err)
	r, err := inst.Layout.Open([]oci.Layer{l})[0].Uncompressed()
	must(t, err)
	defer r.Close()
	got := map[string]string{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		data, err := io.ReadAll(tr)
		must(t, err)
		got[h.Name] += string(data)
	}
	if got[site+"cv2/x.py"] != "b" || got[site+"a.py"] != "a" {
		t.Errorf("the layer has %q", got)
	}
}

// TestWheelLayer pools two wheels that share a file, twice and in two homes.
func TestWheelLayer(t *testing.T) {
	var digests []string
	for range 2 {
		inst := newInstaller(t, nil)
		of := wheelsOf(t, inst, []Distribution{
			addWheel(t, inst, "a", "1", map[string]string{"shared/x.py": "x", "a-1.dist-info/METADATA": ""}),
			addWheel(t, inst, "b", "1", map[string]string{"shared/x.py": "x", "shared/y.py": "y", "b-1.dist-info/METADATA": ""}),
		})
		c := of.calls[0]
		l, err := inst.wheelLayer(t.Context(), c, nil, c.wheels...)
		must(t, err)
		digests = append(digests, string(l.Digest))
		r, err := inst.Layout.Open([]oci.Layer{l})[0].Uncompressed()
		must(t, err)
		seen := map[string]bool{}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			must(t, err)
			if seen[h.Name] {
				t.Errorf("%s is there twice", h.Name)
			}
			seen[h.Name] = true
		}
		must(t, r.Close())
		if !seen[site+"shared/y.py"] || !seen["opt/"] {
			t.Errorf("the layer has %v", slices.Sorted(maps.Keys(seen)))
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two homes, two digests: %s", digests)
	}
}

// TestClash finds the versions that two calls disagree on.
func TestClash(t *testing.T) {
	of := &Installer{calls: []*call{{pinned: &Pinned{Packages: []Distribution{{Name: "a", Version: "1"}, {Name: "b", Version: "2"}}}}}}
	if c := of.clash(&Pinned{Packages: []Distribution{{Name: "b", Version: "2"}, {Name: "c", Version: "1"}}}); c != nil {
		t.Errorf("got %+v", c)
	}
	if c := of.clash(&Pinned{Packages: []Distribution{{Name: "b", Version: "3"}}}); c == nil || c.name != "b" || c.version != "2" {
		t.Errorf("got %+v", c)
	}
	if got := strings.Join(of.constraints(), " "); got != "a==1 b==2" {
		t.Errorf("constraints %s", got)
	}
}
