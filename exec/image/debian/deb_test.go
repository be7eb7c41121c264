package debian

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec/image/debian/archivetest"
)

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFiles(t *testing.T) {
	deb := writeFile(t, "a.deb", archivetest.BuildDeb(t, "Package: a", nil, []*tar.Header{archivetest.Dir("./usr/"), archivetest.File("./usr/x", "hello")}))
	var got []string
	err := Files(deb, func(hdr *tar.Header, r io.Reader) error {
		data, err := io.ReadAll(r)
		got = append(got, hdr.Name+"="+string(data))
		return err
	})
	if err != nil || strings.Join(got, " ") != "./usr/= ./usr/x=hello" {
		t.Errorf("got %v, %v", got, err)
	}
	p, files, err := readControl(deb)
	if err != nil || p.Get("Package") != "a" || len(files) != 0 {
		t.Errorf("got %v %v, %v", p, files, err)
	}
}

func TestBrokenDebs(t *testing.T) {
	good := archivetest.BuildDeb(t, "Package: a", nil, []*tar.Header{archivetest.File("./x", "hello")})
	for name, data := range map[string][]byte{
		"empty":         nil,
		"no archive":    []byte("hello, world"),
		"cut header":    good[:90],
		"cut member":    good[:len(good)-20],
		"no data":       good[:bytes.Index(good, []byte("data.tar"))],
		"broken data":   append(bytes.Clone(good[:len(good)-40]), bytes.Repeat([]byte("x"), 40)...),
		"unknown":       bytes.Replace(good, []byte("data.tar.gz "), []byte("data.tar.lz "), 1),
		"negative size": bytes.Replace(good, []byte("debian-binary   0           0     0     100644  4         `"), []byte("debian-binary   0           0     0     100644  -4        `"), 1),
	} {
		if err := Files(writeFile(t, "a.deb", data), func(_ *tar.Header, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever an archive says, its members lie within it, and don't overlap.
func FuzzReadAr(f *testing.F) {
	f.Add(archivetest.BuildDeb(f, "Package: a", nil, []*tar.Header{archivetest.File("./x", "hello")}))
	f.Add([]byte(arMagic + "debian-binary   0           0     0     100644  9999999999`\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := readAr(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		at := int64(len(arMagic))
		for _, m := range members {
			if m.offset < at || m.size < 0 || m.offset+m.size > int64(len(data)) {
				t.Fatalf("%+v", members)
			}
			at = m.offset + m.size
		}
	})
}
