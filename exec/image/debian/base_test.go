package debian_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/debian"
	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/sandbox"
)

// The tests in this file bootstrap real bases, from this machine's mirror, in
// containers. They skip, and say so, where one of them is missing.

// live returns a Debian that keeps everything below dir.
func live(t testing.TB, dir string) *debian.Debian {
	t.Helper()
	if testing.Short() {
		t.Skip("short: a base is a download of 40 MB")
	}
	sources, err := archive.HostSources("/")
	if err != nil {
		t.Skip("no mirror: ", err)
	}
	containers, err := sandbox.New(sandbox.Options{Home: dir})
	if err != nil {
		t.Skip("no sandbox: ", err)
	}
	d := &debian.Debian{Mirror: &archive.Mirror{Sources: sources, Cache: filepath.Join(dir, "cache")}, Sandbox: containers}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := d.Probe(ctx); err != nil {
		t.Skip("the mirror doesn't answer: ", err)
	}
	return d
}

func build(t testing.TB, d *debian.Debian, c *debian.Closure, dir string, watch exec.Watch) []exec.Layer {
	t.Helper()
	layers, err := d.Build(t.Context(), c, dir, watch)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]exec.Layer, len(layers))
	for i, l := range layers {
		all[i] = l
	}
	return all
}

func diffIDs(layers []exec.Layer) string {
	var ids []string
	for _, l := range layers {
		ids = append(ids, string(l.DiffID()))
	}
	return strings.Join(ids, " ")
}

// A base is the same bytes when it is built again, with nothing cached, and works.
func TestBase(t *testing.T) {
	d := live(t, t.TempDir())
	c, err := d.Resolve(t.Context(), debian.Request{Python: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	layers := build(t, d, c, t.TempDir(), nil)
	other := live(t, t.TempDir())
	if again := build(t, other, c, t.TempDir(), nil); diffIDs(layers) != diffIDs(again) {
		t.Errorf("built twice, it differs:\n%s\n%s", diffIDs(layers), diffIDs(again))
	}
	for _, cmd := range []struct{ script, want string }{
		{"apt-get check -qq && dpkg --audit && dpkg --verify", ""},
		{"dpkg-query -W -f '${db:Status-Abbrev}\\n' | sort -u", "ii"},
		{"python3 -c 'import ssl, json, sqlite3, sys; print(sys.version_info[0])'", "3"},
		{"python3 -v -c 'import json' 2>&1 | grep -E 'wrote|stale|matches .*json/__init__' | sed 's/.* matches .*/matches/'", "matches"},
		{"find /usr/lib/python3* -name '*.py' -newermt '" + c.Date.Add(time.Second).Format(time.RFC3339) + "'", ""},
		{"find /var/log /tmp /run -type f -size +0; find /var/lib/apt/lists -type f", ""},
		{"cut -d: -f3 /etc/shadow | sort -u", strconv.FormatInt(c.Date.Unix()/86400, 10)},
		{"stat -c %U:%G /var/mail /etc/shadow /usr/bin/passwd | paste -sd' '", "root:mail root:shadow root:root"},
		{"stat -c %a /tmp /usr/bin/passwd /root | paste -sd' '", "1777 4755 700"},
	} {
		if got := run(t, d, layers, cmd.script); got != cmd.want {
			t.Errorf("%s: got %q, want %q", cmd.script, got, cmd.want)
		}
	}
}

// run runs a script in a container of layers and returns what it printed.
func run(t *testing.T, d *debian.Debian, layers []exec.Layer, script string) string {
	t.Helper()
	var out bytes.Buffer
	var mu sync.Mutex
	w := writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return out.Write(p)
	})
	exit, err := d.Sandbox.Run(t.Context(), &exec.Container{
		Name: "test", Layers: layers, Args: []string{"/bin/sh", "-c", script},
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}, Stdout: w, Stderr: w,
	})
	if err != nil {
		t.Fatal(err)
	}
	if exit.Code > 1 { // grep says 1 where it finds nothing
		t.Errorf("%s: exit code %d", script, exit.Code)
	}
	return strings.TrimSpace(out.String())
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// BenchmarkColdBase makes a base with nothing cached, and reports seconds per
// phase. BASE_OUT, if set, is an empty directory to leave the layers in.
func BenchmarkColdBase(b *testing.B) {
	for range b.N {
		d := live(b, b.TempDir())
		out := os.Getenv("BASE_OUT")
		if out == "" {
			out = b.TempDir()
		}
		var p phases
		begin := time.Now()
		c, err := d.Resolve(b.Context(), debian.Request{Python: true}, p.watch)
		if err != nil {
			b.Fatal(err)
		}
		build(b, d, c, out, p.watch)
		p.end(time.Now())
		for _, phase := range p.all {
			b.ReportMetric(phase.took.Seconds(), "s:"+phase.name)
		}
		b.ReportMetric(time.Since(begin).Seconds(), "s:total")
		b.ReportMetric(0, "ns/op")
	}
}

// phases splits a build's time at the events that begin a step.
type phases struct {
	mu    sync.Mutex
	all   []phase
	begin time.Time
}

type phase struct {
	name string
	took time.Duration
}

func (p *phases) watch(e exec.Event) {
	name := strings.ReplaceAll(e.Step[strings.Index(e.Step, ": ")+2:], " ", "-")
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.all); n == 0 || p.all[n-1].name != name {
		p.close(e.Time)
		p.all = append(p.all, phase{name: name})
		p.begin = e.Time
	}
}

func (p *phases) close(at time.Time) {
	if n := len(p.all); n > 0 {
		p.all[n-1].took = at.Sub(p.begin)
	}
}

func (p *phases) end(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.close(at)
}
