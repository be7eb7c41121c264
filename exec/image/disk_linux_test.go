package image

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// TestDiskFull builds on a file system that is too small: an error of the
// machine, and nothing half-written.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts a small tmpfs, which needs root")
	}
	home := t.TempDir()
	if err := syscall.Mount("tmpfs", home, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("can't mount a tmpfs: %v", err)
	}
	defer syscall.Unmount(home, syscall.MNT_DETACH)
	b := newBuilder(t, map[string]string{"big": string(sample(8 << 20)), "small": "x"})
	own, err := NewBuilder(Options{Home: home, Workspace: b.opts.Workspace})
	must(t, err)
	_, err = own.Build(t.Context(), onNothing(plan.Step{Kind: plan.StepFile, Src: "big", Dst: "/big"}), nil)
	var e *diag.Error
	if !errors.As(err, &e) || e.Class != diag.System || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %#v", err)
	}
	for _, dir := range []string{"/images/blobs/sha256", "/index", "/resolved"} {
		if left, err := os.ReadDir(home + dir); err != nil || len(left) > 0 {
			t.Errorf("%s has %v, %v", dir, left, err)
		}
	}
	built(t, own, onNothing(plan.Step{Kind: plan.StepFile, Src: "small", Dst: "/small"}))
	must(t, own.Close())
}
