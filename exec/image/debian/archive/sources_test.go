package archive

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/image/debian/archivetest"
)

// host makes a root with apt sources: name below etc/apt to content.
func host(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func suitesOf(list []Source) []string {
	var all []string
	for _, s := range list {
		all = append(all, s.URI+" "+s.Suite)
	}
	return all
}

func TestHostSources(t *testing.T) {
	root := host(t, map[string]string{
		"etc/apt/sources.list": "# deb http://old.example/debian bookworm main\n" +
			"deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://m.example/debian/ bookworm main contrib # x\n" +
			"deb-src http://m.example/debian bookworm main\n" +
			"deb http://flat.example/x ./\n" +
			"deb [signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example/debian stable main\n" +
			"deb https://vendor.example/debian bookworm stable\n" +
			"deb cdrom:[Debian]/ trixie main\n",
		"etc/apt/sources.list.d/debian.sources": "Types: deb deb-src\nURIs: mirror+file:/x https://user:secret@s.example/debian-security\n" +
			"Suites: bookworm-security bookworm\nComponents: main\nCheck-Valid-Until: no\n\n" +
			"Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\n",
		"etc/apt/sources.list.d/other.disabled":            "deb http://x.example/debian trixie main\n",
		"etc/os-release":                                   "ID=debian\nVERSION_CODENAME=bookworm\n",
		"usr/share/keyrings/debian-archive-keyring.gpg":    "",
		"etc/apt/sources.list.d/third-party-empty.sources": "",
	})
	s, err := HostSources(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"http://m.example/debian bookworm", "https://s.example/debian-security bookworm-security"}
	if d := cmp.Diff(want, suitesOf(s.list)); d != "" {
		t.Error(d)
	}
	if ring := filepath.Join(root, "/usr/share/keyrings/debian-archive-keyring.gpg"); s.keyring != ring || s.list[0].keyring[0] != ring {
		t.Errorf("keyrings %q and %q, want %q", s.keyring, s.list[0].keyring, ring)
	}
	if s.suite != "bookworm" || !s.list[1].NoValidUntil || s.list[0].NoValidUntil {
		t.Errorf("options not read: %+v", s)
	}
	if p, _ := s.list[1].user.Password(); p != "secret" {
		t.Error("the credentials are lost")
	}
	data, err := json.Marshal(s.list)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(data); strings.Contains(text, "secret") || strings.Contains(text, "user") {
		t.Errorf("credentials got out: %s", text)
	}
}

func TestAuth(t *testing.T) {
	root := host(t, map[string]string{
		"etc/apt/sources.list": "deb https://a.example/x/debian one main\ndeb https://a.example/y/debian two main\n" +
			"deb http://b.example/debian three main\ndeb http://c.example:8080/debian four main\ndeb https://u:p@a.example/x five main\n",
		"etc/apt/auth.conf": "# machine a.example login no password no\nmachine a.example/x login ax\n password secret\n" +
			"machine b.example login plain password secret\n",
		"etc/apt/auth.conf.d/c.conf":  "machine http://c.example:8080 login c password secret",
		"etc/apt/auth.conf.d/c.other": "machine a.example login other password x",
	})
	s, err := HostSources(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, src := range s.list {
		got = append(got, src.Suite+" "+src.user.Username())
	}
	if d := cmp.Diff([]string{"one ax", "two ", "three ", "four c", "five u"}, got); d != "" {
		t.Error(d)
	}
}

func TestSourcesErrors(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no apt":        {},
		"not Debian's":  {"etc/apt/sources.list": "deb [signed-by=/k/ubuntu.gpg] http://m.example/ubuntu noble main\n"},
		"broken":        {"etc/apt/sources.list.d/x.sources": "Types deb\n"},
		"open options":  {"etc/apt/sources.list": "deb [arch=amd64 http://m.example/debian bookworm main\n"},
		"unparsed URIs": {"etc/apt/sources.list": "deb http://user:secret@m.example:bad/ bookworm main\n"},
	} {
		_, err := HostSources(host(t, files))
		e := (*diag.Error)(nil)
		if !errors.As(err, &e) || e.Class != diag.System {
			t.Errorf("%s: %v is no diag.Error of class system", name, err)
		} else if strings.Contains(err.Error()+e.Hint, "secret") {
			t.Errorf("%s: the error tells the password", name)
		}
	}
}

func TestEmbeddedKey(t *testing.T) {
	list, err := parseDeb822([]byte("Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n"))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if want := "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n"; string(list[0].keys) != want {
		t.Errorf("got %q, want %q", list[0].keys, want)
	}
}

func TestForSuite(t *testing.T) {
	s := Sources{suite: "bookworm", list: []Source{
		{URI: "http://m", Suite: "trixie"}, {URI: "http://m", Suite: "bookworm-updates"}, {URI: "http://m", Suite: "bookworm"},
		{URI: "http://m", Suite: "bookworm-backports"}, {URI: "http://s", Suite: "bookworm-security"},
	}}
	for suite, want := range map[string][]string{
		"bookworm": {"http://m bookworm", "http://m bookworm-updates", "http://s bookworm-security"},
		"trixie":   {"http://m trixie"},
		"forky":    {"http://m forky", "http://m forky-updates", "http://s forky-security"},
		"sid":      {"http://m sid"},
	} {
		got, err := s.forSuite(suite)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, suitesOf(got)); d != "" {
			t.Errorf("%s: %s", suite, d)
		}
	}
	for _, bad := range []string{"../x", "a b", "a/b", "-x", "x\ny", "bookworm-security"} {
		if got, err := s.forSuite(bad); err == nil {
			t.Errorf("forSuite(%q) = %v", bad, got)
		}
	}
}

func FuzzSources(f *testing.F) {
	f.Add([]byte("deb [a=b] http://u:p@h/d bookworm main"))
	f.Add([]byte("Types: deb\nURIs: http://h/d\nSuites: x\nComponents: main\nSigned-By:\n -----BEGIN\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) ([]Source, error){parseOneLine, parseDeb822} {
			list, err := parse(data)
			if err != nil {
				continue
			}
			for _, s := range list {
				if err := s.Check(); err != nil {
					t.Errorf("%+v: %v", s, err)
				}
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nArchitecture: all\nFilename: pool/a\nSize: 1\nSHA256: " + archivetest.Sum(nil) + "\nDepends: b | c (>= 1)\n\nPackage: b\nProvides: c (= 2)\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := NewSuite("amd64", []Source{{URI: "http://m", Suite: "x"}})
		s.Add(0, text)
		for _, name := range s.Names() {
			if c, err := s.Candidate(name); err == nil && c != nil && c.Check() != nil {
				t.Error(c.Check())
			}
		}
	})
}
