package interp

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
)

// FuzzLoad reads, checks and compiles a module and another that it may load, as the evaluator does
// before it runs any code. Whatever they hold, the result is modules, or findings that point into
// them.
func FuzzLoad(f *testing.F) {
	corpus, err := filepath.Glob("testdata/*.star")
	if err != nil || len(corpus) == 0 {
		f.Fatalf("no files: %v", err)
	}
	for _, file := range corpus {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, chunk := range strings.Split(string(data), "---\n") {
			f.Add(chunk, "a = 1\nb = [a]\n")
		}
	}
	f.Add("load('other.star', 'a')\nimage = a", "load('main.star', 'b')")
	f.Add("x = "+strings.Repeat("-", 100), "def f():\n return")
	f.Add("x = 1\x00", "# \u202e")
	limits := Limits{Source: 1 << 14, Nesting: 50}.Defaults()
	f.Fuzz(func(t *testing.T, main, other string) {
		source := files{"main.star": main, "other.star": other}
		l := &loading{Loader: Loader{Language: loadLanguage()}, source: source, limits: limits, budget: newBudget(limits, "loading"), modules: map[string]*Module{}}
		err := l.read("main.star")
		if err == nil {
			if len(l.order) == 0 || l.order[len(l.order)-1].Path != "main.star" {
				t.Errorf("modules are %v", l.order)
			}
			return
		}
		var list diag.List
		if !errors.As(err, &list) || len(list) == 0 {
			t.Fatalf("got %v", err)
		}
		for _, e := range list {
			lines := strings.Count(source[e.Pos.File], "\n") + strings.Count(source[e.Pos.File], "\r") + 1
			if _, ok := source[e.Pos.File]; !ok || e.Msg == "" || e.Pos.Line > lines {
				t.Errorf("%v, of %d lines", e, lines)
			}
		}
	})
}
