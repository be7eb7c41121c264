package debian

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
)

func TestReleaseTrust(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(m *mirror, d *Debian)
		want   string // in the error; empty: it is accepted
	}{
		{"good", func(m *mirror, d *Debian) {}, ""},
		{"valid until tomorrow", func(m *mirror, d *Debian) {
			m.sign("bookworm", "Valid-Until: "+time.Now().Add(24*time.Hour).UTC().Format(time.RFC1123))
		}, ""},
		{"expired", func(m *mirror, d *Debian) {
			m.sign("bookworm", "Valid-Until: Sat, 11 Jul 2026 10:16:37 UTC")
		}, "was valid until 2026-07-11"},
		{"expired, and accepted", func(m *mirror, d *Debian) {
			m.sign("bookworm", "Valid-Until: Sat, 11 Jul 2026 10:16:37 UTC")
			d.Sources.list[0].NoValidUntil = true
		}, ""},
		{"tampered", func(m *mirror, d *Debian) {
			m.files["dists/bookworm/InRelease"] = bytes.Replace(m.files["dists/bookworm/InRelease"], []byte("12.1"), []byte("12.2"), 1)
		}, "signature doesn't verify"},
		{"unsigned", func(m *mirror, d *Debian) { m.files["dists/bookworm/InRelease"] = []byte("Codename: bookworm\n") }, "isn't a signed message"},
		{"another's key", func(m *mirror, d *Debian) { d.Keyring = newMirror(t).keyring }, "signature doesn't verify"},
		{"another suite's", func(m *mirror, d *Debian) {
			m.sign("trixie")
			m.files["dists/bookworm/InRelease"] = m.files["dists/trixie/InRelease"]
		}, `another suite, "trixie"`},
		{"no keyring", func(m *mirror, d *Debian) { d.Keyring = "" }, "no keyring"},
		{"keyring missing", func(m *mirror, d *Debian) { d.Keyring += ".not" }, "read the keyring"},
		{"keyring broken", func(m *mirror, d *Debian) {
			d.Keyring = filepath.Join(t.TempDir(), "x.gpg")
			os.WriteFile(d.Keyring, []byte("nonsense"), 0o644)
		}, "can't be read"},
		{"no such suite", func(m *mirror, d *Debian) { delete(m.files, "dists/bookworm/InRelease") }, `has no suite "bookworm"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t)
			m.sign("bookworm")
			d := m.debian("bookworm")
			c.change(m, d)
			r, err := d.release(t.Context(), d.Sources.list[0])
			if c.want == "" {
				if err != nil || r.codename != "bookworm" || !r.date.Equal(testTime) {
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
	m := newMirror(t)
	m.sign("bookworm")
	good := m.files["dists/bookworm/InRelease"]
	m.files["dists/bookworm/InRelease"] = append(append([]byte("Codename: evil\n\n"), good...), "\nCodename: evil\n"...)
	d := m.debian("bookworm")
	r, err := d.release(t.Context(), d.Sources.list[0])
	if err != nil || r.codename != "bookworm" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestDefaultSuite(t *testing.T) {
	m := newMirror(t)
	m.sign("bookworm")
	m.files["dists/trixie/InRelease"] = m.signed("Codename: trixie\nVersion: 13.0\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n " + sum(nil) + " 0 x\n")
	m.files["dists/sid/InRelease"] = m.signed("Codename: sid\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n " + sum(nil) + " 0 x\n")
	d := m.debian("sid")
	for _, suite := range []string{"bookworm", "trixie", "trixie-updates"} {
		d.Sources.list = append(d.Sources.list, Source{URI: m.server.URL + "/debian", Suite: suite})
	}
	for host, want := range map[string]string{"": "trixie", "bookworm": "bookworm", "bullseye": "trixie"} {
		d.Sources.suite = host
		if got, err := d.defaultSuite(t.Context()); err != nil || got != want {
			t.Errorf("on %q: %q, %v; want %q", host, got, err, want)
		}
	}
}

func FuzzParseRelease(f *testing.F) {
	f.Add([]byte("Codename: x\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n " + sum(nil) + " 0 main/binary-amd64/Packages.gz\n"))
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
		_ = r.accept(Source{Suite: "x"}, testTime)
	})
}
