package debian

import (
	"archive/tar"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/diag"
)

// toy is an archive whose packages have what dpkg's database has to record.
func toy(t *testing.T) *mirror {
	m := newMirror(t)
	m.add("Package: base-files\nEssential: yes\nDescription: x\n long", dir("./"), dir("./etc/"), dir("./tmp/"))
	m.add("Package: base-passwd\nEssential: yes", dir("./"), file("./usr/share/base-passwd/passwd.master", "root:*:0\n"),
		file("./usr/share/base-passwd/group.master", "root:*:0:\n"))
	m.add("Package: apt", dir("./"), dir("./bin/"), file("./bin/apt", "apt"))
	m.add("Package: ca-certificates\nArchitecture: all")
	lib := "Package: lib\nVersion: 1.0\nArchitecture: amd64\nMulti-Arch: same\nPriority: required"
	script := file("./postinst", "#!/bin/sh\n")
	script.Mode = 0o755
	deb := buildDeb(t, lib, []*tar.Header{script, file("./conffiles", "/etc/lib.conf\n"),
		file("./triggers", "# x\ninterest-noawait ldconfig\ninterest /usr/share/x\nactivate y\n")},
		[]*tar.Header{dir("./"), dir("./etc/"), file("./etc/lib.conf", "a=1\n")})
	m.files["pool/lib.deb"] = deb
	m.index.WriteString(lib + "\nFilename: pool/lib.deb\nSize: " + strconv.Itoa(len(deb)) + "\nSHA256: " + sum(deb) + "\n\n")
	m.sign("bookworm")
	return m
}

func TestUnpack(t *testing.T) {
	d := toy(t).debian("bookworm")
	c, err := d.Resolve(t.Context(), Request{Arch: "amd64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	l, _, err := d.unpack(t.Context(), c, filepath.Join(tmp, "a.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := d.unpack(t.Context(), c, filepath.Join(tmp, "b.tar"), nil)
	if err != nil || l.DiffID() != again.DiffID() {
		t.Errorf("unpacked again: %v, %v", again, err)
	}
	if got := entriesOf(t, tmp); len(got) != 2 {
		t.Errorf("the directory has %v", got)
	}
	list := listing(t, l)
	const info = "var/lib/dpkg/info/"
	for _, want := range []string{
		"2 777 bin -> usr/bin", "0 644 usr/bin/apt = apt", "5 755 tmp/", "0 644 etc/lib.conf = a=1\n",
		"0 644 etc/passwd = root:*:0\n", "0 644 etc/group = root:*:0:\n",
		"0 644 " + info + "apt.list = /.\n/bin\n/bin/apt\n",
		"0 644 " + info + "lib:amd64.list = /.\n/etc\n/etc/lib.conf\n",
		"0 755 " + info + "lib:amd64.postinst = #!/bin/sh\n",
		"0 644 " + info + "format = 1\n",
		"0 644 var/lib/dpkg/arch = amd64\n",
		"0 644 var/lib/dpkg/triggers/ldconfig = lib:amd64/noawait\n",
		"0 644 var/lib/dpkg/triggers/File = /usr/share/x lib:amd64\n",
		"0 644 etc/apt/sources.list.d/debian.sources = Types: deb\nURIs: " + d.Sources.list[0].URI +
			"\nSuites: bookworm\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
	} {
		if !contains(list, want) {
			t.Errorf("no %q in\n%s", want, strings.Join(list, "\n"))
		}
	}
	status := find(list, "0 644 var/lib/dpkg/status = ")
	for _, want := range []string{
		"Package: base-files\nStatus: install ok unpacked\nEssential: yes\nDescription: x\n long\n",
		"Package: lib\nStatus: install ok unpacked\n",
		"Conffiles:\n /etc/lib.conf d5e29449b9e66d5b4bb0d6ce48fbbcb1\n",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in %s", want, status)
		}
	}
}

func contains(list []string, want string) bool { return find(list, want) == want }

// find returns the entry of a list that begins with prefix.
func find(list []string, prefix string) string {
	for _, l := range list {
		if strings.HasPrefix(l, prefix) {
			return l
		}
	}
	return ""
}

// A base that can't be made leaves nothing behind.
func TestUnpackFails(t *testing.T) {
	for want, change := range map[string]func(m *mirror, c *Closure){
		"is apt 1.0 for amd64, not apt 2.0": func(m *mirror, c *Closure) { c.Packages[0].Version = "2.0" },
		"no source":                         func(m *mirror, c *Closure) { c.Packages[0].Suite = "x" },
		"404":                               func(m *mirror, c *Closure) { delete(m.files, "pool/lib.deb") },
		"no path in an archive":             func(m *mirror, c *Closure) { c.Packages[0].Filename = "../x" },
		"http or https":                     func(m *mirror, c *Closure) { c.Sources[0].URI = "file:///etc" },
		"has credentials":                   func(m *mirror, c *Closure) { c.Sources[0].URI = "http://a:b@m/x" },
		"aren't in order":                   func(m *mirror, c *Closure) { c.Packages[1] = c.Packages[0] },
		"no sandbox":                        func(m *mirror, c *Closure) {},
	} {
		m := toy(t)
		d := m.debian("bookworm")
		c, err := d.Resolve(t.Context(), Request{Arch: "amd64"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(m, c)
		tmp := t.TempDir()
		_, err = d.Build(t.Context(), c, tmp, nil)
		e := (*diag.Error)(nil)
		if !errors.As(err, &e) || !strings.Contains(e.Msg, want) || strings.Contains(e.Msg, "a:b@") {
			t.Errorf("got %v, want %q", err, want)
		}
		if got := entriesOf(t, tmp); len(got) != 0 {
			t.Errorf("%s: left %v", want, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	m := toy(t)
	d := m.debian("bookworm")
	c, err := d.Resolve(ctx, Request{Arch: "amd64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	tmp := t.TempDir()
	if _, err := d.Build(ctx, c, tmp, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := entriesOf(t, tmp); len(got) != 0 {
		t.Errorf("left %v", got)
	}
}

func TestFilter(t *testing.T) {
	in := buildTar(t, []*tar.Header{
		dir("etc/"), file("etc/shadow", "x"), file("etc/.pwd.lock", ""), file("etc/.wh.old", ""),
		dir("usr/lib/python3/__pycache__/"), file("usr/lib/python3/__pycache__/a.cpython-311.pyc", "x"),
		dir("var/log/"), file("var/log/btmp", ""), file("var/log/dpkg.log", "x"), file("var/log/apt/term.log", "x"),
		file("var/cache/ldconfig/aux-cache", "x"), file("var/cache/debconf/config.dat", "x"), file("var/cache/debconf/config.dat-old", "x"),
		file("var/lib/dpkg/status", "x"), file("var/lib/dpkg/status-old", "x"), file("var/lib/dpkg/lock", ""), file("var/lib/dpkg/triggers/Lock", ""),
		file("tmp/x", "x"), dir("run/"), file("run/x", "x"),
	})
	for _, c := range []struct {
		keep keep
		want string
	}{
		{keepConfiguration, "etc/ etc/shadow etc/.wh.old var/log/ var/log/btmp var/cache/debconf/config.dat var/lib/dpkg/status run/"},
		{keepBytecode, "etc/ usr/lib/python3/__pycache__/ usr/lib/python3/__pycache__/a.cpython-311.pyc var/log/ run/"},
	} {
		w, err := createLayer(filepath.Join(t.TempDir(), "x.tar"), testTime)
		if err != nil {
			t.Fatal(err)
		}
		if err := filter(w, strings.NewReader(string(in)), c.keep); err != nil {
			t.Fatal(err)
		}
		l, err := w.finish()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, line := range listing(t, l) {
			got = append(got, strings.Fields(line)[2])
		}
		if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
			t.Error(d)
		}
		if l.Size == 0 {
			t.Error("no size")
		}
		os.Remove(l.Path)
	}
}
