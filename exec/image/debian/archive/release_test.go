package archive

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/image/debian/archivetest"
)

func TestReleaseTrust(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(m *archivetest.Mirror, d *Mirror)
		want   string // in the error; empty: it is accepted
	}{
		{"good", func(m *archivetest.Mirror, d *Mirror) {}, ""},
		{"valid until tomorrow", func(m *archivetest.Mirror, d *Mirror) {
			m.Sign("bookworm", "Valid-Until: "+time.Now().Add(24*time.Hour).UTC().Format(time.RFC1123))
		}, ""},
		{"expired", func(m *archivetest.Mirror, d *Mirror) {
			m.Sign("bookworm", "Valid-Until: Sat, 11 Jul 2026 10:16:37 UTC")
		}, "was valid until 2026-07-11"},
		{"expired, and accepted", func(m *archivetest.Mirror, d *Mirror) {
			m.Sign("bookworm", "Valid-Until: Sat, 11 Jul 2026 10:16:37 UTC")
			d.Sources.list[0].NoValidUntil = true
		}, ""},
		{"tampered", func(m *archivetest.Mirror, d *Mirror) {
			m.Files["dists/bookworm/InRelease"] = bytes.Replace(m.Files["dists/bookworm/InRelease"], []byte("12.1"), []byte("12.2"), 1)
		}, "signature doesn't verify"},
		{"unsigned", func(m *archivetest.Mirror, d *Mirror) {
			m.Files["dists/bookworm/InRelease"] = []byte("Codename: bookworm\n")
		}, "isn't a signed message"},
		{"another's key", func(m *archivetest.Mirror, d *Mirror) { d.Keyring = archivetest.New(t).Keyring }, "signature doesn't verify"},
		{"another suite's", func(m *archivetest.Mirror, d *Mirror) {
			m.Sign("trixie")
			m.Files["dists/bookworm/InRelease"] = m.Files["dists/trixie/InRelease"]
		}, `another suite, "trixie"`},
		{"no keyring", func(m *archivetest.Mirror, d *Mirror) { d.Keyring = "" }, "no keyring"},
		{"keyring missing", func(m *archivetest.Mirror, d *Mirror) { d.Keyring += ".not" }, "read the keyring"},
		{"keyring broken", func(m *archivetest.Mirror, d *Mirror) {
			d.Keyring = filepath.Join(t.TempDir(), "x.gpg")
			os.WriteFile(d.Keyring, []byte("nonsense"), 0o644)
		}, "can't be read"},
		{"no such suite", func(m *archivetest.Mirror, d *Mirror) { delete(m.Files, "dists/bookworm/InRelease") }, `has no suite "bookworm"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := archivetest.New(t)
			m.Sign("bookworm")
			d := mirrorOf(m, "bookworm")
			c.change(m, d)
			r, err := d.release(t.Context(), d.Sources.list[0])
			if c.want == "" {
				if err != nil || r.codename != "bookworm" || !r.date.Equal(archivetest.Time) {
					t.Errorf("got %+v, %v", r, err)
				}
				return
			}
			e := (*diag.Error)(nil)
			if !errors.As(err, &e) || !strings.Contains(e.Msg, c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if e.Hint == "" && c.name != "keyring broken" {
				t.Errorf("no hint: %v", err)
			}
		})
	}
}

// What stands around the signed message is not believed.
func TestReleaseSurroundings(t *testing.T) {
	m := archivetest.New(t)
	m.Sign("bookworm")
	good := m.Files["dists/bookworm/InRelease"]
	m.Files["dists/bookworm/InRelease"] = append(append([]byte("Codename: evil\n\n"), good...), "\nCodename: evil\n"...)
	d := mirrorOf(m, "bookworm")
	r, err := d.release(t.Context(), d.Sources.list[0])
	if err != nil || r.codename != "bookworm" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestDefaultSuite(t *testing.T) {
	m := archivetest.New(t)
	m.Sign("bookworm")
	m.Files["dists/trixie/InRelease"] = m.Signed("Codename: trixie\nVersion: 13.0\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n " + archivetest.Sum(nil) + " 0 x\n")
	m.Files["dists/sid/InRelease"] = m.Signed("Codename: sid\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n " + archivetest.Sum(nil) + " 0 x\n")
	d := mirrorOf(m, "sid")
	for _, suite := range []string{"bookworm", "trixie", "trixie-updates"} {
		d.Sources.list = append(d.Sources.list, Source{URI: m.URL, Suite: suite})
	}
	for host, want := range map[string]string{"": "trixie", "bookworm": "bookworm", "bullseye": "trixie"} {
		d.Sources.suite = host
		if got, err := d.defaultSuite(t.Context()); err != nil || got != want {
			t.Errorf("on %q: %q, %v; want %q", host, got, err, want)
		}
	}
}

func FuzzParseRelease(f *testing.F) {
	f.Add([]byte("Codename: x\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n " + archivetest.Sum(nil) + " 0 main/binary-amd64/Packages.gz\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRelease(data)
		if err != nil {
			return
		}
		for name, file := range r.files {
			if !isSHA256(file.sha256) || file.size < 0 {
				t.Errorf("%q: %+v", name, file)
			}
		}
		_ = r.accept(Source{Suite: "x"}, archivetest.Time)
	})
}
