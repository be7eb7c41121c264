package compiled

import (
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
	"testing"
	"time"

	"github.com/flytestar/flytestar/internal/durable"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(fillVariable); dir != "" {
		fill(dir)
	}
	os.Exit(m.Run())
}

// fillVariable, if set, is a directory. The test binary then puts entries there until it is killed.
const fillVariable = "COMPILED_TEST_FILL"

// testCache returns a cache with an open directory.
func testCache(t *testing.T, dir string) *Cache {
	t.Helper()
	c := New(Options{Dir: dir, Compiler: interp.Compiler{Predeclared: []string{"a", "b"}}, RunTool: func(_ context.Context, in []byte) ([]byte, error) { return Tool(in) }})
	if !c.open() {
		t.Fatal(c.notices)
	}
	t.Cleanup(func() { c.Close(time.Minute) })
	return c
}

// TestCacheKey: everything that decides how a module is compiled changes its key.
func TestCacheKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	c := testCache(t, dir)
	options := func(change func(*Options)) *Cache {
		o := c.options
		change(&o)
		changed := New(o)
		changed.open()
		t.Cleanup(func() { changed.Close(time.Second) })
		return changed
	}
	seen := map[key]string{}
	for name, k := range map[string]key{
		"as it is":    c.key("a.star", "b"),
		"path":        c.key("a.sta", "rb"),
		"source":      c.key("a.star", "c"),
		"program":     options(func(o *Options) { o.Program = "/dev/null" }).key("a.star", "b"),
		"predeclared": options(func(o *Options) { o.Compiler.Predeclared = o.Compiler.Predeclared[1:] }).key("a.star", "b"),
		"nesting":     options(func(o *Options) { o.Compiler.Limits.Nesting = 10 }).key("a.star", "b"),
	} {
		if other, same := seen[k]; same {
			t.Errorf("%s and %s have the same key", name, other)
		}
		seen[k] = name
	}
}

// TestCacheBounds: the entries that were unused for longest go first.
func TestCacheBounds(t *testing.T) {
	c := testCache(t, filepath.Join(t.TempDir(), "programs"))
	old := time.Now().Add(-24 * time.Hour)
	numbered := func(i int) key { return key{byte(i), byte(i >> 8)} }
	for i := range maxEntries + 3 {
		if err := c.dir.put(numbered(i), []byte("module")); err != nil {
			t.Fatal(err)
		}
		when := old.Add(time.Duration(i) * time.Second)
		if err := c.dir.root.Chtimes(numbered(i).file(), when, when); err != nil {
			t.Fatal(err)
		}
	}
	// A file that a killed process was writing, and one that is being written.
	abandoned := filepath.Join(c.options.Dir, ".new-abandoned")
	if err := os.WriteFile(abandoned, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	writing, err := durable.CreateIn(c.dir.root, ".")
	if err != nil {
		t.Fatal(err)
	}
	defer writing.Close()
	if c.dir.get(numbered(0)) == nil { // the oldest, but used now
		t.Error("an entry is gone")
	}
	if err := c.dir.prune(); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]bool{0: true, 1: false, 2: false, 3: false, 4: true, maxEntries + 2: true} {
		if got := c.dir.get(numbered(i)) != nil; got != want {
			t.Errorf("entry %d is there: %t", i, got)
		}
	}
	if _, err := os.Stat(abandoned); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed process was writing: %v", err)
	}
	if err := writing.Replace("kept", 0o600); err != nil {
		t.Errorf("what is being written: %v", err)
	}
}

// fill puts entries into a directory until the process is killed.
func fill(dir string) {
	c, err := openDirectory(dir, func(text string) { fmt.Println(text); os.Exit(1) })
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		if err := c.put(key{byte(i)}, bytes.Repeat([]byte{byte(i)}, 1<<20)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if i == 3 {
			fmt.Println("filling")
		}
	}
}

// TestCacheKilled kills processes that write entries. Every entry stays whole.
func TestCacheKilled(t *testing.T) {
	c := testCache(t, filepath.Join(t.TempDir(), "programs"))
	for range 5 {
		cmd := osexec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), fillVariable+"="+c.options.Dir)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Skipf("this system can't: %v", err)
		}
		var word string
		if _, err := fmt.Fscan(out, &word); err != nil || word != "filling" {
			t.Fatalf("%s, %v", word, err)
		}
		time.Sleep(time.Duration(rand.IntN(int(20 * time.Millisecond))))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // that it was killed
	}
	n := 0
	for i := range 256 {
		if c.dir.get(key{byte(i)}) != nil {
			n++
		}
	}
	if n < 4 || c.notices != nil {
		t.Errorf("%d entries, notices %q", n, c.notices)
	}
}

// TestWaitingBounds: a bounded number of modules waits to be compiled, and a batch makes room for
// more.
func TestWaitingBounds(t *testing.T) {
	c := testCache(t, filepath.Join(t.TempDir(), "programs"))
	c.active = true // so that all waits
	source := make([]byte, maxBatch/2+1)
	for i := range 100 {
		c.Module(fmt.Sprintf("%d.star", i), source, "")
	}
	if n := len(c.waiting); n != 7 || c.size > maxWaiting {
		t.Errorf("%d wait, with %d bytes", n, c.size)
	}
	if n := len(c.batch()); n != 1 || c.size != 6*len(source) {
		t.Errorf("%d in a batch, %d bytes wait", n, c.size)
	}
}

// source is a Source of one module.
type source string

func (s source) ReadModule(string) ([]byte, error) { return []byte(s), nil }

// TestModule: a module that is compiled for one load is there for the next.
func TestModule(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	text := []byte("x = 1\n#" + strings.Repeat("x", MinSource))
	first := testCache(t, dir)
	if data := first.Module("a.star", text, "d"); data != nil {
		t.Error("it is there before it was compiled")
	}
	first.Close(time.Minute)
	second := testCache(t, dir)
	if data := second.Module("a.star", text, "d"); data == nil {
		t.Error("it isn't there")
	}
	if data := second.Module("a.star", text[:MinSource-1], "d"); data != nil {
		t.Error("a small one is there")
	}
	if data := second.Module("a.star", text, "other"); data != nil {
		t.Error("another source's is used")
	}
}

// TestGraph: a graph that is kept is there until a module changes, and counts against the bounds.
func TestGraph(t *testing.T) {
	c := testCache(t, filepath.Join(t.TempDir(), "programs"))
	for i := range maxEntries + 1 {
		if err := c.dir.put(key{byte(i), byte(i >> 8)}, []byte("module")); err != nil {
			t.Fatal(err)
		}
	}
	modules := []plan.Module{{Path: "a.star", Digest: plan.DigestOf([]byte("x = 1"))}}
	c.KeepGraph("a.star", modules, nil, func() []byte { return []byte("rest") })
	c.working.Wait()
	files, err := filepath.Glob(filepath.Join(c.options.Dir, "[^.]*"))
	if err != nil || len(files) != maxEntries {
		t.Errorf("%d entries are kept, %v", len(files), err)
	}
	for text, want := range map[source]string{"x = 1": "rest", "x = 2": ""} {
		if got := c.Graph("a.star", text); string(got) != want {
			t.Errorf("of %s, got %q", text, got)
		}
	}
	if got := c.Graph("b.star", source("x = 1")); got != nil {
		t.Errorf("of another entry, got %q", got)
	}
}

// withPython is a source with one Python file.
type withPython struct {
	source
	python string
}

func (s withPython) ReadPython(path string) ([]byte, error) {
	if path != "p.py" || s.python == "" {
		return nil, fs.ErrNotExist
	}
	return []byte(s.python), nil
}

// TestGraphPython: a graph that is kept is used only while the Python files are the same whose
// signatures it has, those included that weren't there.
func TestGraphPython(t *testing.T) {
	c := testCache(t, filepath.Join(t.TempDir(), "programs"))
	modules := []plan.Module{{Path: "a.star", Digest: plan.DigestOf([]byte("x = 1"))}}
	for _, kept := range []string{"def f(): pass", ""} {
		c.KeepGraph("a.star", modules, map[string]plan.Digest{"p.py": plan.DigestOf([]byte(kept))}, func() []byte { return []byte("rest") })
		c.working.Wait()
		for _, now := range []string{"def f(): pass", "def f(x): pass", ""} {
			if got := c.Graph("a.star", withPython{"x = 1", now}); (got != nil) != (now == kept) {
				t.Errorf("kept with %q, now %q: %q", kept, now, got)
			}
		}
	}
}
