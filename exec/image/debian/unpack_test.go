package debian

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/image/debian/archivetest"
)

// toy is an archive whose packages have what dpkg's database has to record.
func toy(t *testing.T) *archivetest.Mirror {
	m := archivetest.New(t)
	m.Add("Package: base-files\nEssential: yes\nDescription: x\n long", archivetest.Dir("./"), archivetest.Dir("./etc/"), archivetest.Dir("./tmp/"))
	m.Add("Package: base-passwd\nEssential: yes", archivetest.Dir("./"), archivetest.File("./usr/share/base-passwd/passwd.master", "root:*:0\n"),
		archivetest.File("./usr/share/base-passwd/group.master", "root:*:0:\n"))
	m.Add("Package: apt", archivetest.Dir("./"), archivetest.Dir("./bin/"), archivetest.File("./bin/apt", "apt"))
	m.Add("Package: ca-certificates\nArchitecture: all")
	lib := "Package: lib\nVersion: 1.0\nArchitecture: amd64\nMulti-Arch: same\nPriority: required"
	script := archivetest.File("./postinst", "#!/bin/sh\n")
	script.Mode = 0o755
	deb := archivetest.BuildDeb(t, lib, []*tar.Header{script, archivetest.File("./conffiles", "/etc/lib.conf\n"),
		archivetest.File("./triggers", "# x\ninterest-noawait ldconfig\ninterest /usr/share/x\nactivate y\n")},
		[]*tar.Header{archivetest.Dir("./"), archivetest.Dir("./etc/"), archivetest.File("./etc/lib.conf", "a=1\n")})
	m.Files["pool/lib.deb"] = deb
	m.Index.WriteString(lib + "\nFilename: pool/lib.deb\nSize: " + strconv.Itoa(len(deb)) + "\nSHA256: " + archivetest.Sum(deb) + "\n\n")
	m.Sign("bookworm")
	return m
}

func TestUnpack(t *testing.T) {
	m := toy(t)
	d := debianOf(t, m, "bookworm")
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
		"0 644 etc/apt/sources.list.d/debian.sources = Types: deb\nURIs: " + m.URL +
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
	for want, change := range map[string]func(m *archivetest.Mirror, c *Closure){
		"is apt 1.0 for amd64, not apt 2.0": func(m *archivetest.Mirror, c *Closure) { c.Packages[0].Version = "2.0" },
		"no source":                         func(m *archivetest.Mirror, c *Closure) { c.Packages[0].Suite = "x" },
		"404":                               func(m *archivetest.Mirror, c *Closure) { delete(m.Files, "pool/lib.deb") },
		"isn't a path in an archive":        func(m *archivetest.Mirror, c *Closure) { c.Packages[0].Filename = "../x" },
		"http or https":                     func(m *archivetest.Mirror, c *Closure) { c.Sources[0].URI = "file:///etc" },
		"has credentials":                   func(m *archivetest.Mirror, c *Closure) { c.Sources[0].URI = "http://a:b@m/x" },
		"aren't in order":                   func(m *archivetest.Mirror, c *Closure) { c.Packages[1] = c.Packages[0] },
		"no sandbox":                        func(m *archivetest.Mirror, c *Closure) {},
	} {
		m := toy(t)
		d := debianOf(t, m, "bookworm")
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
	d := debianOf(t, m, "bookworm")
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
	in := archivetest.BuildTar(t, []*tar.Header{
		archivetest.Dir("etc/"), archivetest.File("etc/shadow", "x"), archivetest.File("etc/.pwd.lock", ""), archivetest.File("etc/.wh.old", ""),
		archivetest.Dir("usr/lib/python3/__pycache__/"), archivetest.File("usr/lib/python3/__pycache__/a.cpython-311.pyc", "x"),
		archivetest.Dir("var/log/"), archivetest.File("var/log/btmp", ""), archivetest.File("var/log/dpkg.log", "x"), archivetest.File("var/log/apt/term.log", "x"),
		archivetest.File("var/cache/ldconfig/aux-cache", "x"), archivetest.File("var/cache/debconf/config.dat", "x"), archivetest.File("var/cache/debconf/config.dat-old", "x"),
		archivetest.File("var/lib/dpkg/status", "x"), archivetest.File("var/lib/dpkg/status-old", "x"), archivetest.File("var/lib/dpkg/lock", ""), archivetest.File("var/lib/dpkg/triggers/Lock", ""),
		archivetest.File("tmp/x", "x"), archivetest.Dir("run/"), archivetest.File("run/x", "x"),
	})
	for _, c := range []struct {
		keep keep
		want string
	}{
		{keepConfiguration, "etc/ etc/shadow etc/.wh.old var/log/ var/log/btmp var/cache/debconf/config.dat var/lib/dpkg/status run/"},
		{keepBytecode, "etc/ usr/lib/python3/__pycache__/ usr/lib/python3/__pycache__/a.cpython-311.pyc var/log/ run/"},
	} {
		w, err := createLayer(filepath.Join(t.TempDir(), "x.tar"), archivetest.Time)
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

// TestClosureWithoutCredentials: the mirror gets a password, and neither a closure nor the sources
// in a base have it.
func TestClosureWithoutCredentials(t *testing.T) {
	m := toy(t)
	root := m.AptRoot("bookworm")
	login := "machine " + m.URL + " login somebody password secret\n"
	if err := os.WriteFile(filepath.Join(root, "etc/apt/auth.conf"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	sources, err := archive.HostSources(root)
	if err != nil {
		t.Fatal(err)
	}
	d := debianOf(t, m, "bookworm")
	d.Sources = sources
	c, err := d.Resolve(t.Context(), Request{Arch: "amd64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, password, _ := m.Asked[0].BasicAuth(); password != "secret" {
		t.Error("the mirror didn't get the password: this test shows nothing")
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(data) + string(c.aptSources()); strings.Contains(text, "secret") || strings.Contains(text, "somebody") {
		t.Errorf("credentials got out: %s", text)
	}
}
