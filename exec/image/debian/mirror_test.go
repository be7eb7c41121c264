package debian

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/klauspost/compress/gzip"
)

// mirror is a small Debian archive: really signed, with real packages, served over HTTP.
type mirror struct {
	t       *testing.T
	files   map[string][]byte
	key     *openpgp.Entity
	keyring string
	server  *httptest.Server
	index   strings.Builder

	mu    sync.Mutex
	asked []*http.Request
	// before, if set, may answer a request itself.
	before func(w http.ResponseWriter, r *http.Request) (answered bool)
}

var testTime = time.Date(2026, 7, 11, 10, 0, 0, 0, time.UTC)

func newMirror(t *testing.T) *mirror {
	t.Helper()
	key, err := openpgp.NewEntity("archive", "", "archive@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{t: t, files: map[string][]byte{}, key: key, keyring: filepath.Join(t.TempDir(), "archive.gpg")}
	var ring bytes.Buffer
	if err := key.Serialize(&ring); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.keyring, ring.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	m.server = httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(m.server.Close)
	return m
}

func (m *mirror) serve(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.asked = append(m.asked, r.Clone(r.Context()))
	data, ok := m.files[strings.TrimPrefix(r.URL.Path, "/debian/")]
	before := m.before
	m.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Write(data)
}

// add puts a package into the archive. control is its paragraph without Version
// and Architecture, which default to 1.0 and amd64.
func (m *mirror) add(control string, files ...*tar.Header) {
	m.t.Helper()
	for _, def := range []string{"Version: 1.0", "Architecture: amd64"} {
		if name, _, _ := strings.Cut(def, " "); !strings.Contains(control, name) {
			control += "\n" + def
		}
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(control, "Package: "), "\n")
	deb := buildDeb(m.t, control, nil, files)
	path := "pool/" + name + ".deb"
	m.files[path] = deb
	fmt.Fprintf(&m.index, "%s\nFilename: %s\nSize: %d\nSHA256: %s\n\n", control, path, len(deb), sum(deb))
}

// sign publishes the index under a signed release of a suite.
func (m *mirror) sign(suite string, fields ...string) {
	m.t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(m.index.String()))
	z.Close()
	text := fmt.Sprintf("Codename: %s\nVersion: 12.1\nAcquire-By-Hash: yes\nArchitectures: amd64\nDate: %s\n",
		suite, testTime.Format(time.RFC1123))
	for _, f := range fields {
		text += f + "\n"
	}
	text += fmt.Sprintf("SHA256:\n %s %d main/binary-amd64/Packages.gz\n", sum(packed.Bytes()), packed.Len())
	m.files["dists/"+suite+"/main/binary-amd64/by-hash/SHA256/"+sum(packed.Bytes())] = packed.Bytes()
	m.files["dists/"+suite+"/InRelease"] = m.signed(text)
}

func (m *mirror) signed(text string) []byte {
	m.t.Helper()
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, m.key.PrivateKey, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	w.Write([]byte(text))
	if err := w.Close(); err != nil {
		m.t.Fatal(err)
	}
	return b.Bytes()
}

// debian returns a Debian whose only source is the mirror's suite.
func (m *mirror) debian(suite string) *Debian {
	return &Debian{
		Sources: Sources{list: []Source{{URI: m.server.URL + "/debian", Suite: suite}}},
		Keyring: m.keyring, Cache: m.t.TempDir(), pause: time.Millisecond,
	}
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// file, dir and link make entries of a package. A file's content is in its Linkname.
func file(name, content string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Linkname: content, ModTime: testTime.Add(-time.Hour)}
}

func dir(name string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: testTime.Add(time.Hour)}
}

func link(name, target string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: testTime}
}

// buildTar packs entries; a regular file's content is its Linkname.
func buildTar(t testing.TB, entries []*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h, content := *e, ""
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(content))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// buildDeb packs a .deb with a control archive of control and scripts, and a data archive of files.
func buildDeb(t testing.TB, control string, scripts, files []*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(arMagic)
	member := func(name string, data []byte) {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(data))
		b.Write(data)
		if len(data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	packed := func(entries []*tar.Header) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(buildTar(t, entries))
		w.Close()
		return z.Bytes()
	}
	member("debian-binary", []byte("2.0\n"))
	member("control.tar.gz", packed(append([]*tar.Header{file("./control", control+"\n")}, scripts...)))
	member("data.tar.gz", packed(files))
	return b.Bytes()
}
