package sandbox_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/exectest"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/exec/sandbox/sandboxtest"
)

// tarEntry is an entry of a tar that a test makes. Without a kind it is a regular file.
type tarEntry struct {
	name, content, link string
	kind                byte
	mode                int64
	uid                 int
	pax                 map[string]string
}

// makeTar makes a tar of any entries, however odd.
func makeTar(t testing.TB, entries []tarEntry) exectest.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{
			Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Uid: e.uid, Gid: e.uid, PAXRecords: e.pax,
			Size: int64(len(e.content)), ModTime: time.Unix(1e9, 0),
		}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if e.mode == 0 {
			h.Mode = 0o755
		}
		must(t, w.WriteHeader(h))
		_, err := io.WriteString(w, e.content)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// describe lists a tar: kind, mode, owner, name, content or link, attributes.
func describe(t testing.TB, data []byte) []string {
	t.Helper()
	var lines []string
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		line := fmt.Sprintf("%c %04o %d:%d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name)
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if len(content) > 0 {
			line += fmt.Sprintf(" %q", content)
		}
		for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
			line += fmt.Sprintf(" %s=%x", strings.TrimPrefix(k, "SCHILY.xattr."), h.PAXRecords[k])
		}
		lines = append(lines, line)
	}
}

// setcap is a file capability (cap_net_raw+ep) in the form that a layer has.
const setcap = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// below returns layers for the container to change.
func below(t testing.TB) []exec.Layer {
	return append(exectest.Image(t).Layers, makeTar(t, []tarEntry{
		{name: "keep/", kind: tar.TypeDir}, {name: "keep/a", content: "a"}, {name: "keep/cap", content: "c", pax: map[string]string{"SCHILY.xattr.security.capability": setcap}},
		{name: "gone/", kind: tar.TypeDir}, {name: "gone/a", content: "a"},
		{name: "opaque/", kind: tar.TypeDir}, {name: "opaque/old", content: "old"},
		{name: "mode/", kind: tar.TypeDir, mode: 0o700}, {name: "touched/", kind: tar.TypeDir},
		{name: "owned", content: "o", uid: 1000, mode: 0o640}, {name: "sub/deep/", kind: tar.TypeDir}, {name: "sub/deep/x", content: "x"},
		{name: "hard1", content: "h"}, {name: "hard2", kind: tar.TypeLink, link: "hard1"},
	}))
}

const changes = `set -e
	echo new > /new; chmod 4750 /new
	chown 1000:1000 /owned
	mkdir /dir; echo x > /dir/x; ln /dir/x /dir/y; ln -s ../nowhere /dir/link; mkfifo /dir/fifo
	echo b >> /keep/a; chmod 700 /keep/cap
	rm -r /gone; rm /hard1
	rm -r /opaque; mkdir /opaque; echo n > /opaque/new
	chmod 711 /mode
	touch /touched/x; rm /touched/x
	mkdir /empty
	echo a > /dir.a; echo d > /dir-a
	echo x > /dev/shm/x; echo tmp > /tmp/t; chmod 1777 /tmp
	cat /run/secrets/token > /dev/null
	echo out > /mnt/out/x`

// diffOf runs changes in a container and returns the layer of its changes.
func diffOf(t *testing.T, s *sandbox.Sandbox) []byte {
	t.Helper()
	var diff bytes.Buffer
	c := script(t, changes)
	c.Layers, c.Diff = below(t), &diff
	c.Mounts = []exec.Mount{{Source: t.TempDir(), Target: "/mnt/out", Writable: true}, {Source: t.TempDir(), Target: "/sub/deep/point"}}
	c.Files = []exec.File{{Path: "/run/secrets/token", Mode: 0o600, Data: []byte("t")}, {Path: "/etc/mounted", Mode: 0o644}}
	if exit, out := run(t, s, c); exit.Code != 0 {
		t.Fatalf("%+v: %s", exit, out)
	}
	return diff.Bytes()
}

// TestDiff: the layer has what the process changed, and nothing that the sandbox did.
func TestDiff(t *testing.T) {
	for _, runtime := range []string{"", "runc"} {
		t.Run("runtime "+runtime, func(t *testing.T) {
			if runtime != "" {
				sandboxtest.Program(t)
			}
			s := sandboxtest.New(t, sandbox.Options{Runtime: runtime})
			diff := diffOf(t, s)
			want := []string{
				`0 0644 0:0 .wh.gone`,
				`0 0644 0:0 .wh.hard1`,
				`0 0644 0:0 dir-a "d\n"`,
				`0 0644 0:0 dir.a "a\n"`,
				`5 0755 0:0 dir/`,
				`6 0644 0:0 dir/fifo`,
				`2 0777 0:0 dir/link -> ../nowhere`,
				`0 0644 0:0 dir/x "x\n"`,
				`1 0644 0:0 dir/y -> dir/x`,
				`5 0755 0:0 empty/`,
				`5 0755 0:0 keep/`,
				`0 0755 0:0 keep/a "ab\n"`,
				`0 0700 0:0 keep/cap "c" security.capability=` + fmt.Sprintf("%x", setcap),
				`5 0711 0:0 mode/`,
				`0 4750 0:0 new "new\n"`,
				`5 0755 0:0 opaque/`,
				`0 0644 0:0 opaque/.wh..wh..opq`,
				`0 0644 0:0 opaque/new "n\n"`,
				`0 0640 1000:1000 owned "o"`,
				`5 1777 0:0 tmp/`,
				`0 0644 0:0 tmp/t "tmp\n"`,
			}
			got := describe(t, diff)
			for i, line := range got { // the mode of a whiteout doesn't matter
				if strings.Contains(line, ".wh.") {
					got[i] = "0 0644" + line[6:]
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("want, got: %s", d)
			}
			laidOver(t, s, diff)
		})
	}
}

// laidOver checks that the layer, on top of the others, gives what the process left.
func laidOver(t *testing.T, s *sandbox.Sandbox, diff []byte) {
	t.Helper()
	c := script(t, `set -e
		cd /; test ! -e gone; test ! -e hard1; cat hard2; echo; ls opaque; cat keep/a; ls dir
		stat -c '%h %a %u' dir/x; stat -c '%a' new mode keep/cap; ls -A mnt run sub/deep 2>/dev/null || true`)
	c.Layers = append(below(t), exectest.Layer(diff))
	exit, out := run(t, s, c)
	want := "h\nnew\nab\nfifo\nlink\nx\ny\n2 644 0\n4750\n711\n700\nsub/deep:\nx\n"
	if exit.Code != 0 || strings.ReplaceAll(out, "\n\n", "\n") != want {
		t.Errorf("laid over: %+v %q, want %q", exit, out, want)
	}
}

// TestDiffNothing: a process that changes nothing leaves an empty layer. A process that fails
// leaves none.
func TestDiffNothing(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	var diff bytes.Buffer
	c := script(t, "cat /etc/hosts /in/x 2>/dev/null; ls / > /dev/null")
	c.Diff, c.Mounts = &diff, []exec.Mount{{Source: t.TempDir(), Target: "/in/deep/er"}}
	if exit, out := run(t, s, c); exit.Code != 0 {
		t.Fatalf("%+v %s", exit, out)
	}
	if got := describe(t, diff.Bytes()); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	diff.Reset()
	c = script(t, "echo x > /x; exit 3")
	c.Diff = &diff
	if run(t, s, c); diff.Len() != 0 {
		t.Errorf("a failed process left %d bytes", diff.Len())
	}
}

// TestDiffReproducible: the same changes give the same layer, but for times.
func TestDiffReproducible(t *testing.T) {
	s := sandboxtest.New(t, sandbox.Options{})
	if d := cmp.Diff(describe(t, diffOf(t, s)), describe(t, diffOf(t, s))); d != "" {
		t.Error(d)
	}
}
