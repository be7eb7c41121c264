package debian

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// core is what every test archive has: a small Essential set, apt and certificates.
func (m *mirror) core() {
	m.add("Package: base-files\nEssential: yes\nPre-Depends: awk")
	m.add("Package: gawk\nProvides: awk")
	m.add("Package: mawk\nProvides: awk")
	m.add("Package: init\nPriority: required\nDepends: usrmerge | usr-is-merged")
	m.add("Package: usrmerge\nDepends: perl")
	m.add("Package: usr-is-merged")
	m.add("Package: perl")
	m.add("Package: apt\nDepends: libapt (>= 2), libc6:any\nRecommends: docs")
	m.add("Package: libapt\nVersion: 2.1")
	m.add("Package: libc6\nConflicts: libc5")
	m.add("Package: docs")
	m.add("Package: ca-certificates\nArchitecture: all\nDepends: openssl | libressl")
	m.add("Package: openssl\nDepends: libc6 (>= 1.0)")
}

func names(c *Closure) string {
	var all []string
	for _, p := range c.Packages {
		all = append(all, p.Name)
	}
	return strings.Join(all, " ")
}

func TestResolve(t *testing.T) {
	m := newMirror(t)
	m.core()
	m.add("Package: python3\nDepends: python3-minimal (= 1.0), libz")
	m.add("Package: python3-minimal\nDepends: python3") // a cycle is allowed
	m.add("Package: libz-ng\nProvides: libz")
	m.sign("bookworm")
	d := m.debian("bookworm")
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
	if d := cmp.Diff(c, &back, cmp.AllowUnexported(Source{})); d != "" {
		t.Errorf("JSON changes it: %s", d)
	}
	if err := back.check(); err != nil {
		t.Error(err)
	}
}

// The newest version wins, wherever it is, and says which suite has it.
func TestResolveSecurity(t *testing.T) {
	m := newMirror(t)
	m.core()
	m.sign("bookworm")
	m.index.Reset()
	m.add("Package: openssl\nVersion: 1.0+deb12u1\nDepends: libc6")
	m.add("Package: libc6\nVersion: 0.9")
	m.sign("bookworm-security")
	d := m.debian("bookworm")
	d.Sources.list = append(d.Sources.list, Source{URI: m.server.URL + "/debian", Suite: "bookworm-security"})
	c, err := d.Resolve(t.Context(), Request{Arch: "amd64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Packages {
		want := Package{Version: p.Version, Suite: "bookworm"}
		switch p.Name {
		case "openssl":
			want = Package{Version: "1.0+deb12u1", Suite: "bookworm-security"}
		case "libc6":
			want.Version = "1.0"
		}
		if p.Version != want.Version || p.Suite != want.Suite {
			t.Errorf("%s is %s of %s, want %s of %s", p.Name, p.Version, p.Suite, want.Version, want.Suite)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	for want, add := range map[string]func(m *mirror){
		"apt 1.0 needs libapt (>= 2), which no source has": func(m *mirror) {
			m.add("Package: apt\nDepends: libapt (>= 2)")
			m.add("Package: libapt\nVersion: 1.9")
			m.add("Package: libapt-compat\nProvides: libapt")
			m.add("Package: ca-certificates")
		},
		`has no package "ca-certificates"`: func(m *mirror) { m.add("Package: apt") },
		"apt 1.0 excludes ca-certificates 1.0": func(m *mirror) {
			m.add("Package: apt\nBreaks: ca-certificates (<< 2)")
			m.add("Package: ca-certificates")
		},
		"the index entry of apt": func(m *mirror) {
			m.add("Package: ca-certificates")
			m.index.WriteString("Package: apt\nVersion: 1\nArchitecture: amd64\nFilename: ../../etc/x\nSize: 1\nSHA256: " + sum(nil) + "\n\n")
		},
	} {
		m := newMirror(t)
		add(m)
		m.sign("bookworm")
		_, err := m.debian("bookworm").Resolve(t.Context(), Request{Arch: "amd64"}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	m := newMirror(t)
	m.core()
	m.sign("bookworm")
	if _, err := m.debian("bookworm").Resolve(t.Context(), Request{Arch: "s390x"}, nil); err == nil || !strings.Contains(err.Error(), "no packages for s390x") {
		t.Errorf("got %v", err)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nArchitecture: all\nFilename: pool/a\nSize: 1\nSHA256: " + sum(nil) + "\nDepends: b | c (>= 1)\n\nPackage: b\nProvides: c (= 2)\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := &scan{}
		s.add(text)
		a := &archive{arch: "amd64", sources: []Source{{URI: "http://m", Suite: "x"}}, byName: map[string][]stanza{}, provided: map[string][]string{}}
		a.merge(s)
		for name := range a.byName {
			c, err := a.candidate(name)
			if err != nil || c == nil {
				continue
			}
			if err := c.Package.check(); err != nil {
				t.Error(err)
			}
			sel := &selection{archive: a, chosen: map[string]*candidate{}, provided: map[string][]*candidate{}}
			sel.choose(c)
			_ = sel.close()
		}
	})
}
