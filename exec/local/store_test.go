package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/local"
	"github.com/flytestar/flytestar/plan"
)

func openStore(t *testing.T, dir string) *local.Store {
	t.Helper()
	s, err := local.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// entry is a file of a tree.
func entry(path, content string, executable bool) exec.Entry {
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	return exec.Entry{Path: path, Executable: executable, Open: open}
}

func TestStoreFile(t *testing.T) {
	s := openStore(t, t.TempDir())
	f, err := s.PutFile(t.Context(), "a.txt", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	want := plan.File{Name: "a.txt", Digest: "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", Size: 5}
	if f != want {
		t.Errorf("got %+v, want %+v", f, want)
	}
	r, err := s.Open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); err != nil || string(data) != "hello" {
		t.Errorf("read %q, %v", data, err)
	}
	path, err := s.Path(f)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o444 {
		t.Errorf("%v, %v; want mode 0444", info, err)
	}
}

func TestStoreRefuses(t *testing.T) {
	s := openStore(t, t.TempDir())
	gone := plan.File{Name: "x", Digest: "sha256:" + strings.Repeat("a", 64)}
	if _, err := s.Open(t.Context(), gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening what isn't there: %v", err)
	}
	if _, err := s.Path(plan.Dir(gone)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("path of what isn't there: %v", err)
	}
	for _, digest := range []string{"", "sha256:../../../../etc/passwd", "sha256:" + strings.Repeat("A", 64), strings.Repeat("a", 71)} {
		if _, err := s.Open(t.Context(), plan.File{Name: "x", Digest: digest}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opening %q: %v; want it refused", digest, err)
		}
		if _, err := s.Path(plan.Dir{Name: "x", Digest: digest}); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("path of %q: %v; want it refused", digest, err)
		}
	}
	f, err := s.PutFile(t.Context(), "x", strings.NewReader("12"))
	if err != nil {
		t.Fatal(err)
	}
	f.Size = 3
	if r, err := s.Open(t.Context(), f); err == nil {
		r.Close()
		t.Error("a file of another size is opened")
	}
	for _, name := range []string{"", ".", "..", "a/b", "a\x00"} {
		if _, err := s.PutFile(t.Context(), name, strings.NewReader("")); err == nil {
			t.Errorf("a file named %q is kept", name)
		}
	}
	for _, tree := range [][]exec.Entry{
		{entry("../x", "", false)}, {entry("/x", "", false)}, {entry(".", "", false)}, {entry("a//b", "", false)}, {entry("a\x00", "", false)},
		{entry("a", "", false), entry("a", "", false)}, {entry("a", "", false), entry("a/b", "", false)}, {entry("a/b", "", false), entry("a", "", false)},
		{{Path: "a", Dir: true}, entry("a", "", false)},
	} {
		if _, err := s.PutDir(t.Context(), "d", tree); err == nil {
			t.Errorf("the tree %q … is kept", tree[0].Path)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.PutFile(ctx, "x", strings.NewReader("other")); !errors.Is(err, context.Canceled) {
		t.Errorf("putting after cancellation: %v", err)
	}
}

func TestStoreDir(t *testing.T) {
	s := openStore(t, t.TempDir())
	tree := []exec.Entry{entry("b/run", "#!", true), entry("b/data", "#!", false), {Path: "empty", Dir: true}, entry("a", "", false)}
	d, err := s.PutDir(t.Context(), "tree", tree)
	if err != nil {
		t.Fatal(err)
	}
	if d.Size != 4 || d.Name != "tree" {
		t.Errorf("got %+v", d)
	}
	tree[0], tree[3] = tree[3], tree[0]
	same, err := s.PutDir(t.Context(), "tree", append(tree, exec.Entry{Path: "b", Dir: true}))
	if err != nil || same != d {
		t.Errorf("in another order: %+v, %v; want %+v", same, err, d)
	}
	other, err := s.PutDir(t.Context(), "tree", []exec.Entry{entry("b/run", "#!", false), entry("b/data", "#!", false), {Path: "empty", Dir: true}, entry("a", "", false)})
	if err != nil || other.Digest == d.Digest {
		t.Errorf("an executable bit doesn't count: %+v, %v", other, err)
	}
	path, err := s.Path(d)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		rel, _ := filepath.Rel(path, p)
		got = append(got, fmt.Sprintf("%s %v", rel, info.Mode()))
		return err
	})
	want := ". dr-xr-xr-x, a -r--r--r--, b dr-xr-xr-x, b/data -r--r--r--, b/run -r-xr-xr-x, empty dr-xr-xr-x"
	if err != nil || strings.Join(got, ", ") != want {
		t.Errorf("got %s, %v; want %s", strings.Join(got, ", "), err, want)
	}
	if again, err := s.Path(d); err != nil || again != path {
		t.Errorf("the second time: %s, %v", again, err)
	}
}

// TestStoreConcurrent: several users of one store, as several processes would be, keep and lay out the same.
func TestStoreConcurrent(t *testing.T) {
	dir := t.TempDir()
	stores := []*local.Store{openStore(t, dir), openStore(t, dir)}
	var wg sync.WaitGroup
	for i := range 40 {
		s := stores[i%2]
		wg.Go(func() {
			d, err := s.PutDir(t.Context(), "d", []exec.Entry{entry("a/b", "same", false), entry("c", fmt.Sprint(i/4), true)})
			if err != nil {
				t.Error(err)
				return
			}
			path, err := s.Path(d)
			if err != nil {
				t.Error(err)
				return
			}
			if data, err := os.ReadFile(filepath.Join(path, "c")); err != nil || string(data) != fmt.Sprint(i/4) {
				t.Errorf("read %q, %v", data, err)
			}
		})
	}
	wg.Wait()
	left, err := filepath.Glob(filepath.Join(dir, "tmp", "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the scratch directories: %q, %v", left, err)
	}
}

// storeWriter is set in a process of this test that does nothing but write to a store.
const storeWriter = "FLYTESTAR_TEST_STORE_WRITER"

// init, not TestMain, which is the sandbox's.
func init() {
	if dir := os.Getenv(storeWriter); dir != "" {
		writeForever(dir)
	}
}

// writeForever keeps files and directories in the store in dir until it is killed.
func writeForever(dir string) {
	s, err := local.OpenStore(dir)
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		content := strings.Repeat(fmt.Sprint(i), 50_000)
		d, err := s.PutDir(context.Background(), "d", []exec.Entry{entry("a/b", content, false), entry("x", content, true)})
		if err == nil {
			_, err = s.Path(d)
		}
		if err != nil {
			panic(err)
		}
		fmt.Println(d.Digest, d.Size)
	}
}

// TestStoreKilled: a process that is killed while it writes leaves a store in
// which everything is whole, and whose scratch the next one removes.
func TestStoreKilled(t *testing.T) {
	dir := t.TempDir()
	for range 10 {
		cmd := osexec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), storeWriter+"="+dir)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50*time.Millisecond + rand.N(50*time.Millisecond))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); errs.Len() > 0 {
			t.Fatalf("%v: %s", err, errs.String())
		}
		s, err := local.OpenStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		checkStore(t, dir)
		lines := strings.Split(out.String(), "\n") // what follows the last end of line may be cut
		for _, line := range lines[:len(lines)-1] {
			d := plan.Dir{Name: "d"}
			if _, err := fmt.Sscan(line, &d.Digest, &d.Size); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if _, err := s.Path(d); err != nil {
				t.Errorf("what was kept isn't there: %v", err)
			}
		}
		if scratches, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(scratches) != 1 {
			t.Errorf("%d scratch directories, %v", len(scratches), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if scratches, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(scratches) != 0 {
			t.Errorf("%d scratch directories are left, %v", len(scratches), err)
		}
	}
}

// checkStore compares every file's content with its name.
func checkStore(t *testing.T, dir string) {
	t.Helper()
	other := openStore(t, t.TempDir())
	blobs, err := filepath.Glob(filepath.Join(dir, "files", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range blobs {
		f, err := os.Open(blob)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := other.PutFile(t.Context(), "x", f)
		f.Close()
		if err != nil || "sha256:"+strings.TrimSuffix(filepath.Base(blob), ".x") != kept.Digest {
			t.Errorf("%s has the digest %s, %v", blob, kept.Digest, err)
		}
	}
}
