package durable_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/flytestar/flytestar/internal/durable"
)

// TestUnswept: what can't be removed keeps nobody from working, and what else lies there goes.
func TestUnswept(t *testing.T) {
	parent := t.TempDir()
	busy, dead := filepath.Join(parent, "busy"), filepath.Join(parent, "dead")
	must(t, os.MkdirAll(filepath.Join(busy, "mounted"), 0o755))
	must(t, os.Mkdir(dead, 0o755))
	if err := syscall.Mount("none", filepath.Join(busy, "mounted"), "tmpfs", 0, ""); err != nil {
		t.Skipf("needs to mount: %v", err)
	}
	defer syscall.Unmount(filepath.Join(busy, "mounted"), 0)
	s, err := durable.OpenScratch(parent)
	must(t, err)
	defer s.Close()
	if s.Unswept() == nil {
		t.Error("nothing says that a directory is still there")
	}
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("the other one is still there: %v", err)
	}
}
