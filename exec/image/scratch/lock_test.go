package scratch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestSweep: who opens a scratch directory removes those of dead processes, and no others.
func TestSweep(t *testing.T) {
	parent := t.TempDir()
	guard := filepath.Join(t.TempDir(), "guard")
	first, err := Open(parent, guard)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(parent, "dead")
	for _, err := range []error{os.Mkdir(left, 0o755), os.WriteFile(left+".lock", nil, 0o644), os.WriteFile(left+"/file", nil, 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	second, err := Open(parent, guard)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{first.Path: true, second.Path: true, left: false, left + ".lock": false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Fatal(err)
	}
	if all, err := os.ReadDir(parent); err != nil || len(all) > 0 {
		t.Errorf("left behind: %v, %v", all, err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error)
	go func() {
		_, err := Lock(ctx, path)
		waited <- err
	}()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("a lock that is held: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if unlock, err = Lock(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// TestWriteFile leaves what was there, and no scratch, where it fails.
func TestWriteFile(t *testing.T) {
	tmp, path := t.TempDir(), filepath.Join(t.TempDir(), "a", "b")
	if err := WriteFile(tmp, path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(tmp, filepath.Dir(path), []byte("two")); err == nil {
		t.Error("a file replaces a directory")
	}
	if got, err := os.ReadFile(path); string(got) != "one" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
