package layer

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/exec"
)

// mounted unpacks layers, bottom first, mounts them as a sandbox does, and describes what is there.
func mounted(t testing.TB, layers ...[]byte) map[string]string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: layers are unpacked with their own ids, and mounted")
	}
	home := t.TempDir()
	var lower stack
	for i, data := range layers {
		dir := filepath.Join(home, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := unpackTar(t.Context(), bytes.NewReader(data), dir, lower); err != nil {
			t.Fatal(err)
		}
		lower = append(stack{dir}, lower...)
	}
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(home, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(home, "root")
	opts := "userxattr,lowerdir=" + strings.Join(lower, ":") + ",upperdir=" + home + "/upper,workdir=" + home + "/work"
	if err := unix.Mount("overlay", root, "overlay", 0, opts); err != nil {
		t.Skipf("needs overlays: %v", err)
	}
	defer func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	}()
	return described(t, root)
}

// described says what is at each path below root: a directory's mode, a link's target, a file's
// content. What a listing has and a look-up doesn't is described too.
func described(t testing.TB, root string) map[string]string {
	t.Helper()
	got := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		list, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			name := path.Join(dir, e.Name())
			full := filepath.Join(root, name)
			info, err := os.Lstat(full)
			switch {
			case err != nil:
				got[name] = err.Error()
			case info.IsDir():
				got[name] = fmt.Sprintf("dir %o", info.Mode().Perm())
				walk(name)
			case info.Mode()&os.ModeSymlink != 0:
				to, _ := os.Readlink(full)
				got[name] = "link " + to
			default:
				data, _ := os.ReadFile(full)
				got[name] = "file " + string(data)
			}
		}
	}
	walk(".")
	return got
}

// model is an image as if layers were unpacked one over the other: the slow and obvious way.
type model map[string]string

func (m model) remove(name string) {
	maps.DeleteFunc(m, func(p, _ string) bool { return p == name || strings.HasPrefix(p, name+"/") })
}

// resolve follows the links of a directory's path, and makes what is missing. It returns "" for
// links that loop.
func (m model) resolve(dir string) string {
	done, rest := ".", strings.Split(dir, "/")
	for links := 0; len(rest) > 0; {
		if links > maxLinks {
			return ""
		}
		next := path.Join(done, rest[0])
		switch to, isLink := strings.CutPrefix(m[next], "link "); {
		case rest[0] == "..":
			done, rest = path.Dir(done), rest[1:]
		case isLink:
			links++
			if path.IsAbs(to) {
				done = "."
			}
			rest = append(strings.Split(strings.Trim(to, "/"), "/"), rest[1:]...)
		default:
			if done, rest = next, rest[1:]; next != "." && m[next] == "" {
				m[next] = "dir 755"
			}
		}
	}
	return done
}

// apply unpacks a layer: whiteouts first, since they mean lower layers only.
func (m model) apply(entries []header) {
	for _, e := range entries {
		dir, base := path.Split(e.name)
		switch name, ok := strings.CutPrefix(base, whiteoutPrefix); {
		case base == whiteoutOpaque:
			maps.DeleteFunc(m, func(p, _ string) bool { return strings.HasPrefix("/"+p, path.Join("/", dir)+"/") || dir == "" })
		case ok:
			m.remove(path.Join(dir, name))
		}
	}
	for _, e := range entries {
		if strings.HasPrefix(path.Base(e.name), whiteoutPrefix) {
			continue
		}
		name := path.Join(m.resolve(path.Dir(e.name)), path.Base(e.name))
		was := m[name]
		if e.kind != '5' || !strings.HasPrefix(was, "dir") {
			m.remove(name)
		}
		switch e.kind {
		case '5':
			m[name] = fmt.Sprintf("dir %o", e.mode)
		case '2':
			m[name] = "link " + e.link
		default:
			m[name] = "file " + e.content
		}
	}
}

// randomLayer makes a layer over an image. Parents of its entries are missing at times, where that
// is no conflict.
func randomLayer(r *rand.Rand, m model, n int) []header {
	after := model(maps.Clone(m))
	var entries, whiteouts []header
	names := []string{"a", "b", "c"}
	pick := func() string {
		var parts []string
		for range 1 + r.IntN(3) {
			parts = append(parts, names[r.IntN(len(names))])
		}
		return path.Join(parts...)
	}
	for range r.IntN(4) { // whiteouts, of what is there and what isn't
		name := pick()
		if r.IntN(3) == 0 {
			name = path.Join(name, whiteoutOpaque)
		} else {
			name = path.Join(path.Dir(name), whiteoutPrefix+path.Base(name))
		}
		if r.IntN(12) == 0 {
			name = whiteoutOpaque
		}
		if throughLink(m, path.Dir(name)) {
			continue
		}
		whiteouts = append(whiteouts, header{kind: '0', name: name})
	}
	after.apply(whiteouts)
	for i := range r.IntN(6) {
		e := header{kind: "0052"[r.IntN(4)], name: pick(), mode: []int64{0o755, 0o700}[r.IntN(2)]}
		if e.kind != '5' && e.kind != '2' {
			e.mode, e.content = 0o644, fmt.Sprintf("%d.%d", n, i)
		}
		if e.kind == '2' {
			e.link = []string{"/c", "b", "../a", "/c/b"}[r.IntN(4)]
		}
		if !after.takes(e) {
			continue
		}
		entries = append(entries, e)
		after.apply([]header{e})
	}
	inLink := func(w header) bool { return throughLink(after, path.Dir(w.name)) }
	if r.IntN(2) == 0 || implied(entries) || slices.ContainsFunc(whiteouts, inLink) {
		return append(whiteouts, entries...)
	}
	return append(entries, whiteouts...) // their order means nothing
}

// takes reports whether an entry can be unpacked: no parent is a file, and links don't loop.
func (m model) takes(e header) bool {
	probe := model(maps.Clone(m))
	dir := probe.resolve(path.Dir(e.name))
	for d := dir; d != "."; d = path.Dir(d) {
		if dir == "" || !strings.HasPrefix(probe[d], "dir") {
			return false
		}
	}
	return true
}

func throughLink(m model, dir string) bool {
	for d := dir; d != "."; d = path.Dir(d) {
		if strings.HasPrefix(m[d], "link") {
			return true
		}
	}
	return false
}

// implied reports whether entries lack parents that aren't theirs.
func implied(entries []header) bool {
	have := map[string]bool{".": true}
	for _, e := range entries {
		if !have[path.Dir(e.name)] {
			return true
		}
		have[e.name] = e.kind == '5'
	}
	return false
}

// TestStacks: a stack of random layers, mounted, shows what unpacking one over the other would.
func TestStacks(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 9))
		want := model{}
		var tars [][]byte
		var all []string
		for n := range 1 + r.IntN(4) {
			entries := randomLayer(r, want, n)
			want.apply(entries)
			tars = append(tars, tarOf(t, entries...))
			all = append(all, fmt.Sprintf("%d: %+v", n, entries))
		}
		if got := mounted(t, tars...); !maps.Equal(got, want) {
			t.Fatalf("seed %d, layers\n%s\ngot  %v\nwant %v", seed, strings.Join(all, "\n"), got, want)
		}
	}
}

// TestWhiteouts: they remove what lower layers have, and nothing of their own layer, in any order.
func TestWhiteouts(t *testing.T) {
	file := func(name, content string) header { return header{kind: '0', name: name, content: content, mode: 0o644} }
	dir := func(name string) header { return header{kind: '5', name: name, mode: 0o755} }
	lower := []header{dir("d"), file("d/old", "1"), file("x", "1"), {kind: '2', name: "run", link: "/var/run"}, {kind: '5', name: "t", mode: 0o700}, file("t/old", "1")}
	for of, tt := range map[string]struct {
		upper []header
		want  string
	}{
		"file before":           {[]header{file("x", "2"), file(".wh.x", "")}, "x: file 2"},
		"file after":            {[]header{file(".wh.x", ""), file("x", "2")}, "x: file 2"},
		"directory before":      {[]header{dir("d"), file("d/new", "2"), file(".wh.d", "")}, "d: dir 755; d/new: file 2"},
		"directory after":       {[]header{file(".wh.d", ""), dir("d"), file("d/new", "2")}, "d: dir 755; d/new: file 2"},
		"member, no directory":  {[]header{file(".wh.d", ""), file("d/new", "2")}, "d: dir 755; d/new: file 2"},
		"opaque last":           {[]header{dir("d"), file("d/new", "2"), file("d/.wh..wh..opq", "")}, "d: dir 755; d/new: file 2"},
		"opaque alone":          {[]header{file("t/.wh..wh..opq", "")}, "t: dir 700"},
		"opaque root":           {[]header{file(".wh..wh..opq", ""), file("n", "2")}, "n: file 2; !d; !x; !t; !run"},
		"nothing":               {[]header{file("no/.wh.x", ""), file(".wh.no", ""), file("no/.wh..wh..opq", "")}, "!no; d/old: file 1"},
		"in a new directory":    {[]header{dir("n"), file("n/.wh.x", "")}, "n: dir 755; !n/x"},
		"file, then directory":  {[]header{file("d", "2"), dir("d")}, "d: dir 755; !d/old"},
		"directory, then file":  {[]header{dir("d"), file("d/a", "2"), file("d", "2")}, "d: file 2"},
		"twice":                 {[]header{file("x", "2"), file("x", "3")}, "x: file 3"},
		"absolute link":         {[]header{file("run/x", "2")}, "run: link /var/run; var/run/x: file 2"},
		"parents stay":          {[]header{file("t/new", "2")}, "t: dir 700; t/old: file 1; t/new: file 2"},
		"hard link below":       {[]header{{kind: '1', name: "h", link: "d/old"}}, "h: file 1; d/old: file 1"},
		"hard link, absolute":   {[]header{{kind: '1', name: "h", link: "/x"}, file(".wh.x", "")}, "h: file 1; !x"},
		"hard link to itself":   {[]header{file("x", "2"), {kind: '1', name: "x", link: "./x"}}, "x: file 2"},
		"device hides":          {[]header{{kind: '3', name: "x"}, {kind: '1', name: "h", link: "x"}}, "!x; !h"},
		"notes of aufs":         {[]header{dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", ""), file(".wh..wh.aufs", "")}, "!.wh..wh.plnk; x: file 1"},
		"not UTF-8":             {[]header{file("d/caf\xe9", "2"), file("d/.wh.caf\xe9", "")}, "d/caf\xe9: file 2"},
		"a long name":           {[]header{file(strings.Repeat("n", 255), "2"), file(strings.Repeat("long/", 60)+"f", "3")}, strings.Repeat("n", 255) + ": file 2; " + strings.Repeat("long/", 60) + "f: file 3"},
		"ids that nobody has":   {[]header{{kind: '0', name: "big", uid: 100000, content: "2", mode: 0o644}}, "big: file 2"},
		"link away, then below": {[]header{dir("d"), {kind: '2', name: "d", link: "../../../t"}, file("d/new", "2")}, "d: link ../../../t; t/new: file 2; t: dir 700"},
		"GNU's directory":       {[]header{{kind: 'D', name: "./", mode: 0o755}, {kind: 'D', name: "g", mode: 0o711}, {kind: 'V', name: "volume"}, {kind: '7', name: "c", content: "2"}}, "g: dir 711; !volume; c: file 2"},
	} {
		got := mounted(t, tarOf(t, lower...), tarOf(t, tt.upper...))
		for want := range strings.SplitSeq(tt.want, "; ") {
			name, what, _ := strings.Cut(strings.TrimPrefix(want, "!"), ": ")
			if got[name] != what {
				t.Errorf("%s: %s is %q, want %q", of, name, got[name], what)
			}
		}
	}
}

// TestSharedLayers: a layer that depends on what is below it is unpacked for each image.
func TestSharedLayers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: layers are unpacked with their own ids")
	}
	home := t.TempDir()
	u, err := Open(filepath.Join(home, "layers"))
	if err != nil {
		t.Fatal(err)
	}
	base := func(mode int64) *testLayer { return newTestLayer(tarOf(t, header{kind: '5', name: "d", mode: mode})) }
	plain := newTestLayer(tarOf(t, header{kind: '0', name: "f", mode: 0o644}))
	leaning := newTestLayer(tarOf(t, header{kind: '0', name: "d/f", mode: 0o644}))
	var tops, plains []string
	for _, mode := range []int64{0o700, 0o711, 0o700} {
		names, err := u.Layers(t.Context(), []exec.Layer{base(mode), plain, leaning}, tempDirs(home))
		if err != nil {
			t.Fatal(err)
		}
		plains, tops = append(plains, names[1]), append(tops, names[2])
		if info, err := os.Stat(filepath.Join(u.dir, names[2], "d")); err != nil || int64(info.Mode().Perm()) != mode {
			t.Errorf("%v, %v, want mode %o", info, err, mode)
		}
	}
	if tops[0] == tops[1] || tops[0] != tops[2] || plains[0] != plains[1] {
		t.Errorf("leaning %q, plain %q", tops, plains)
	}
	if leaning.opened.Load() != 2 || plain.opened.Load() != 1 {
		t.Errorf("unpacked %d and %d times", leaning.opened.Load(), plain.opened.Load())
	}
}
