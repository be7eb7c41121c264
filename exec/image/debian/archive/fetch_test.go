package archive

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/image/debian/archivetest"
)

// entriesOf lists what a directory has.
func entriesOf(t *testing.T, dir string) []string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range found {
		all = append(all, e.Name())
	}
	return all
}

// mirrorOf reads one suite of an archive.
func mirrorOf(m *archivetest.Mirror, suite string) *Mirror {
	sources := Sources{list: []Source{{URI: m.URL, Suite: suite}}}
	return &Mirror{Sources: sources, Keyring: m.Keyring, Cache: filepath.Join(m.AptRoot(), "cache"), pause: time.Millisecond}
}

func TestFetch(t *testing.T) {
	m := archivetest.New(t)
	m.Add("Package: tool", archivetest.File("./usr/bin/tool", "x"))
	m.Sign("bookworm")
	d := mirrorOf(m, "bookworm")
	path, p, err := d.Fetch(t.Context(), "", "tool", nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(data, m.Files["pool/tool.deb"]) || p.Version != "1.0" {
		t.Errorf("got %d bytes of %+v, %v", len(data), p, err)
	}
	before := len(m.Asked)
	if _, _, err := d.Fetch(t.Context(), "bookworm", "tool", nil); err != nil || len(m.Asked) != before {
		t.Errorf("a cached package was asked for again, or %v", err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), len(data)), 0o644); err != nil {
		t.Fatal(err)
	}
	if path, _, err = d.Fetch(t.Context(), "", "tool", nil); err != nil || hashFile(path, p.Size) != p.SHA256 {
		t.Errorf("a broken cache file was believed, or %v", err)
	}
	if _, _, err := d.Fetch(t.Context(), "", "tols", nil); err == nil || !strings.Contains(err.Error(), `no package "tols"`) {
		t.Errorf("got %v", err)
	}
}

// A download that isn't what the index says leaves nothing in the cache.
func TestFetchWrong(t *testing.T) {
	for name, change := range map[string]func(data []byte) []byte{
		"other bytes": func(data []byte) []byte { return bytes.Repeat([]byte("x"), len(data)) },
		"longer":      func(data []byte) []byte { return append(bytes.Clone(data), 'x') },
		"shorter":     func(data []byte) []byte { return data[:len(data)-1] },
	} {
		m := archivetest.New(t)
		m.Add("Package: tool")
		m.Sign("bookworm")
		m.Files["pool/tool.deb"] = change(m.Files["pool/tool.deb"])
		d := mirrorOf(m, "bookworm")
		_, _, err := d.Fetch(t.Context(), "", "tool", nil)
		e := (*diag.Error)(nil)
		if !errors.As(err, &e) || e.Class != diag.System || e.Hint == "" {
			t.Errorf("%s: got %v", name, err)
		}
		if got := entriesOf(t, d.Cache); len(got) != 1 { // the index
			t.Errorf("%s: the cache has %v", name, got)
		}
	}
}

func TestFetchRetries(t *testing.T) {
	m := archivetest.New(t)
	m.Add("Package: tool")
	m.Sign("bookworm")
	failures := map[string]int{}
	m.Before = func(w http.ResponseWriter, r *http.Request) bool {
		m.Mu.Lock()
		defer m.Mu.Unlock()
		if failures[r.URL.Path]++; failures[r.URL.Path] > 2 {
			return false
		}
		if failures[r.URL.Path] == 1 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return true
		}
		w.Header().Set("Content-Length", "100000")
		w.Write([]byte("cut off"))
		return true
	}
	if _, _, err := mirrorOf(m, "bookworm").Fetch(t.Context(), "", "tool", nil); err != nil {
		t.Error(err)
	}
}

func TestFetchRefused(t *testing.T) {
	for code, hint := range map[int]string{http.StatusNotFound: "is resolved again", http.StatusUnauthorized: "credentials"} {
		m := archivetest.New(t)
		m.Add("Package: tool")
		m.Sign("bookworm")
		asked := 0
		m.Before = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/pool/") {
				return false
			}
			asked++
			w.WriteHeader(code)
			return true
		}
		_, _, err := mirrorOf(m, "bookworm").Fetch(t.Context(), "", "tool", nil)
		e := (*diag.Error)(nil)
		if !errors.As(err, &e) || !strings.Contains(e.Hint, hint) || asked != 1 {
			t.Errorf("%d: asked %d times, got %v", code, asked, err)
		}
	}
	d := &Mirror{pause: 1, Cache: t.TempDir(), Sources: Sources{list: []Source{{URI: "http://127.0.0.1:1/debian", Suite: "x"}}}}
	_, _, err := d.Fetch(t.Context(), "", "tool", nil)
	e := (*diag.Error)(nil)
	if !errors.As(err, &e) || e.Class != diag.System || !strings.Contains(e.Hint, "network") {
		t.Errorf("got %v", err)
	}
}

// Credentials go to the mirror that they are for, and into no error.
func TestFetchCredentials(t *testing.T) {
	m := archivetest.New(t)
	m.Add("Package: tool")
	m.Sign("bookworm")
	list, err := parseOneLine([]byte("deb " + strings.Replace(m.URL, "://", "://name:secret@", 1) + " bookworm main"))
	if err != nil {
		t.Fatal(err)
	}
	d := mirrorOf(m, "bookworm")
	d.Sources.list = list
	_, p, err := d.Fetch(t.Context(), "", "tool", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Asked {
		if name, password, _ := r.BasicAuth(); name != "name" || password != "secret" {
			t.Errorf("%s was asked for as %q", r.URL, name)
		}
	}
	m.Asked = nil
	d.Cache = t.TempDir()
	locked := []Source{{URI: list[0].URI, Suite: "bookworm"}} // as it comes from a lock
	if _, err := d.FetchPackage(t.Context(), locked, p, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if name, _, _ := m.Asked[0].BasicAuth(); name != "name" {
		t.Error("a locked source lost its credentials")
	}
	delete(m.Files, "pool/tool.deb")
	d.Cache = t.TempDir()
	if _, err := d.FetchPackage(t.Context(), locked, p, func(int64) {}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestFetchCancelled(t *testing.T) {
	m := archivetest.New(t)
	m.Add("Package: tool")
	m.Sign("bookworm")
	ctx, cancel := context.WithCancel(t.Context())
	m.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/pool/") {
			return false
		}
		w.Write([]byte("!<arch>\n"))
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
		return true
	}
	d := mirrorOf(m, "bookworm")
	if _, _, err := d.Fetch(ctx, "", "tool", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(d.Cache, "download-*")); left != nil {
		t.Errorf("left %v", left)
	}
}
