package durable_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/flytestar/flytestar/internal/durable"
)

// holder is set in a process of this test that locks things in a directory until it is killed.
const holder = "FLYTESTAR_TEST_LOCK_HOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holder); dir != "" {
		hold(dir)
	}
	os.Exit(m.Run())
}

// hold locks a file, opens a scratch directory and begins a file, says so, and waits.
func hold(dir string) {
	_, err1 := durable.TryLock(filepath.Join(dir, "lock"))
	s, err2 := durable.OpenScratch(filepath.Join(dir, "scratch"))
	f, err3 := durable.Create(dir)
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err)
	}
	fmt.Println(filepath.Base(s.Path()), filepath.Base(f.Name()))
	os.Stdin.Read(make([]byte, 1)) // until the parent is gone
	os.Exit(0)
}

// startHolder starts a process that holds locks in dir. kill ends it.
func startHolder(t *testing.T, dir string) (scratch, file string, kill func()) {
	t.Helper()
	cmd := osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holder+"="+dir)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = fmt.Fscan(stdout, &scratch, &file)
	must(t, err)
	return scratch, file, sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
		stdin.Close()
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestKilled: locks end with the process that has them, and only then sweeps take what it left.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	scratch, file, kill := startHolder(t, dir)
	defer kill()
	if _, err := durable.TryLock(filepath.Join(dir, "lock")); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("locking what another process has locked: %v", err)
	}
	if got, err := durable.Sweep(filepath.Join(dir, "scratch")); err != nil || len(got) > 0 {
		t.Errorf("swept what is in use: %q, %v", got, err)
	}
	if got, err := durable.SweepFiles(dir); err != nil || len(got) > 0 {
		t.Errorf("swept what is being written: %q, %v", got, err)
	}
	kill()
	l, err := durable.TryLock(filepath.Join(dir, "lock"))
	must(t, err)
	must(t, l.Unlock())
	if got, err := durable.Sweep(filepath.Join(dir, "scratch")); err != nil || len(got) != 1 || filepath.Base(got[0]) != scratch {
		t.Errorf("swept %q, %v, want %s", got, err, scratch)
	}
	if got, err := durable.SweepFiles(dir); err != nil || len(got) != 1 || filepath.Base(got[0]) != file {
		t.Errorf("swept %q, %v, want %s", got, err, file)
	}
	if left := names(t, dir); left != "lock scratch" {
		t.Errorf("left: %s", left)
	}
}

// names lists a directory.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

// TestWaitLock: of many that wait for a lock, one has it at a time. Waiting ends with the context.
func TestWaitLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var wg sync.WaitGroup
	inside, total := 0, 0 // without a mutex: the lock guards them
	for range 20 {
		wg.Go(func() {
			l, err := durable.WaitLock(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if inside++; inside != 1 {
				t.Errorf("%d have the lock", inside)
			}
			total++
			inside--
			if err := l.Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if total != 20 {
		t.Errorf("%d had the lock", total)
	}
	l, err := durable.TryLock(path)
	must(t, err)
	defer l.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := durable.WaitLock(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting after cancellation: %v", err)
	}
	if _, err := durable.TryLockDir(filepath.Join(filepath.Dir(path), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("locking a directory that is missing: %v", err)
	}
}

// TestWriteFile: a file is replaced whole, with its mode, and directories above it are made.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "file")
	for content, mode := range map[string]fs.FileMode{"first": 0o644, "second": 0o600, "": 0o555} {
		must(t, durable.WriteFile(path, []byte(content), mode))
		check(t, path, content, mode)
	}
	s, err := durable.OpenScratch(filepath.Join(dir, "tmp"))
	must(t, err)
	must(t, s.WriteFile(path, []byte("third"), 0o640))
	check(t, path, "third", 0o640)
	must(t, os.Mkdir(filepath.Join(dir, "full"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "full", "x"), nil, 0o644))
	if err := s.WriteFile(filepath.Join(dir, "full"), nil, 0o644); err == nil {
		t.Error("a directory was replaced")
	}
	if err := durable.WriteFile(filepath.Join(path, "below"), nil, 0o644); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("writing below a file: %v", err)
	}
	if left := names(t, s.Path()); left != "" {
		t.Errorf("left in the scratch directory: %s", left)
	}
	must(t, s.Close())
	if got := names(t, dir) + "; " + names(t, filepath.Dir(path)) + "; " + names(t, filepath.Join(dir, "tmp")); got != "a full tmp; file; " {
		t.Errorf("left: %s", got)
	}
}

func check(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if string(data) != content || info.Mode() != mode {
		t.Errorf("got %q with mode %v, want %q with %v", data, info.Mode(), content, mode)
	}
}

// TestCreateIn: a file within a root can't be put outside of it.
func TestCreateIn(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "in"), 0o755))
	must(t, os.Symlink("..", filepath.Join(dir, "in", "out")))
	root, err := os.OpenRoot(filepath.Join(dir, "in"))
	must(t, err)
	defer root.Close()
	f, err := durable.CreateIn(root, ".")
	must(t, err)
	_, err = f.WriteString("x")
	must(t, err)
	for _, path := range []string{"../x", "out/x"} {
		if err := f.Commit(path, 0o644); err == nil {
			t.Errorf("%s was written", path)
		}
	}
	must(t, f.Commit("new/x", 0o644))
	must(t, f.Close())
	check(t, filepath.Join(dir, "in", "new", "x"), "x", 0o644)
	if f, err = durable.CreateIn(root, "new"); err != nil {
		t.Fatal(err)
	}
	must(t, f.Close())
	if got := names(t, dir) + "; " + names(t, filepath.Join(dir, "in", "new")); got != "in; x" {
		t.Errorf("left: %s", got)
	}
}

// TestSweep: what a sweep meets in its directory goes, whatever it is, and nothing outside of it.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	parent, other := filepath.Join(dir, "parent"), filepath.Join(dir, "other")
	must(t, os.MkdirAll(filepath.Join(parent, "dead", "deep"), 0o755))
	must(t, os.WriteFile(filepath.Join(parent, "dead", "deep", "file"), nil, 0o400))
	must(t, os.Chmod(filepath.Join(parent, "dead", "deep"), 0o000))
	must(t, os.WriteFile(filepath.Join(parent, "file"), nil, 0o644))
	must(t, syscall.Mkfifo(filepath.Join(parent, "pipe"), 0o644))
	must(t, os.Mkdir(other, 0o755))
	must(t, os.WriteFile(filepath.Join(other, "kept"), nil, 0o644))
	must(t, os.Symlink("../other", filepath.Join(parent, "link")))
	if got, err := durable.SweepFiles(parent); err != nil || len(got) > 0 {
		t.Errorf("swept files that have names: %q, %v", got, err)
	}
	var wg sync.WaitGroup
	for range 8 { // the same place for all, so that sweeps meet directories that are being made
		wg.Go(func() {
			for range 20 {
				s, err := durable.OpenScratch(parent)
				if err == nil {
					_, err = os.Stat(s.Path())
					err = errors.Join(err, s.Close())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := names(t, parent) + "; " + names(t, other); got != "; kept" {
		t.Errorf("left: %s", got)
	}
	if got, err := durable.Sweep(filepath.Join(dir, "none")); err != nil || len(got) > 0 {
		t.Errorf("a directory that is missing: %q, %v", got, err)
	}
}
