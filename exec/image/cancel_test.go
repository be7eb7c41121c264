package image_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image"
	"github.com/flytestar/flytestar/exec/sandbox"
	"github.com/flytestar/flytestar/plan"
)

// interrupted is a sandbox that calls cancel in the midst of a container, once: when its process
// has said "started", or when it writes what changed.
type interrupted struct {
	exec.Sandbox
	inDiff  bool
	cancel  func()
	running atomic.Int32
	let     atomic.Bool // containers find /run/go, and so end by themselves
}

// Run implements [exec.Sandbox].
func (s *interrupted) Run(ctx context.Context, c *exec.Container) (*exec.Exit, error) {
	s.running.Add(1)
	defer s.running.Add(-1)
	if s.let.Load() {
		c.Files = append(c.Files, exec.File{Path: "/run/go", Mode: 0o644})
		return s.Sandbox.Run(ctx, c)
	}
	if s.inDiff {
		c.Files = append(c.Files, exec.File{Path: "/run/go", Mode: 0o644})
		c.Diff = &tripwire{Writer: c.Diff, trip: s.cancel}
	} else {
		c.Stdout = &tripwire{Writer: c.Stdout, word: "started", trip: s.cancel}
	}
	return s.Sandbox.Run(ctx, c)
}

// tripwire calls trip when a word is written through it; any write will do where there is no word.
type tripwire struct {
	io.Writer
	word string
	trip func()
	once sync.Once
	seen bytes.Buffer
}

// Write implements io.Writer.
func (w *tripwire) Write(p []byte) (int, error) {
	w.seen.Write(p[:min(len(p), 1<<10)])
	if strings.Contains(w.seen.String(), w.word) {
		w.once.Do(w.trip)
	}
	return w.Writer.Write(p)
}

// TestCancelledMidway ends a build while a command runs, and while the layer of a command is
// written. exec.Builder says what must be so then: nothing runs any more, no blob is half-written.
// And the next build of the same image succeeds.
func TestCancelledMidway(t *testing.T) {
	for name, inDiff := range map[string]bool{"while a command runs": false, "while its layer is written": true} {
		t.Run(name, func(t *testing.T) { cancelMidway(t, inDiff) })
	}
}

func cancelMidway(t *testing.T, inDiff bool) {
	home, workspace := t.TempDir(), busyboxWorkspace(t)
	real, err := sandbox.New(sandbox.Options{Home: home})
	if err != nil {
		t.Skipf("no sandbox here: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	mark := "mark-" + rand.Text() // in the command line of whatever runs for this build
	ran := false
	containers := &interrupted{Sandbox: real, inDiff: inDiff, cancel: func() {
		ran = len(running(t, mark)) > 0
		cancel()
	}}
	b, err := image.NewBuilder(image.Options{Home: home, Workspace: workspace, Sandbox: containers, Environ: []string{}})
	must(t, err)
	defer func() { must(t, b.Close()) }()
	img := onBusybox("cat /bin/sh /bin/sh /bin/sh /bin/sh > /big; test -e /run/go || { echo started; sh -c 'sleep 1000; : " + mark + "'; }")

	_, err = b.Build(ctx, img, nil)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the cancelled build: %v", err)
	}
	if n := containers.running.Load(); n != 0 {
		t.Errorf("%d containers are still running", n)
	}
	if !ran && !inDiff {
		t.Error("the command wasn't seen while it ran: this test wouldn't see what is left of it")
	}
	if left := running(t, mark); len(left) > 0 {
		t.Errorf("still running: %q", left)
	}
	wholeBlobs(t, b.Layout())
	if left, err := filepath.Glob(filepath.Join(home, "tmp", "images", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("scratch is left behind: %v, %v", left, err)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(mounts, []byte(home)) {
		t.Errorf("something is still mounted below %s, %v", home, err)
	}

	containers.let.Store(true)
	digest, err := b.Build(t.Context(), img, nil)
	must(t, err)
	image.Validated(t, b, string(digest))
	wholeBlobs(t, b.Layout())
}

// busyboxWorkspace is a workspace with a static shell, or skips the test.
func busyboxWorkspace(t *testing.T) *os.Root {
	t.Helper()
	busybox, err := osexec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox isn't installed")
	}
	data, err := os.ReadFile(busybox)
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "busybox"), data, 0o755))
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}

// onBusybox declares an image of a command on a static shell.
func onBusybox(command string) plan.BuildImage {
	steps := []plan.Step{{Kind: plan.StepCommands, Commands: []string{command}}}
	for _, name := range []string{"sh", "cat", "test", "sleep"} {
		steps = append([]plan.Step{{Kind: plan.StepFile, Src: "busybox", Dst: "/bin/" + name}}, steps...)
	}
	return image.Declare(plan.Image{Base: plan.Base{Kind: plan.BaseScratch}, Steps: steps})
}

// running returns the command lines that have mark in them.
func running(t *testing.T, mark string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, name := range lines {
		if line, err := os.ReadFile(name); err == nil && bytes.Contains(line, []byte(mark)) {
			found = append(found, string(line))
		}
	}
	return found
}

// wholeBlobs checks that each blob of a layout has the digest that it is named by.
func wholeBlobs(t *testing.T, layout string) {
	t.Helper()
	blobs, err := filepath.Glob(filepath.Join(layout, "blobs", "sha256", "*"))
	must(t, err)
	if len(blobs) == 0 {
		t.Error("the layout has no blobs")
	}
	for _, name := range blobs {
		data, err := os.ReadFile(name)
		must(t, err)
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != filepath.Base(name) {
			t.Errorf("blob %s has another content", filepath.Base(name))
		}
	}
}
