package exectest

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// Layer is an uncompressed tar as a layer of an image.
type Layer []byte

var _ exec.Layer = Layer(nil)

// DiffID implements exec.Layer.
func (l Layer) DiffID() plan.Digest {
	return plan.DigestOf(l)
}

// Uncompressed implements exec.Layer.
func (l Layer) Uncompressed() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(l)), nil }

// Images has images by digest.
type Images map[plan.Digest]*exec.Image

var _ exec.Images = Images(nil)

// Image implements exec.Images.
func (i Images) Image(_ context.Context, digest plan.Digest) (*exec.Image, error) {
	img, ok := i[digest]
	if !ok {
		return nil, fmt.Errorf("the test has no image %q", digest)
	}
	return img, nil
}

// tools are the programs that [Image] and the suite use.
var tools = strings.Fields("cat chmod cp dd echo env false find grep hostname id kill ln ls mkdir mkfifo mv nc nproc pwd rm seq setsid sh sleep sort stat test touch true wc yes")

// Image returns a small image with a shell and the usual tools, made of this
// machine's busybox. The test is skipped where there is no static one.
func Image(t testing.TB) *exec.Image {
	t.Helper()
	path, err := osexec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox, statically linked (Debian: busybox-static)")
	}
	if f, err := elf.Open(path); err != nil || f.Section(".interp") != nil {
		t.Skipf("%s isn't statically linked (Debian: busybox-static)", path)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, content string) {
		h.Size, h.Format = int64(len(content)), tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin/", "etc/", "root/"} {
		add(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, "")
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, "")
	add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755}, string(program))
	for _, tool := range tools {
		add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + tool, Linkname: "busybox"}, "")
	}
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, "root:x:0:0::/root:/bin/sh\nworker:x:1000:1000::/tmp:/bin/sh\nguest:x:1001:1001::/root:/bin/sh\nhomeless:x:1002:1002::/nowhere:/bin/sh")
	add(tar.Header{Typeflag: tar.TypeReg, Name: "etc/group", Mode: 0o644}, "root:x:0:\nworker:x:1000:\n")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer := Layer(b.Bytes())
	return &exec.Image{Digest: layer.DiffID(), Layers: []exec.Layer{layer}, Env: []string{"FROM_IMAGE=image", "BOTH=image"}}
}
