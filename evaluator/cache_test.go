package evaluator

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
)

// fillVariable, if set, makes the test binary fill the cache in that directory until it is killed.
const fillVariable = "EVALUATOR_TEST_FILL"

// long makes source long enough to be kept compiled, and changes no position.
func long(source string) string { return source + "\n#" + strings.Repeat("x", minCached) }

// loadCached loads main.star through a cache, and returns findings, what was printed, and notices.
func loadCached(t *testing.T, dir string, source sources) (found diag.List, printed, notices []string) {
	t.Helper()
	e, _, err := Start(t.Context(), Options{
		Source: source, Entry: "main.star", Cache: dir, Predeclared: bodyLanguage(interp.Limits{}).Predeclared.Keys(),
		Print: func(pos diag.Position, task, text string) {
			printed = append(printed, fmt.Sprint(pos, " ", task, text))
		},
		Notice: func(text string) { notices = append(notices, text) },
	})
	if err != nil {
		return findings(err), printed, notices
	}
	if v, err := e.Body(t.Context(), "main", nil, testHost{}); err != nil || v != int64(2) {
		t.Errorf("the body gives %v, %v", v, err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	return nil, printed, notices
}

const cached = "load('lib/a.star', 'a', b = 'c')\nprint(a, b)\ndef main():\n    return a + 1\n"

var cachedSource = sources{"main.star": long(cached), "lib/a.star": long("a = 1\nc = 'c'\nprint(a)")}

// entries returns the files of a cache.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "[^.]*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home", "programs")
	_, cold, notices := loadCached(t, dir, cachedSource)
	if notices != nil || len(cold) != 2 {
		t.Fatalf("printed %q, notices %q", cold, notices)
	}
	for _, name := range append(entries(t, dir), dir) {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if n := len(entries(t, dir)); n != 2 {
		t.Fatalf("%d entries", n)
	}
	_, warm, notices := loadCached(t, dir, cachedSource)
	if notices != nil || fmt.Sprint(warm) != fmt.Sprint(cold) {
		t.Errorf("printed %q, notices %q; cold %q", warm, notices, cold)
	}
	// The same key with another module shows that an entry is what is used.
	c := testCompiler(t, dir)
	compiler := interp.Compiler{Predeclared: bodyLanguage(interp.Limits{}).Predeclared.Keys()}
	data, err := compiler.Compile("main.star", []byte("def main():\n    return 2\nprint('other')"))
	if err != nil || data == nil {
		t.Fatal(data, err)
	}
	if err := c.cache.put(c.key("main.star", interp.Digest([]byte(cachedSource["main.star"]))), data); err != nil {
		t.Fatal(err)
	}
	if _, printed, _ := loadCached(t, dir, cachedSource); len(printed) != 1 || !strings.Contains(printed[0], "other") {
		t.Errorf("printed %q", printed)
	}
}

// testCompiler returns a compiler with an open cache.
func testCompiler(t *testing.T, dir string) *compiler {
	t.Helper()
	c := newCompiler(Options{Cache: dir, Predeclared: bodyLanguage(interp.Limits{}).Predeclared.Keys()})
	c.open()
	if c.cache == nil {
		t.Fatal(c.notices)
	}
	t.Cleanup(func() { c.close(time.Second) })
	return c
}

// TestCacheFindings: findings are the same whether modules are compiled or kept.
func TestCacheFindings(t *testing.T) {
	for _, main := range []string{
		"load('lib/a.star', 'a', 'd')\nx = y\n", "load('lib/b.star', 'a')", "x = (", "load('lib/a.star', 'a')\nfail(a)", "thing = 1", "load('lib/a.star', 'a')\nload('../x.star', 'x')", "def f():\n    load('lib/a.star', 'a')",
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		source := sources{"main.star": long(main), "lib/a.star": cachedSource["lib/a.star"]}
		cold, printed, notices := loadCached(t, dir, source)
		if cold == nil || notices != nil {
			t.Fatalf("%q: found %v, notices %q", main, cold, notices)
		}
		warm, again, notices := loadCached(t, dir, source)
		if fmt.Sprint(warm, again, notices) != fmt.Sprint(cold, printed, []string(nil)) {
			t.Errorf("%q:\ngot  %v %q %q\nwant %v %q", main, warm, again, notices, cold, printed)
		}
	}
}

// TestCacheKey: what decides how a module is compiled decides its key.
func TestCacheKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "programs")
	c := testCompiler(t, dir)
	options := func(change func(*Options)) *compiler {
		o := c.options
		change(&o)
		changed := newCompiler(o)
		changed.open()
		t.Cleanup(func() { changed.close(time.Second) })
		return changed
	}
	seen := map[cacheKey]string{}
	for name, key := range map[string]cacheKey{
		"as it is":    c.key("a.star", "b"),
		"path":        c.key("a.sta", "rb"),
		"source":      c.key("a.star", "c"),
		"predeclared": options(func(o *Options) { o.Predeclared = o.Predeclared[1:] }).key("a.star", "b"),
		"nesting":     options(func(o *Options) { o.Limits.Nesting = 10 }).key("a.star", "b"),
	} {
		if other, same := seen[key]; same {
			t.Errorf("%s and %s have the same key", name, other)
		}
		seen[key] = name
	}
}

// TestCacheDamaged: a damaged entry is removed and said, and what it was is compiled again.
func TestCacheDamaged(t *testing.T) {
	for name, damage := range map[string]func(file string, data []byte) error{
		"a bit":       func(file string, data []byte) error { data[len(data)/2] ^= 1; return os.WriteFile(file, data, 0o600) },
		"cut":         func(file string, data []byte) error { return os.WriteFile(file, data[:len(data)-1], 0o600) },
		"empty":       func(file string, data []byte) error { return os.WriteFile(file, nil, 0o600) },
		"longer":      func(file string, data []byte) error { return os.WriteFile(file, append(data, 0), 0o600) },
		"not private": func(file string, data []byte) error { return os.Chmod(file, 0o644) },
		"huge":        func(file string, data []byte) error { return os.Truncate(file, maxEntry+1) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "programs")
			_, cold, _ := loadCached(t, dir, cachedSource)
			file := entries(t, dir)[0]
			data, err := os.ReadFile(file)
			if err == nil {
				err = damage(file, bytes.Clone(data))
			}
			if err != nil {
				t.Fatal(err)
			}
			_, printed, notices := loadCached(t, dir, cachedSource)
			if fmt.Sprint(printed) != fmt.Sprint(cold) || len(notices) != 1 || !strings.Contains(notices[0], "a compiled module isn't used") {
				t.Errorf("printed %q, notices %q", printed, notices)
			}
			if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, data) {
				t.Errorf("it isn't there again: %v", err)
			}
			if _, _, notices := loadCached(t, dir, cachedSource); notices != nil {
				t.Errorf("notices %q", notices)
			}
		})
	}
}

// TestCacheUnusable: where there can be no cache, modules load and the user is told, once.
func TestCacheUnusable(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "programs")
	if err := os.Mkdir(shared, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "programs")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{shared: "others have access", file: "not a directory"} {
		_, printed, notices := loadCached(t, dir, cachedSource)
		if len(printed) != 2 || len(notices) != 1 || !strings.Contains(notices[0], want) {
			t.Errorf("%s: printed %q, notices %q", dir, printed, notices)
		}
	}
	if _, printed, notices := loadCached(t, "", cachedSource); len(printed) != 2 || notices != nil {
		t.Errorf("printed %q, notices %q", printed, notices)
	}
}

// TestCacheBounds: the entries that weren't used for longest go.
func TestCacheBounds(t *testing.T) {
	c := testCompiler(t, filepath.Join(t.TempDir(), "programs"))
	old := time.Now().Add(-24 * time.Hour)
	key := func(i int) cacheKey { return cacheKey{byte(i), byte(i >> 8)} }
	for i := range maxEntries + 3 {
		if err := c.cache.put(key(i), []byte("module")); err != nil {
			t.Fatal(err)
		}
		when := old.Add(time.Duration(i) * time.Second)
		if err := c.cache.root.Chtimes(key(i).file(), when, when); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{unfinished + "abandoned", unfinished + "being-written"} {
		if err := c.cache.root.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.cache.root.Chtimes(unfinished+"abandoned", old, old); err != nil {
		t.Fatal(err)
	}
	if c.cache.get(key(0)) == nil { // the oldest, but used now
		t.Error("an entry is gone")
	}
	if err := c.cache.prune(); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]bool{0: true, 1: false, 2: false, 3: false, 4: true, maxEntries + 2: true} {
		if got := c.cache.get(key(i)) != nil; got != want {
			t.Errorf("entry %d is there: %t", i, got)
		}
	}
	if all, err := filepath.Glob(filepath.Join(c.options.Cache, unfinished+"*")); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

// fill puts entries into a cache for ever.
func fill(dir string) {
	c, err := openCache(dir, func(text string) { fmt.Println(text); os.Exit(1) })
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		if err := c.put(cacheKey{byte(i)}, bytes.Repeat([]byte{byte(i)}, 1<<20)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if i == 3 {
			fmt.Println("filling")
		}
	}
}

// TestCacheKilled kills processes that write to a cache: every entry stays whole.
func TestCacheKilled(t *testing.T) {
	c := testCompiler(t, filepath.Join(t.TempDir(), "programs"))
	for range 5 {
		cmd := osexec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), fillVariable+"="+c.options.Cache)
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
		if c.cache.get(cacheKey{byte(i)}) != nil {
			n++
		}
	}
	if n < 4 || c.notices != nil {
		t.Errorf("%d entries, notices %q", n, c.notices)
	}
}

// TestCompilerBounds: what waits to be compiled is bounded, and what was compiled makes room.
func TestCompilerBounds(t *testing.T) {
	c := testCompiler(t, filepath.Join(t.TempDir(), "programs"))
	c.active = true // so that all waits
	source := make([]byte, maxBatch/2+1)
	for i := range 100 {
		c.get(fmt.Sprintf("%d.star", i), source, "")
	}
	if n := len(c.waiting); n != 7 || c.size > maxWaiting {
		t.Errorf("%d wait, with %d bytes", n, c.size)
	}
	if n := len(c.batch()); n != 1 || c.size != 6*len(source) {
		t.Errorf("%d in a batch, %d bytes wait", n, c.size)
	}
}
