package debian

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/exec/image/debian/archivetest"
)

// grow adds entries to a fresh tree and returns the tar's listing.
func grow(t *testing.T, entries ...*tar.Header) ([]string, error) {
	t.Helper()
	w, err := createLayer(filepath.Join(t.TempDir(), "x.tar"), archivetest.Time)
	if err != nil {
		t.Fatal(err)
	}
	tree := newTree(w)
	if err := mergeUsr(tree, "amd64"); err != nil {
		t.Fatal(err)
	}
	tr := tar.NewReader(bytes.NewReader(archivetest.BuildTar(t, entries)))
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.add("pkg", hdr, tr); err != nil {
			w.discard()
			return nil, err
		}
	}
	l, err := w.finish()
	if err != nil {
		t.Fatal(err)
	}
	return listing(t, l), nil
}

// listing describes each entry of a layer.
func listing(t testing.TB, l *Layer) []string {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []string
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%c %o %s", hdr.Typeflag, hdr.Mode, hdr.Name)
		if hdr.Linkname != "" {
			line += " -> " + hdr.Linkname
		}
		if hdr.Typeflag == tar.TypeReg {
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			line += " = " + string(data)
		}
		all = append(all, line)
	}
}

func TestTree(t *testing.T) {
	hard := &tar.Header{Typeflag: tar.TypeLink, Name: "./bin/y", Linkname: "./bin/x"}
	got, err := grow(t, archivetest.Dir("./"), archivetest.Dir("./bin/"), archivetest.File("./bin/x", "1"), hard, archivetest.Dir("./usr/bin/"), archivetest.Link("./bin/z", "x"),
		archivetest.Dir("./opt/"), archivetest.Link("./opt/abs", "/usr/lib/q"), archivetest.File("./opt/abs/f", "2"), archivetest.Link("./opt/up", "../../../../usr"), archivetest.File("./opt/up/bin/w", "3"),
		archivetest.Link("./usr/bin", "elsewhere"), // dpkg keeps the directory
		archivetest.Dir("./opt/abs/"),              // and the link to one
		archivetest.Link("./bin", "usr/bin"),       // and what is the same already
		archivetest.File("./no/parents/f", "4"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"2 777 bin -> usr/bin", "5 755 usr/", "5 755 usr/bin/", "2 777 lib -> usr/lib", "5 755 usr/lib/",
		"2 777 sbin -> usr/sbin", "5 755 usr/sbin/", "2 777 lib64 -> usr/lib64", "5 755 usr/lib64/",
		"0 644 usr/bin/x = 1", "1 0 usr/bin/y -> usr/bin/x", "2 777 usr/bin/z -> x",
		"5 755 opt/", "2 777 opt/abs -> /usr/lib/q", "5 755 usr/lib/q/", "0 644 usr/lib/q/f = 2",
		"2 777 opt/up -> ../../../../usr", "0 644 usr/bin/w = 3",
		"5 755 no/", "5 755 no/parents/", "0 644 no/parents/f = 4",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTreeRefuses(t *testing.T) {
	for want, entries := range map[string][]*tar.Header{
		"leaves its directory":    {archivetest.File("./a/../../etc/x", "")},
		"already in the base":     {archivetest.File("./bin", "")},
		"already in pkg":          {archivetest.File("./x", "1"), archivetest.File("./x", "1")},
		"is a file in pkg":        {archivetest.File("./x", "1"), archivetest.File("./x/y", "1")},
		"directory \"x\" is a fi": {archivetest.File("./x", "1"), archivetest.Dir("./x/")},
		"too many links":          {archivetest.Link("./a", "b"), archivetest.Link("./b", "a"), archivetest.File("./a/x", "1")},
		"isn't a file before it":  {{Typeflag: tar.TypeLink, Name: "./x", Linkname: "./etc/shadow"}},
		"of a type that no base":  {{Typeflag: tar.TypeChar, Name: "./dev/mem", Devmajor: 1, Devminor: 1}},
		"not a path":              {archivetest.File(strings.Repeat("a/", 3000)+"x", "1")},
	} {
		if _, err := grow(t, entries...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestTimesAreClamped(t *testing.T) {
	w, err := createLayer(filepath.Join(t.TempDir(), "x.tar"), archivetest.Time)
	if err != nil {
		t.Fatal(err)
	}
	old := archivetest.Time.Add(-time.Hour)
	for name, at := range map[string]time.Time{"old": old.Add(time.Millisecond), "new": archivetest.Time.Add(time.Hour)} {
		if err := w.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, ModTime: at, AccessTime: at, Uname: "x"}, strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
	}
	l, err := w.finish()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(l.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if want := map[string]time.Time{"old": old, "new": archivetest.Time}[hdr.Name]; !hdr.ModTime.Equal(want) || hdr.Uname != "" {
			t.Errorf("%s: %v of %q, want %v", hdr.Name, hdr.ModTime, hdr.Uname, want)
		}
	}
}

// Whatever packages have, no path leaves the root, comes twice, or leads through a link or a file.
func FuzzTree(f *testing.F) {
	f.Add(archivetest.BuildTar(f, []*tar.Header{archivetest.Dir("./bin/"), archivetest.File("./bin/x", "1"), archivetest.Link("./a", "../.."), archivetest.File("./a/b", "2")}))
	f.Add(archivetest.BuildTar(f, []*tar.Header{archivetest.Link("a", "/b"), archivetest.Link("b", "a"), {Typeflag: tar.TypeLink, Name: "c", Linkname: "a/../x"}}))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		tmp, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(tmp)
		w, err := createLayer(filepath.Join(tmp, "x.tar"), archivetest.Time)
		if err != nil {
			t.Fatal(err)
		}
		tree := newTree(w)
		if err := mergeUsr(tree, "amd64"); err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(bytes.NewReader(data)); ; {
			hdr, err := tr.Next()
			if err != nil {
				break
			}
			if err := tree.add("pkg", hdr, tr); err != nil {
				break
			}
		}
		w.tar.Flush()
		w.buf.Flush()
		checkTar(t, w.file.Name())
		w.discard()
	})
}

// checkTar reads a tar's headers as far as they go.
func checkTar(t *testing.T, name string) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[string]byte{".": tar.TypeDir}
	for tr := tar.NewReader(f); ; {
		hdr, err := tr.Next()
		if err != nil {
			return
		}
		clean := strings.TrimSuffix(hdr.Name, "/")
		if clean == "" || clean != path.Clean(clean) || clean[0] == '/' || clean == ".." || strings.HasPrefix(clean, "../") {
			t.Fatalf("path %q", hdr.Name)
		}
		if _, twice := seen[clean]; twice || seen[path.Dir(clean)] != tar.TypeDir {
			t.Fatalf("%q comes twice, or its parent is no directory", hdr.Name)
		}
		if hdr.Typeflag == tar.TypeLink && seen[hdr.Linkname] != tar.TypeReg && seen[hdr.Linkname] != tar.TypeLink {
			t.Fatalf("%q links to %q", hdr.Name, hdr.Linkname)
		}
		seen[clean] = hdr.Typeflag
	}
}
