package debian

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/image/debian/archivetest"
)

// core is what every test archive has: a small Essential set, apt and certificates.
func core(m *archivetest.Mirror) {
	m.Add("Package: base-files\nEssential: yes\nPre-Depends: awk")
	m.Add("Package: gawk\nProvides: awk")
	m.Add("Package: mawk\nProvides: awk")
	m.Add("Package: init\nPriority: required\nDepends: usrmerge | usr-is-merged")
	m.Add("Package: usrmerge\nDepends: perl")
	m.Add("Package: usr-is-merged")
	m.Add("Package: perl")
	m.Add("Package: apt\nDepends: libapt (>= 2), libc6:any\nRecommends: docs")
	m.Add("Package: libapt\nVersion: 2.1")
	m.Add("Package: libc6\nConflicts: libc5")
	m.Add("Package: docs")
	m.Add("Package: ca-certificates\nArchitecture: all\nDepends: openssl | libressl")
	m.Add("Package: openssl\nDepends: libc6 (>= 1.0)")
}

func names(c *Closure) string {
	var all []string
	for _, p := range c.Packages {
		all = append(all, p.Name)
	}
	return strings.Join(all, " ")
}

func TestResolve(t *testing.T) {
	m := archivetest.New(t)
	core(m)
	m.Add("Package: python3\nDepends: python3-minimal (= 1.0), libz")
	m.Add("Package: python3-minimal\nDepends: python3") // a cycle is allowed
	m.Add("Package: libz-ng\nProvides: libz")
	m.Sign("bookworm")
	d := debianOf(t, m, "bookworm")
	c, err := d.Resolve(t.Context(), Request{Arch: "amd64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "apt base-files ca-certificates init libapt libc6 mawk openssl usr-is-merged"; names(c) != want {
		t.Errorf("got %s\nwant %s", names(c), want)
	}
	python, err := d.Resolve(t.Context(), Request{Suite: "bookworm", Python: true, Arch: "amd64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "apt base-files ca-certificates init libapt libc6 libz-ng mawk openssl python3 python3-minimal usr-is-merged"; names(python) != want {
		t.Errorf("got %s\nwant %s", names(python), want)
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back Closure
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, &back, cmp.AllowUnexported(archive.Source{})); d != "" {
		t.Errorf("JSON changes it: %s", d)
	}
	if err := back.check(); err != nil {
		t.Error(err)
	}
}

// The newest version wins, wherever it is, and says which suite has it.
func TestResolveSecurity(t *testing.T) {
	m := archivetest.New(t)
	core(m)
	m.Sign("bookworm")
	m.Index.Reset()
	m.Add("Package: openssl\nVersion: 1.0+deb12u1\nDepends: libc6")
	m.Add("Package: libc6\nVersion: 0.9")
	m.Sign("bookworm-security")
	d := debianOf(t, m, "bookworm", "bookworm-security")
	c, err := d.Resolve(t.Context(), Request{Arch: "amd64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Packages {
		want := archive.Package{Version: p.Version, Suite: "bookworm"}
		switch p.Name {
		case "openssl":
			want = archive.Package{Version: "1.0+deb12u1", Suite: "bookworm-security"}
		case "libc6":
			want.Version = "1.0"
		}
		if p.Version != want.Version || p.Suite != want.Suite {
			t.Errorf("%s is %s of %s, want %s of %s", p.Name, p.Version, p.Suite, want.Version, want.Suite)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	for want, add := range map[string]func(m *archivetest.Mirror){
		"apt 1.0 needs libapt (>= 2), which no source has": func(m *archivetest.Mirror) {
			m.Add("Package: apt\nDepends: libapt (>= 2)")
			m.Add("Package: libapt\nVersion: 1.9")
			m.Add("Package: libapt-compat\nProvides: libapt")
			m.Add("Package: ca-certificates")
		},
		`has no package "ca-certificates"`: func(m *archivetest.Mirror) { m.Add("Package: apt") },
		"apt 1.0 excludes ca-certificates 1.0": func(m *archivetest.Mirror) {
			m.Add("Package: apt\nBreaks: ca-certificates (<< 2)")
			m.Add("Package: ca-certificates")
		},
		"the index entry of apt": func(m *archivetest.Mirror) {
			m.Add("Package: ca-certificates")
			m.Index.WriteString("Package: apt\nVersion: 1\nArchitecture: amd64\nFilename: ../../etc/x\nSize: 1\nSHA256: " + archivetest.Sum(nil) + "\n\n")
		},
	} {
		m := archivetest.New(t)
		add(m)
		m.Sign("bookworm")
		_, err := debianOf(t, m, "bookworm").Resolve(t.Context(), Request{Arch: "amd64"}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	m := archivetest.New(t)
	core(m)
	m.Sign("bookworm")
	if _, err := debianOf(t, m, "bookworm").Resolve(t.Context(), Request{Arch: "s390x"}, nil); err == nil || !strings.Contains(err.Error(), "no packages for s390x") {
		t.Errorf("got %v", err)
	}
}

// FuzzSelection closes over whatever an index has.
func FuzzSelection(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nArchitecture: all\nFilename: pool/a\nSize: 1\nSHA256: " + archivetest.Sum(nil) + "\nDepends: b | c (>= 1)\n\nPackage: b\nProvides: c (= 2)\n")
	f.Fuzz(func(t *testing.T, text string) {
		suite := archive.NewSuite("amd64", []archive.Source{{URI: "http://m", Suite: "x"}})
		suite.Add(0, text)
		for _, name := range suite.Names() {
			c, err := suite.Candidate(name)
			if err != nil || c == nil {
				continue
			}
			if err := c.Check(); err != nil {
				t.Error(err)
			}
			s := newSelection(suite)
			s.choose(c)
			_ = s.close()
		}
	})
}

// debianOf makes bases of suites of a mirror.
func debianOf(t *testing.T, m *archivetest.Mirror, suites ...string) *Debian {
	t.Helper()
	sources, err := archive.HostSources(m.AptRoot(suites...))
	if err != nil {
		t.Fatal(err)
	}
	return &Debian{Mirror: &archive.Mirror{Sources: sources, Keyring: m.Keyring, Cache: t.TempDir()}}
}
