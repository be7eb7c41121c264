package image

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/plan"
)

// entries writes a tar of files, with times, and links.
func entries(t *testing.T, list ...*tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range list {
		content := h.Linkname
		if h.Typeflag == 0 {
			h.Typeflag, h.Linkname, h.Size = tar.TypeReg, "", int64(len(content))
		}
		must(t, w.WriteHeader(h))
		if h.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, content)
			must(t, err)
		}
	}
	must(t, w.Close())
	return &b
}

// bytecode begins as Python's does.
func bytecode(flags uint32, mtime int64) string {
	b := binary.LittleEndian.AppendUint32([]byte("\xa7\r\r\n"), flags)
	return string(append(binary.LittleEndian.AppendUint32(b, uint32(mtime)), "size and code"...))
}

func TestNormalise(t *testing.T) {
	epoch := time.Unix(1_700_000_000, 0)
	old, late := epoch.Add(-time.Hour), epoch.Add(time.Hour)
	b := newBuilder(t, nil)
	l, err := b.store.layout.WriteLayer(t.Context(), func(w *oci.LayerWriter) error {
		return copyTar(w, entries(t,
			&tar.Header{Name: "etc/", Typeflag: tar.TypeDir, ModTime: late, Mode: 0o755},
			&tar.Header{Name: "etc/shadow", Linkname: "root:*:30000:0:99999:7:::\nold:*:10000:0:::::\n", ModTime: late},
			&tar.Header{Name: "etc/shadow-", Linkname: "backup"},
			&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777, ModTime: late},
			&tar.Header{Name: "tmp/x", Linkname: "x"},
			&tar.Header{Name: "usr/old", Linkname: "o", ModTime: old},
			&tar.Header{Name: "usr/new", Linkname: "n", ModTime: late, Uname: "someone"},
			&tar.Header{Name: "usr/.wh.gone", Linkname: ""},
			&tar.Header{Name: "usr/__pycache__/old.pyc", Linkname: bytecode(0, old.Unix()), ModTime: old},
			&tar.Header{Name: "usr/__pycache__/late.pyc", Linkname: bytecode(0, late.Unix()), ModTime: late},
			&tar.Header{Name: "usr/__pycache__/at.pyc", Linkname: bytecode(0, epoch.Unix()), ModTime: late},
			&tar.Header{Name: "usr/__pycache__/laid.pyc", Linkname: bytecode(0, oci.FileTime.Unix()), ModTime: late},
			&tar.Header{Name: "usr/__pycache__/hash.pyc", Linkname: bytecode(3, late.Unix()), ModTime: late},
			&tar.Header{Name: "usr/__pycache__/short.pyc", Linkname: "short", ModTime: late},
			&tar.Header{Name: "usr/late.pyc", Linkname: bytecode(0, late.Unix()), ModTime: late},
			&tar.Header{Name: "var/lib/apt/lists/", Typeflag: tar.TypeDir, ModTime: old, Mode: 0o755},
			&tar.Header{Name: "var/lib/apt/lists/index", Linkname: "i"},
			&tar.Header{Name: "var/log/dpkg.log", Linkname: "log"},
		), normalise(epoch))
	})
	must(t, err)
	r, err := b.store.layout.Open([]oci.Layer{l})[0].Uncompressed()
	must(t, err)
	defer r.Close()
	got := map[string]string{}
	must(t, copyTar(nil, r, func(h *tar.Header, r io.Reader) (bool, io.Reader, error) {
		data, err := io.ReadAll(r)
		got[h.Name] = h.ModTime.Sub(epoch).String() + h.Uname + " " + string(data)
		return false, nil, err
	}))
	want := map[string]string{
		"etc": "0s ", "etc/shadow": "0s root:*:19675:0:99999:7:::\nold:*:10000:0:::::\n", "tmp": "0s ", "usr/old": "-1h0m0s o", "usr/new": "0s n",
		"usr/__pycache__/old.pyc": "-1h0m0s " + bytecode(0, old.Unix()), "usr/__pycache__/hash.pyc": "0s " + bytecode(3, late.Unix()),
		"usr/__pycache__/short.pyc": "0s short", "usr/late.pyc": "0s " + bytecode(0, late.Unix()),
		"usr/.wh.gone": got["usr/.wh.gone"], "var/lib/apt/lists": "-1h0m0s ",
	}
	if diff := cmp.Diff(want, got); diff != "" || got["usr/.wh.gone"] == "" {
		t.Error(diff)
	}
	tr, err := b.store.layout.Forest([]oci.Layer{l})
	must(t, err)
	if !tr[0].Gone["usr/gone"] {
		t.Error("the whiteout isn't in the tree")
	}
}

func TestCopyTarRefuses(t *testing.T) {
	b := newBuilder(t, nil)
	for name, list := range map[string][]*tar.Header{
		"twice":                  {{Name: "a"}, {Name: "./a"}},
		"a link to what's gone":  {{Name: "a", Typeflag: tar.TypeLink, Linkname: "tmp/x"}},
		"not a tar after a file": nil,
	} {
		r := entries(t, list...)
		if list == nil {
			r = strings.NewReader(strings.Repeat("x", 1024))
		}
		if _, err := b.store.layout.WriteLayer(t.Context(), func(w *oci.LayerWriter) error { return copyTar(w, r, normalise(oci.FileTime)) }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFailedCommand(t *testing.T) {
	e := &process.Failed{Exit: exec.Exit{Code: 2}, Log: []string{"cc: not found", commandMark + "2"}}
	d := e.At(diag.Position{}, failedCommand(e, []string{"true", "make"}))
	if d.Msg != `command 2, "make", exited with 2` || len(d.Notes) != 1 || strings.Contains(d.Notes[0].Msg, commandMark) || !strings.Contains(d.Notes[0].Msg, "cc: not found") {
		t.Errorf("%s %v", d.Msg, d.Notes)
	}
}

func TestAptNames(t *testing.T) {
	for name, want := range map[string]bool{
		"gcc": true, "libstdc++6": true, "gcc=4:12.2.0-3": true, "libc6:amd64": true, "python3.11-venv": true,
		"-o": false, "./x.deb": false, "a b": false, "gcc-": false, "gcc/stable": false, "$(id)": false, "": false, "libjq.": true, "GCC": false, "gcc\n": false, "gcc\njq": false, "g*": false,
		"task^": false, "gcc=": false, "gcc=1*": false, "~nlib": false, "?true": false, "g++": true, "libc6:amd64=2.36-9": true,
	} {
		if got := plan.IsAptPackage(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
