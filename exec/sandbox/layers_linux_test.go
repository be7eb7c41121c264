package sandbox_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/exec/sandbox/inside"
	"github.com/flytestar/flytestar/exec/sandbox/sandboxtest"
)

// TestRepeatedLayers: an image may have a layer more than once, and empty ones.
func TestRepeatedLayers(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	empty := makeTar(t, nil)
	one := makeTar(t, []tarEntry{{name: "x", content: "1"}, {name: "y", content: "1"}})
	two := makeTar(t, []tarEntry{{name: "x", content: "2"}, {name: ".wh.y"}})
	for want, layers := range map[string][]exec.Layer{
		"1 1":  {empty, one, empty, empty},
		"2 -":  {one, two, two},
		"1 1 ": {one, two, one, empty},
		"2 - ": {one, two, one, two},
	} {
		c := script(t, `echo $(cat /x) $(cat /y 2>/dev/null || echo -)`)
		c.Layers = append(c.Layers, layers...)
		if exit, out := run(t, s, c); exit.Code != 0 || strings.TrimSpace(out) != strings.TrimSpace(want) {
			t.Errorf("got %+v %q, want %q", exit, out, want)
		}
	}
}

// TestUnmappedIDs: files of ids that containers don't have belong to nobody. The container's root
// can do with them what it can do with others, and what it changes is read.
func TestUnmappedIDs(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	layer := makeTar(t, []tarEntry{
		{name: "big", content: "1", uid: 100000, mode: 0o600}, {name: "dir/", kind: '5', uid: 1 << 30}, {name: "dir/f", uid: 70000},
		{name: "link", kind: '2', link: "big", uid: 200000}, {name: "pipe", kind: '6', uid: 200000}, {name: "last", uid: 65535},
	})
	var diff bytes.Buffer
	c := script(t, `set -e
stat -c '%u:%g %n' /big /dir /dir/f /link /pipe /last
chown 0:0 /big; echo 2 >>/big; mv /dir/f /dir/g; chmod 700 /dir; rm /link`)
	c.Layers = append(c.Layers, layer)
	c.Diff = &diff
	exit, out := run(t, s, c)
	want := "65534:65534 /big\n65534:65534 /dir\n65534:65534 /dir/f\n65534:65534 /link\n65534:65534 /pipe\n65535:65535 /last\n"
	if exit.Code != 0 || out != want {
		t.Errorf("got %+v\n%s", exit, out)
	}
	if got := strings.Join(describe(t, diff.Bytes()), "\n"); !strings.Contains(got, "big") || !strings.Contains(got, "dir/g") {
		t.Errorf("changes:\n%s", got)
	}
}

// TestUnpackLayers: an image can be unpacked before it runs, and one that can't be says why.
func TestUnpackLayers(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	good := makeTar(t, []tarEntry{{name: "x"}})
	if err := s.Unpack(t.Context(), []exec.Layer{good, good}); err != nil {
		t.Error(err)
	}
	bad := makeTar(t, []tarEntry{{name: "h", kind: '1', link: "none"}})
	if err := s.Unpack(t.Context(), []exec.Layer{good, bad}); err == nil || !strings.Contains(err.Error(), `entry "h": hard link to "none"`) {
		t.Errorf("got %v", err)
	}
}

// TestCallersDescriptors: what the caller of this program has left open isn't open in a container's
// first process.
func TestCallersDescriptors(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	f, err := os.Open("/etc/hostname")
	must(t, err)
	defer f.Close()
	const left = 700
	must(t, unix.Dup2(int(f.Fd()), left))
	defer unix.Close(left)
	c := script(t, "sleep 0.1")
	c.Started = func() {
		children, err := filepath.Glob("/proc/self/task/*/children")
		must(t, err)
		seen := 0
		for _, name := range children {
			data, _ := os.ReadFile(name)
			for _, pid := range strings.Fields(string(data)) {
				if cmd, _ := os.ReadFile("/proc/" + pid + "/cmdline"); !strings.HasPrefix(string(cmd), inside.Argv0) {
					continue
				}
				seen++
				if to, err := os.Readlink(fmt.Sprintf("/proc/%s/fd/%d", pid, left)); err == nil {
					t.Errorf("the first process has %s open", to)
				}
			}
		}
		if seen == 0 {
			t.Error("no first process was found")
		}
	}
	run(t, s, c)
}
