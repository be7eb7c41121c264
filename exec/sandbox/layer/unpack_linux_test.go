package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// header is an entry of a hostile tar.
type header struct {
	kind       byte
	name, link string
	content    string
	mode       int64
	uid        int
	pax        map[string]string
}

func tarOf(t testing.TB, headers ...header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range headers {
		if e.kind == 'g' {
			if err := w.WriteHeader(&tar.Header{Typeflag: e.kind, PAXRecords: e.pax}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		h := &tar.Header{
			Typeflag: e.kind, Name: e.name, Linkname: e.link, Mode: e.mode, Uid: e.uid, Gid: e.uid,
			Size: int64(len(e.content)), ModTime: time.Unix(1e9, 0), PAXRecords: e.pax,
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpackBeside unpacks a tar, over lower layers. It fails the test if anything outside of the layer's directory
// changes.
func unpackBeside(t testing.TB, data []byte, lower ...string) (dir string, err error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: layers are unpacked with their own ids")
	}
	parent := t.TempDir()
	dir = filepath.Join(parent, "layer")
	victim := filepath.Join(parent, "victim")
	for _, d := range []string{dir, victim} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(victim, "file"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, victim) + tree(t, parent, "layer")
	_, err = unpackTar(t.Context(), bytes.NewReader(data), dir, lower)
	if after := tree(t, victim) + tree(t, parent, "layer"); after != before {
		t.Fatalf("outside of the layer:\nbefore %s\nafter %s", before, after)
	}
	return dir, err
}

// tree describes what is below a directory, but for some names.
func tree(t testing.TB, dir string, without ...string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, w := range without {
			if p == filepath.Join(dir, w) {
				return fs.SkipDir
			}
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		fmt.Fprintf(&b, "%s %o %d:%d %d links\n", rel, st.Mode, st.Uid, st.Gid, st.Nlink)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestUnpackHostile: no entry gets out of its directory.
func TestUnpackHostile(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "x")
	for name, tt := range map[string]struct {
		headers []header
		want    string // part of the error; "" if it unpacks and does no harm
	}{
		"dots":               {[]header{{kind: '0', name: "../victim/new"}}, "outside"},
		"dots inside":        {[]header{{kind: '0', name: "a/../../victim/new"}}, "outside"},
		"absolute":           {[]header{{kind: '0', name: outside}}, ""},
		"link then file":     {[]header{{kind: '2', name: "l", link: "../victim"}, {kind: '0', name: "l/new"}}, ""},
		"absolute link":      {[]header{{kind: '2', name: "l", link: "/etc"}, {kind: '0', name: "l/new"}}, ""},
		"file link":          {[]header{{kind: '2', name: "f", link: "../victim/file"}, {kind: '0', name: "f", content: "x"}}, ""},
		"chmod link":         {[]header{{kind: '2', name: "d", link: "../victim"}, {kind: '5', name: "d", mode: 0o777}}, ""},
		"hard link out":      {[]header{{kind: '1', name: "h", link: "../victim/file"}}, "no such directory"},
		"hard link by link":  {[]header{{kind: '2', name: "l", link: "../victim"}, {kind: '1', name: "h", link: "l/file"}}, "no such directory"},
		"hard link absolute": {[]header{{kind: '1', name: "h", link: "/etc/passwd"}}, "no such directory"},
		"hard link to dir":   {[]header{{kind: '5', name: "d"}, {kind: '1', name: "h", link: "d"}}, "it is a directory"},
		"whiteout out":       {[]header{{kind: '2', name: "l", link: "../victim"}, {kind: '0', name: "l/.wh.file"}}, ""},
		"whiteout of ..":     {[]header{{kind: '0', name: "a/.wh..."}}, "whiteout of nothing"},
		"whiteout of dots":   {[]header{{kind: '0', name: ".wh..."}}, "whiteout of nothing"},
		"whiteout of nought": {[]header{{kind: '0', name: ".wh."}}, "whiteout of nothing"},
		"whiteout of dot":    {[]header{{kind: '0', name: ".wh.."}}, "whiteout of nothing"},
		"device":             {[]header{{kind: '3', name: "null", mode: 0o666}, {kind: '4', name: "disk"}}, ""},
		"dir becomes link":   {[]header{{kind: '5', name: "d", mode: 0o755}, {kind: '2', name: "d", link: "../victim"}}, ""},
		"dir, link, file":    {[]header{{kind: '5', name: "d"}, {kind: '0', name: "d/a"}, {kind: '2', name: "d", link: "../victim"}, {kind: '0', name: "d/new"}}, ""},
		"root is a file":     {[]header{{kind: '0', name: "."}, {kind: '2', name: ".", link: "x"}}, "root isn't a directory"},
		"overlay's notes":    {[]header{{kind: '5', name: "d", pax: map[string]string{"SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.trusted.overlay.redirect": "/x"}}}, ""},
		"unknown type":       {[]header{{kind: 'Z', name: "z"}}, "type"},
	} {
		dir, err := unpackBeside(t, tarOf(t, tt.headers...))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if _, err := os.Lstat(outside); err == nil {
			t.Fatalf("%s: it wrote to an absolute path", name)
		}
		if v, err := getXattr(filepath.Join(dir, "d"), opaqueXattr); err == nil && v != nil && name == "overlay's notes" {
			t.Errorf("%s: it has the overlay's attribute", name)
		}
		if strings.Contains(tree(t, dir), "disk") || strings.Contains(tree(t, dir), "null") {
			t.Errorf("%s: it made a device: %s", name, tree(t, dir))
		}
	}
}

// TestUnpackSparse: holes stay holes, so a small layer can't fill the disk.
func TestUnpackSparse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/f", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	const size = 1<<28 + 5
	if err := os.Truncate(dir+"/f", size); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"gnu", "pax"} {
		data, err := osexec.Command("tar", "-C", dir, "--sparse", "--format="+format, "-cf", "-", "f").Output()
		if err != nil {
			t.Skipf("needs tar: %v", err)
		}
		into, err := unpackBeside(t, data)
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(into+"/f", &st); err != nil || st.Size != size || st.Blocks*512 > 1<<20 {
			t.Errorf("%s: %d bytes in %d blocks, %v", format, st.Size, st.Blocks, err)
		}
	}
}

// TestUnpack: owners, modes, times, links, attributes and whiteouts are as the layer has them.
func TestUnpack(t *testing.T) {
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	dir, err := unpackBeside(t, tarOf(t,
		header{kind: 'g', pax: map[string]string{"comment": "x"}},
		header{kind: '5', name: "./", mode: 0o711},
		header{kind: '0', name: "d/implied/f", content: "x", mode: 0o4755, uid: 7},
		header{kind: '5', name: "d/", mode: 0o1777, uid: 5},
		header{kind: '2', name: "d/l", link: "/absolute", uid: 3},
		header{kind: '1', name: "h", link: "./d/implied/f"},
		header{kind: '6', name: "p", mode: 0o640, uid: 9},
		header{kind: '0', name: "twice/is a/directory", content: "first", mode: 0o600},
		header{kind: '0', name: "twice", content: "first", mode: 0o600},
		header{kind: '0', name: "twice", content: "second", mode: 0o644},
		header{kind: '0', name: "cap", mode: 0o755, pax: map[string]string{xattrPrefix + capabilityXattr: capability, xattrPrefix + "user.mine": "v"}},
		header{kind: '0', name: "d/.wh.gone"},
		header{kind: '0', name: "d/.wh..wh..opq"},
		header{kind: '0', name: ".wh..wh.plnk"},
	))
	if err != nil {
		t.Fatal(err)
	}
	want := ". 40711 0:0 3 links\ncap 100755 0:0 1 links\nd 41777 5:5 3 links\nd/implied 40755 0:0 2 links\nd/implied/f 104755 7:7 2 links\n" +
		"d/l 120777 3:3 1 links\nh 104755 7:7 2 links\np 10640 9:9 1 links\ntwice 100644 0:0 1 links\n"
	if got := tree(t, dir); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for path, attr := range map[string][2]string{"cap": {capabilityXattr, capability}, "d": {opaqueXattr, "y"}} {
		if v, err := getXattr(filepath.Join(dir, path), attr[0]); err != nil || string(v) != attr[1] {
			t.Errorf("%s of %s: %q, %v", attr[0], path, v, err)
		}
	}
	for _, name := range []string{".", "d", "d/l", "p", "twice"} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.ModTime().Unix() != 1e9 {
			t.Errorf("time of %s: %v, %v", name, info.ModTime(), err)
		}
	}
}

// FuzzUnpack: no layer writes outside of its directory, whatever lies below it.
func FuzzUnpack(f *testing.F) {
	below := tarOf(f, header{kind: '5', name: "d", mode: 0o755}, header{kind: '0', name: "d/f", content: "x"}, header{kind: '2', name: "l", link: "../victim"}, header{kind: '2', name: "m", link: "/d"})
	for _, layer := range [][]byte{
		tarOf(f, header{kind: '5', name: "d"}, header{kind: '0', name: "d/f", content: "x"}, header{kind: '1', name: "h", link: "d/f"}),
		tarOf(f, header{kind: '2', name: "l", link: "../victim"}, header{kind: '0', name: "l/new", content: "x"}),
		tarOf(f, header{kind: '0', name: "../victim/file"}, header{kind: '0', name: "d/.wh.x"}, header{kind: '0', name: "d/.wh..wh..opq"}),
		tarOf(f, header{kind: '0', name: "m/l/.wh..wh..opq"}, header{kind: '1', name: "l/h", link: "m/f"}, header{kind: '2', name: "m", link: "d/../.."}, header{kind: '0', name: "m/x"}),
	} {
		f.Add([]byte(nil), layer)
		f.Add(below, layer)
	}
	f.Fuzz(func(t *testing.T, lower, layer []byte) {
		var below stack
		if dir, err := unpackBeside(t, lower); err == nil {
			below = stack{dir}
		}
		unpackBeside(t, layer, below...) // an error is fine
	})
}

// testLayer is a layer that counts how often it is opened.
type testLayer struct {
	id     plan.Digest
	data   []byte
	opened atomic.Int32
}

func newTestLayer(data []byte) *testLayer {
	return &testLayer{id: plan.DigestOf(data), data: data}
}

func (l *testLayer) DiffID() plan.Digest { return l.id }

func (l *testLayer) Uncompressed() (io.ReadCloser, error) {
	l.opened.Add(1)
	time.Sleep(20 * time.Millisecond) // so that others have to wait
	return io.NopCloser(bytes.NewReader(l.data)), nil
}

func tempDirs(home string) func() (string, func() error, error) {
	return func() (string, func() error, error) {
		dir, err := os.MkdirTemp(home, "tmp")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
}

// TestLayers: a layer is unpacked once, whoever wants it, and only if its digest is right.
func TestLayers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: layers are unpacked with their own ids")
	}
	home := t.TempDir()
	good := newTestLayer(tarOf(t, header{kind: '0', name: "f", content: "x", mode: 0o644}))
	var wg sync.WaitGroup
	for range 2 { // as in two processes
		s, err := Open(filepath.Join(home, "layers"))
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			wg.Go(func() {
				names, err := s.Layers(t.Context(), []exec.Layer{good, good}, tempDirs(home))
				if err != nil || len(names) != 2 || names[0] != names[1] || !exists(filepath.Join(s.dir, names[0], "f")) {
					t.Errorf("%q, %v", names, err)
				}
			})
		}
	}
	wg.Wait()
	if n := good.opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
	s, err := Open(filepath.Join(home, "layers"))
	if err != nil {
		t.Fatal(err)
	}
	lying := newTestLayer(tarOf(t, header{kind: '0', name: "g"}))
	lying.data = append(lying.data, 0)
	cut := newTestLayer(tarOf(t, header{kind: '0', name: "h", content: strings.Repeat("x", 5000)}))
	cut.data = cut.data[:1024]
	odd := newTestLayer(nil)
	odd.id = "sha256:../../x"
	for want, l := range map[string]*testLayer{"digest": lying, "unexpected EOF": cut, "layer with the digest": odd} {
		if _, err := s.Layers(t.Context(), []exec.Layer{l}, tempDirs(home)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Layers(ctx, []exec.Layer{newTestLayer(tarOf(t, header{kind: '0', name: "c"}))}, tempDirs(home)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(home, "tmp*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if dirs, _ := filepath.Glob(filepath.Join(home, "layers", "*[^k]")); len(dirs) != 1 {
		t.Errorf("layers: %q", dirs)
	}
}
