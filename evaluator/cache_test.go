package evaluator

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/compiled"
	"github.com/flytestar/flytestar/interp"
)

// long makes source long enough to be kept compiled. Positions stay.
func long(source string) string { return source + "\n#" + strings.Repeat("x", compiled.MinSource) }

// cacheOptions are for a load of main.star through a cache.
func cacheOptions(dir string, source sources) Options {
	return Options{Source: source, Entry: "main.star", Cache: dir, Predeclared: bodyLanguage(interp.Limits{}).Predeclared.Keys()}
}

// loadCached loads main.star through a cache, and returns findings, what was printed, and notices.
func loadCached(t *testing.T, dir string, source sources) (found diag.List, printed, notices []string) {
	t.Helper()
	options := cacheOptions(dir, source)
	options.Print = func(pos diag.Position, task, text string) {
		printed = append(printed, fmt.Sprint(pos, " ", task, text))
	}
	options.Notice = func(text string) { notices = append(notices, text) }
	e, _, err := Start(t.Context(), options)
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
	// What was kept is what the evaluator gets.
	e, _, err := Start(t.Context(), cacheOptions(dir, cachedSource))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for path := range cachedSource {
		if f := e.fetch(path); f.answer.Compiled == nil || f.answer.Data != nil {
			t.Errorf("%s is compiled again", path)
		}
	}
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

// TestCacheDamaged: a damaged entry is removed with a notice, and its module is compiled again.
func TestCacheDamaged(t *testing.T) {
	for name, damage := range map[string]func(file string, data []byte) error{
		"a bit":       func(file string, data []byte) error { data[len(data)/2] ^= 1; return os.WriteFile(file, data, 0o600) },
		"cut":         func(file string, data []byte) error { return os.WriteFile(file, data[:len(data)-1], 0o600) },
		"empty":       func(file string, data []byte) error { return os.WriteFile(file, nil, 0o600) },
		"longer":      func(file string, data []byte) error { return os.WriteFile(file, append(data, 0), 0o600) },
		"not private": func(file string, data []byte) error { return os.Chmod(file, 0o644) },
		"huge":        func(file string, data []byte) error { return os.Truncate(file, 1<<30) },
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

// TestCacheUnusable: if the cache can't be used, modules load anyway, and the user is told once.
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
