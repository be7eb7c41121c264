package image

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/exec/image/oci"
	"github.com/flytestar/flytestar/plan"
)

func TestFiles(t *testing.T) {
	b := newBuilder(t, map[string]string{
		"run.sh*": "#!/bin/sh", "data.txt": "data",
		"app/main.py": "m", "app/lib/x.py": "x", "app/lib/skip.pyc": "c", "app/link": "-> lib/x.py", "app/.dockerignore": "secret\n", "app/secret": "s",
	})
	img := built(t, b, onNothing(
		plan.Step{Kind: plan.StepWorkdir, Name: "/srv"},
		plan.Step{Kind: plan.StepFile, Src: "run.sh", Dst: "bin/"},
		plan.Step{Kind: plan.StepFile, Src: "data.txt", Dst: "/etc/conf.txt"},
		plan.Step{Kind: plan.StepFolder, Src: "app", Dst: "app", Ignore: []string{"*.pyc"}},
	))
	want := map[string]string{
		"srv": "755 dir", "srv/bin": "755 dir", "srv/bin/run.sh": "755 #!/bin/sh", "etc": "755 dir", "etc/conf.txt": "644 data",
		"srv/app": "755 dir", "srv/app/main.py": "644 m", "srv/app/lib": "755 dir", "srv/app/lib/x.py": "644 x", "srv/app/link": "-> lib/x.py",
		"srv/app/.dockerignore": "644 secret\n",
	}
	if diff := cmp.Diff(want, listing(t, img)); diff != "" {
		t.Error(diff)
	}
}

// TestFilesOnBase lays files over a base whose /bin is a link and whose /tmp has a mode of its own.
func TestFilesOnBase(t *testing.T) {
	b := newBuilder(t, map[string]string{"tool*": "t", "d/bin/more*": "m", "d/tmp/x": "x"})
	base, err := b.store.layout.WriteLayer(t.Context(), func(w *oci.LayerWriter) error {
		for _, h := range []*tar.Header{
			{Typeflag: tar.TypeDir, Name: "usr", Mode: 0o755}, {Typeflag: tar.TypeDir, Name: "usr/bin", Mode: 0o755},
			{Typeflag: tar.TypeSymlink, Name: "bin", Linkname: "usr/bin"}, {Typeflag: tar.TypeSymlink, Name: "abs", Linkname: "/usr/bin/../bin"},
			{Typeflag: tar.TypeSymlink, Name: "loop", Linkname: "loop"}, {Typeflag: tar.TypeDir, Name: "tmp", Mode: 0o1777, Uid: 7},
		} {
			h.ModTime = oci.FileTime
			if err := w.Add(h, nil); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
	lay := func(step plan.Step) (string, error) {
		j := b.job(onNothing(), nil)
		l, err := j.filesLayer(t.Context(), &state{layers: []oci.Layer{base}}, step)
		if err != nil {
			return "", err
		}
		r, err := b.store.layout.Open([]oci.Layer{l})[0].Uncompressed()
		must(t, err)
		defer r.Close()
		var names []string
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if err == io.EOF {
				return strings.Join(names, " "), nil
			}
			must(t, err)
			names = append(names, h.Name)
			if h.Name == "tmp/" && (h.Mode != 0o1777 || h.Uid != 7) {
				t.Errorf("tmp has mode %o and owner %d", h.Mode, h.Uid)
			}
		}
	}
	for dst, want := range map[string]string{
		"/bin/tool": "usr/ usr/bin/ usr/bin/tool", "/abs/tool": "usr/ usr/bin/ usr/bin/tool", "/tmp/tool": "tmp/ tmp/tool", "/new/a/": "new/ new/a/ new/a/tool",
	} {
		if got, err := lay(plan.Step{Kind: plan.StepFile, Src: "tool", Dst: dst}); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", dst, got, err, want)
		}
	}
	got, err := lay(plan.Step{Kind: plan.StepFolder, Src: "d", Dst: "/"})
	if want := "usr/ usr/bin/ usr/bin/more tmp/ tmp/x"; err != nil || got != want {
		t.Errorf("folder over /: %s, %v; want %s", got, err, want)
	}
	for dst, want := range map[string]string{"/tmp": "is a directory", "/bin": "", "/loop/x": "too many symbolic links"} {
		_, err := lay(plan.Step{Kind: plan.StepFile, Src: "tool", Dst: dst})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", dst, err, want)
		}
	}
}

func TestFilesRefuse(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(outside, []byte("s"), 0o600))
	b := newBuilder(t, map[string]string{"d/out": "-> " + outside, "e/up": "-> ../../x", "ok": "x", "file-link": "-> " + outside})
	for name, s := range map[string]plan.Step{
		"absolute link":     {Kind: plan.StepFolder, Src: "d", Dst: "/d"},
		"link upwards":      {Kind: plan.StepFolder, Src: "e", Dst: "/e"},
		"link as file":      {Kind: plan.StepFile, Src: "file-link", Dst: "/f"},
		"path out":          {Kind: plan.StepFile, Src: "../x", Dst: "/f"},
		"directory as file": {Kind: plan.StepFile, Src: "d", Dst: "/f"},
		"missing":           {Kind: plan.StepFolder, Src: "none", Dst: "/f"},
		"root":              {Kind: plan.StepFile, Src: "ok", Dst: "/.."},
	} {
		if d, err := b.Build(t.Context(), onNothing(s), nil); err == nil {
			t.Errorf("%s: built %s", name, d)
		}
	}
}

func TestReproducible(t *testing.T) {
	img := onNothing(plan.Step{Kind: plan.StepFolder, Src: "d", Dst: "/d"}, plan.Step{Kind: plan.StepFile, Src: "d/a", Dst: "/x"})
	var digests []string
	for range 2 {
		b := newBuilder(t, map[string]string{"d/a": "a", "d/b/c*": "c"})
		d, err := b.Build(t.Context(), img, nil)
		must(t, err)
		digests = append(digests, string(d))
	}
	if digests[0] != digests[1] {
		t.Errorf("two homes, two digests: %s", digests)
	}
}
