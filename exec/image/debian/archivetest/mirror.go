// Package archivetest serves a small Debian archive for tests: really signed, with real packages.
package archivetest

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
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/klauspost/compress/gzip"
)

// Mirror is a Debian archive that is served over HTTP.
type Mirror struct {
	URL     string            // of the archive
	Files   map[string][]byte // what is served, by path below URL
	Keyring string            // file of the key that signs
	Index   strings.Builder   // the packages that the next Sign publishes

	Mu    sync.Mutex // guards what follows
	Asked []*http.Request
	// Before, if set, may answer a request itself.
	Before func(w http.ResponseWriter, r *http.Request) (answered bool)

	t   *testing.T
	key *openpgp.Entity
}

// Time is the date of every release.
var Time = time.Date(2026, 7, 11, 10, 0, 0, 0, time.UTC)

// New returns a mirror of an empty archive, until the test ends.
func New(t *testing.T) *Mirror {
	t.Helper()
	key, err := openpgp.NewEntity("archive", "", "archive@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	m := &Mirror{t: t, Files: map[string][]byte{}, key: key, Keyring: filepath.Join(t.TempDir(), "archive.gpg")}
	var ring bytes.Buffer
	if err := key.Serialize(&ring); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Keyring, ring.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(server.Close)
	m.URL = server.URL + "/debian"
	return m
}

func (m *Mirror) serve(w http.ResponseWriter, r *http.Request) {
	m.Mu.Lock()
	m.Asked = append(m.Asked, r.Clone(r.Context()))
	data, ok := m.Files[strings.TrimPrefix(r.URL.Path, "/debian/")]
	before := m.Before
	m.Mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Write(data)
}

// Add puts a package into the archive. control is its paragraph without Version
// and Architecture, which default to 1.0 and amd64.
func (m *Mirror) Add(control string, files ...*tar.Header) {
	m.t.Helper()
	for _, def := range []string{"Version: 1.0", "Architecture: amd64"} {
		if name, _, _ := strings.Cut(def, " "); !strings.Contains(control, name) {
			control += "\n" + def
		}
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(control, "Package: "), "\n")
	deb := BuildDeb(m.t, control, nil, files)
	path := "pool/" + name + ".deb"
	m.Files[path] = deb
	fmt.Fprintf(&m.Index, "%s\nFilename: %s\nSize: %d\nSHA256: %s\n\n", control, path, len(deb), Sum(deb))
}

// Sign publishes the index under a signed release of a suite.
func (m *Mirror) Sign(suite string, fields ...string) {
	m.t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(m.Index.String()))
	z.Close()
	text := fmt.Sprintf("Codename: %s\nVersion: 12.1\nAcquire-By-Hash: yes\nArchitectures: amd64\nDate: %s\n",
		suite, Time.Format(time.RFC1123))
	for _, f := range fields {
		text += f + "\n"
	}
	text += fmt.Sprintf("SHA256:\n %s %d main/binary-amd64/Packages.gz\n", Sum(packed.Bytes()), packed.Len())
	m.Files["dists/"+suite+"/main/binary-amd64/by-hash/SHA256/"+Sum(packed.Bytes())] = packed.Bytes()
	m.Files["dists/"+suite+"/InRelease"] = m.Signed(text)
}

// Signed returns a text with the archive's signature.
func (m *Mirror) Signed(text string) []byte {
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

// AptRoot returns a directory with apt's configuration for suites of the mirror, as
// archive.HostSources takes it.
func (m *Mirror) AptRoot(suites ...string) string {
	m.t.Helper()
	root := m.t.TempDir()
	var list strings.Builder
	for _, suite := range suites {
		fmt.Fprintf(&list, "deb %s %s main\n", m.URL, suite)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/apt"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/apt/sources.list"), []byte(list.String()), 0o644); err != nil {
		m.t.Fatal(err)
	}
	return root
}

// Sum returns the SHA-256 of data, in hex.
func Sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// File makes an entry of a package. The content is in its Linkname.
func File(name, content string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Linkname: content, ModTime: Time.Add(-time.Hour)}
}

// Dir makes a directory of a package.
func Dir(name string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: Time.Add(time.Hour)}
}

// Link makes a symbolic link of a package.
func Link(name, target string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: Time}
}

// BuildTar packs entries; a regular file's content is its Linkname.
func BuildTar(t testing.TB, entries []*tar.Header) []byte {
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

// BuildDeb packs a .deb with a control archive of control and scripts, and a data archive of files.
func BuildDeb(t testing.TB, control string, scripts, files []*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
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
		w.Write(BuildTar(t, entries))
		w.Close()
		return z.Bytes()
	}
	member("debian-binary", []byte("2.0\n"))
	member("control.tar.gz", packed(append([]*tar.Header{File("./control", control+"\n")}, scripts...)))
	member("data.tar.gz", packed(files))
	return b.Bytes()
}
