package exec_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// hello is the digest of a file.
const hello = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

// dirOf is the Dir that a manifest of these bytes would have, if its files have that size together.
func dirOf(manifest []byte, size int64) plan.Dir {
	return plan.Dir{Name: "d", Digest: plan.DigestOf(manifest), Size: size}
}

// read reads a manifest to its end.
func read(ctx context.Context, manifest []byte, d plan.Dir) (members []exec.Member, size int64, err error) {
	for m, err := range exec.ReadManifest(ctx, bytes.NewReader(manifest), d) {
		if err != nil {
			return members, size, err
		}
		members, size = append(members, m), size+m.Size
	}
	return members, size, nil
}

// TestManifest: these bytes are what a Dir's digest stands on, so they never change.
func TestManifest(t *testing.T) {
	const want = `{"path":"<&>\u2028\u0001\"\\","dir":true}
{"path":"a","digest":"` + hello + `","size":5}
{"path":"a-b","dir":true}
{"path":"a.x","executable":true,"digest":"` + hello + `"}
{"path":"b","dir":true}
{"path":"b/é","executable":true,"digest":"` + hello + `","size":7}
`
	var got bytes.Buffer
	w := exec.NewManifestWriter(&got)
	for _, m := range []exec.Member{
		{Path: "<&>\u2028\x01\"\\", Dir: true}, {Path: "a", Digest: hello, Size: 5}, {Path: "a-b", Dir: true}, {Path: "a.x", Executable: true, Digest: hello},
		{Path: "b", Dir: true}, {Path: "b/é", Executable: true, Digest: hello, Size: 7},
	} {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	if got.String() != want {
		t.Errorf("got %s\nwant %s", &got, want)
	}
	d := dirOf([]byte(want), 12)
	if w.Dir("d") != d {
		t.Errorf("got %+v, want %+v", w.Dir("d"), d)
	}
	if members, _, err := read(t.Context(), []byte(want), d); err != nil || len(members) != 6 {
		t.Errorf("read %d members, %v", len(members), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := read(ctx, []byte(want), d); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancellation: %v", err)
	}
	for _, wrong := range []plan.Dir{{Digest: hello, Size: 12}, {Digest: d.Digest, Size: 11}} {
		if members, _, err := read(t.Context(), []byte(want), wrong); err == nil || len(members) != 6 {
			t.Errorf("as %+v: read %d members, %v", wrong, len(members), err)
		}
	}
}

// TestManifestRefused: a manifest that no ManifestWriter writes isn't read, though its digest is
// right.
func TestManifestRefused(t *testing.T) {
	file := func(path string) string { return `{"path":"` + path + `","digest":"` + hello + `"}` + "\n" }
	dir := func(path string) string { return `{"path":"` + path + `","dir":true}` + "\n" }
	for name, manifest := range map[string]string{
		"not JSON":             "x\n",
		"empty line":           "\n",
		"no end of line":       strings.TrimSuffix(file("a"), "\n"),
		"other end of line":    strings.ReplaceAll(file("a"), "\n", "\r\n"),
		"cut":                  file("a")[:20],
		"two on a line":        strings.TrimSuffix(file("a"), "\n") + file("b"),
		"space":                strings.ReplaceAll(file("a"), ":", ": "),
		"other order":          `{"digest":"` + hello + `","path":"a"}` + "\n",
		"other case":           strings.ReplaceAll(file("a"), "path", "Path"),
		"unknown field":        `{"path":"a","dir":true,"mode":1}` + "\n",
		"field twice":          `{"path":"b","path":"a","dir":true}` + "\n",
		"false":                `{"path":"a","dir":true,"executable":false}` + "\n",
		"zero":                 `{"path":"a","digest":"` + hello + `","size":0}` + "\n",
		"escaped":              dir(`\u0061`),
		"not UTF-8":            dir("\xff"),
		"replaced":             dir(`\ud800`),
		"null":                 "null\n",
		"unsorted":             dir("b") + dir("a"),
		"twice":                dir("a") + dir("a"),
		"without directory":    file("a/b"),
		"below a file":         file("a") + file("a/b"),
		"below a file, apart":  file("a") + file("a-b") + file("a/b"),
		"no path":              `{"path":"","dir":true}` + "\n",
		"dot":                  dir("."),
		"up":                   dir("..") + file("../x"),
		"absolute":             file("/x"),
		"not clean":            dir("a") + file("a//b"),
		"slash at the end":     dir("a/"),
		"NUL":                  file(`\u0000`),
		"long name":            file(strings.Repeat("x", 256)),
		"long line":            file(strings.Repeat("x", 1<<20)),
		"no digest":            `{"path":"a"}` + "\n",
		"other digest":         `{"path":"a","digest":"sha256:ABC"}` + "\n",
		"negative size":        `{"path":"a","digest":"` + hello + `","size":-1}` + "\n",
		"size with a fraction": `{"path":"a","digest":"` + hello + `","size":1.5}` + "\n",
		"sizes too large":      `{"path":"a","digest":"` + hello + `","size":9223372036854775807}` + "\n" + `{"path":"b","digest":"` + hello + `","size":1}` + "\n",
		"directory of a size":  `{"path":"a","dir":true,"size":1}` + "\n",
		"directory's digest":   `{"path":"a","dir":true,"digest":"` + hello + `"}` + "\n",
		"link out":             `{"path":"a","link":"../x"}` + "\n",
		"absolute link":        `{"path":"a","link":"/x"}` + "\n",
		"link of a size":       `{"path":"a","size":1,"link":"b"}` + "\n",
		"link and directory":   `{"path":"a","dir":true,"link":"b"}` + "\n",
		"below a link":         dir("b") + `{"path":"l","link":"b"}` + "\n" + file("l/x"),
		"executable directory": `{"path":"a","dir":true,"executable":true}` + "\n",
	} {
		_, size, _ := read(t.Context(), []byte(manifest), plan.Dir{})
		if members, _, err := read(t.Context(), []byte(manifest), dirOf([]byte(manifest), size)); err == nil {
			t.Errorf("%s: read %+v", name, members)
		}
	}
	w := exec.NewManifestWriter(io.Discard)
	for _, m := range []exec.Member{{Path: "../x", Dir: true}, {Path: "a/b", Digest: hello}, {Path: "a"}, {Path: "a", Digest: hello, Size: -1}} {
		if err := w.Write(m); err == nil {
			t.Errorf("%+v is written", m)
		}
	}
}

// FuzzReadManifest: whatever is read can be written again, and is then the same bytes.
func FuzzReadManifest(f *testing.F) {
	f.Add([]byte(`{"path":"a","executable":true,"digest":"` + hello + `","size":5}` + "\n"))
	f.Add([]byte(`{"path":"d","dir":true}` + "\n" + `{"path":"d/\u2028é","digest":"` + hello + `"}` + "\n"))
	f.Add([]byte(`{"path":"../a","dir":true}` + "\n"))
	f.Add([]byte(`{"path":"a","dir":true}` + "\n" + `{"path":"l","link":"a/../a"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, size, _ := read(t.Context(), data, plan.Dir{})
		members, _, err := read(t.Context(), data, dirOf(data, size))
		if err != nil {
			return
		}
		var again bytes.Buffer
		w := exec.NewManifestWriter(&again)
		for _, m := range members {
			if err := w.Write(m); err != nil {
				t.Fatalf("%+v was read, but can't be written: %v", m, err)
			}
		}
		if !bytes.Equal(again.Bytes(), data) {
			t.Errorf("read %q, wrote %q", data, &again)
		}
	})
}

// TestVerify: content that isn't the file's is an error, at the latest where the file should end.
func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		content string
		size    int64
		ok      bool
	}{{"hello", 5, true}, {"hella", 5, false}, {"hell", 5, false}, {"hello!", 5, false}, {"hello", 4, false}, {"hello", 6, false}, {"", 0, false}} {
		for _, limit := range []int64{tt.size, 100} { // also for whoever reads no further than the size
			r := exec.Verify(t.Context(), io.NopCloser(strings.NewReader(tt.content)), plan.File{Name: "f", Digest: hello, Size: tt.size})
			data, err := io.ReadAll(io.LimitReader(r, limit))
			if limit == 0 {
				_, err = r.Read(make([]byte, 1))
			}
			if tt.ok != (err == nil) && !(limit == tt.size && len(tt.content) > int(tt.size) && string(data) == "hello") {
				t.Errorf("%q as %d bytes: read %q, %v", tt.content, tt.size, data, err)
			}
		}
	}
}
