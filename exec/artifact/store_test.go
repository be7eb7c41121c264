package artifact_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/artifact"
	"github.com/flytestar/flytestar/exec/storetest"
	"github.com/flytestar/flytestar/plan"
)

func openStore(t *testing.T, dir string) *artifact.Store {
	t.Helper()
	s, err := artifact.Open(dir)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestStore runs the suite that every store passes. Nothing temporary stays behind.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) exec.Store {
		dir := t.TempDir()
		t.Cleanup(func() { nothingIn(t, dir, "*") })
		s := openStore(t, dir)
		t.Cleanup(func() { nothingIn(t, dir, "*/*") })
		return s
	})
}

// nothingIn fails if the store's directory for what is temporary has something that matches.
func nothingIn(t *testing.T, dir, pattern string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "tmp", pattern))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestFilePath(t *testing.T) {
	s := openStore(t, t.TempDir())
	f, err := s.PutFile(t.Context(), "a.txt", strings.NewReader("hello"))
	must(t, err)
	checkFile(t, s, f, "hello")
	// A file that is only there as a program is no program by itself.
	d, err := s.PutDir(t.Context(), "d", []exec.Entry{storetest.Program("x", "only")})
	must(t, err)
	for m, err := range s.List(t.Context(), d) {
		must(t, err)
		checkFile(t, s, m.File(), "only")
	}
}

// checkFile checks what lies at a file's path.
func checkFile(t *testing.T, s *artifact.Store, f plan.File, content string) {
	t.Helper()
	path, err := s.Path(t.Context(), f)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	data, err := os.ReadFile(path)
	must(t, err)
	if info.Mode() != 0o444 || string(data) != content {
		t.Errorf("got %q with mode %v, want %q with 0444", data, info.Mode(), content)
	}
}

func TestPathRefuses(t *testing.T) {
	s := openStore(t, t.TempDir())
	gone := plan.File{Name: "x", Digest: plan.Digest("sha256:" + strings.Repeat("a", 64))}
	for _, v := range []plan.Value{gone, plan.Dir(gone)} {
		if _, err := s.Path(t.Context(), v); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("path of what isn't there: %v", err)
		}
	}
	for _, digest := range []string{"", "sha256:../../../../etc/passwd", "sha256:" + strings.Repeat("A", 64)} {
		for _, v := range []plan.Value{plan.File{Name: "x", Digest: plan.Digest(digest)}, plan.Dir{Name: "x", Digest: plan.Digest(digest)}} {
			if _, err := s.Path(t.Context(), v); err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("path of %q: %v; want it refused", digest, err)
			}
		}
	}
	if _, err := s.Path(t.Context(), "text"); err == nil {
		t.Error("a string has a path")
	}
}

func TestDirPath(t *testing.T) {
	s := openStore(t, t.TempDir())
	d, err := s.PutDir(t.Context(), "tree", []exec.Entry{
		storetest.Program("b/run", "#!"), storetest.File("b/data", "#!"), storetest.Directory("empty"), storetest.File("a", ""),
	})
	must(t, err)
	path, err := s.Path(t.Context(), d)
	must(t, err)
	want := ". dr-xr-xr-x, a -r--r--r--, b dr-xr-xr-x, b/data -r--r--r--, b/run -r-xr-xr-x, empty dr-xr-xr-x"
	if got := modes(t, path); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if again, err := s.Path(t.Context(), d); err != nil || again != path {
		t.Errorf("the second time: %s, %v", again, err)
	}
}

// modes lists a tree with its modes.
func modes(t *testing.T, dir string) string {
	t.Helper()
	var got []string
	must(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		rel, _ := filepath.Rel(dir, p)
		got = append(got, fmt.Sprintf("%s %v", rel, info.Mode()))
		return err
	}))
	return strings.Join(got, ", ")
}

// TestDamaged: what was changed on disk isn't read, listed or laid out.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	f, err := s.PutFile(t.Context(), "x", strings.NewReader("hello"))
	must(t, err)
	d, err := s.PutDir(t.Context(), "d", []exec.Entry{storetest.File("a", "1"), storetest.File("b", "1")})
	must(t, err)
	change(t, filepath.Join(dir, "files/2c/*"), "hello", "hullo")
	change(t, filepath.Join(dir, "dirs/*/*"), `"a"`, `"A"`)
	r, err := s.Open(t.Context(), f)
	must(t, err)
	defer r.Close()
	if n, err := bufio.NewReader(r).WriteTo(new(bytes.Buffer)); err == nil {
		t.Errorf("read %d bytes of a file that was changed", n)
	}
	if path, err := s.Path(t.Context(), d); err == nil {
		t.Errorf("a directory whose manifest was changed is laid out: %s", modes(t, path))
	}
}

// change changes the files that match a pattern.
func change(t *testing.T, pattern, old, new string) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	must(t, err)
	if len(names) != 1 {
		t.Fatalf("%s matches %q", pattern, names)
	}
	data, err := os.ReadFile(names[0])
	must(t, err)
	must(t, os.Chmod(names[0], 0o644))
	must(t, os.WriteFile(names[0], bytes.Replace(data, []byte(old), []byte(new), 1), 0o644))
}

// TestConcurrentPaths: several users of one store keep and lay out the same, as processes would.
func TestConcurrentPaths(t *testing.T) {
	dir := t.TempDir()
	stores := []*artifact.Store{openStore(t, dir), openStore(t, dir)}
	var wg sync.WaitGroup
	for i := range 40 {
		s := stores[i%2]
		wg.Go(func() {
			d, err := s.PutDir(t.Context(), "d", []exec.Entry{storetest.File("a/b", "same"), storetest.Program("c", fmt.Sprint(i/4))})
			if err != nil {
				t.Error(err)
				return
			}
			path, err := s.Path(t.Context(), d)
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
	nothingIn(t, dir, "*/*")
}

// storeWriter is set in a process of this test that does nothing but write to a store.
const storeWriter = "FLYTESTAR_TEST_STORE_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(storeWriter); dir != "" {
		writeForever(dir)
	}
	os.Exit(m.Run())
}

// writeForever keeps files and directories in the store in dir until it is killed.
func writeForever(dir string) {
	s, err := artifact.Open(dir)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for i := 0; ; i++ {
		content := strings.Repeat(fmt.Sprint(i), 50_000)
		d, err := s.PutDir(ctx, "d", []exec.Entry{storetest.File("a/b", content), storetest.Program("x", content)})
		if err == nil {
			_, err = s.Path(ctx, d)
		}
		if err != nil {
			panic(err)
		}
		fmt.Println(d.Digest, d.Size)
	}
}

// killedWriter lets a process write to the store in dir, kills it while it does, and returns what
// it had kept by then.
func killedWriter(t *testing.T, dir string) []plan.Dir {
	t.Helper()
	cmd := osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), storeWriter+"="+dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var kept []plan.Dir
	for most, lines := 1+rand.N(5), bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // an end of line that is missing was cut off by the kill
		}
		d := plan.Dir{Name: "d"}
		if _, err := fmt.Sscan(line, &d.Digest, &d.Size); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if kept = append(kept, d); len(kept) == most {
			must(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); errs.Len() > 0 || len(kept) == 0 {
		t.Fatalf("%v: %s", err, &errs)
	}
	return kept
}

// TestKilled: a process that is killed while it writes leaves a store in which everything is
// whole. The next one removes its scratch directory.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	for range 10 {
		kept := killedWriter(t, dir)
		s, err := artifact.Open(dir)
		must(t, err)
		checkStore(t, dir)
		for _, d := range kept {
			if _, err := s.Path(t.Context(), d); err != nil {
				t.Errorf("what was kept isn't there: %v", err)
			}
		}
		if scratches, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(scratches) != 1 {
			t.Errorf("%d scratch directories, %v", len(scratches), err)
		}
		must(t, s.Close())
		nothingIn(t, dir, "*")
	}
}

// checkStore compares every file's content with its name.
func checkStore(t *testing.T, dir string) {
	t.Helper()
	var other storetest.Memory
	files, err := filepath.Glob(filepath.Join(dir, "files", "*", "*"))
	must(t, err)
	for _, name := range files {
		f, err := os.Open(name)
		must(t, err)
		kept, err := other.PutFile(t.Context(), "x", f)
		f.Close()
		if err != nil || strings.TrimSuffix(filepath.Base(name), ".x") != kept.Digest.Hex() {
			t.Errorf("%s has the digest %s, %v", name, kept.Digest, err)
		}
	}
}
