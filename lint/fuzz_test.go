package lint

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
)

// seeds are the sources of testdata, in the chunks that they consist of, and what has been trouble.
func seeds(f *testing.F) {
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) == 0 {
		f.Fatal("no testdata", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, chunk := range strings.Split(string(data), "\n---\n") {
			f.Add([]byte(chunk))
		}
	}
	for _, s := range []string{
		"", "#", "x = not not y == 1", "x = 1.0e0", "\tx", "if x:\n\ty\n", "x = '\\''", "x = '''\n'''#", "load('a', 'b');load('a', c='b')", "def f(): 'x'",
		"x = r'\\'#'", "(\n#a\n)#b\n", "x = [\n1,#a\n#b\n]", "x = 1 if 2 else 3, 4", "x = b''", "x\r\ny", "e = task_environment(name = 'e', depends_on = [a, # c\n a])", "x = (((1)))",
		"# flytestar: disable=FS220\n# flytestar: disable=\nx # flytestar: disable=,a,,b", "for a, in b: pass", "f(*a, **b)", "lambda *, a: 1", "x = {}[1:2:3]", "x = 08", "x=1;y=2;",
	} {
		f.Add([]byte(s))
	}
}

// FuzzModule does to any source what tools do: none panics; what is formatted means the same and is
// formatted; what is edited parses.
func FuzzModule(f *testing.F) {
	seeds(f)
	limits := interp.Limits{Nesting: 200, Source: 64 << 10} // the fuzzer's own stack is smaller than a tool's
	f.Fuzz(func(t *testing.T, source []byte) {
		m := Module{Path: "main.star", Source: source}
		before, err := interp.Parse(m.Path, source, limits)
		report, checked := check(&checkRequest{Modules: []Module{m}, Limits: limits}, starlark.StringDict{"image": starlark.None})
		if checked != nil {
			t.Fatal(checked)
		}
		if err != nil {
			return
		}
		report.Apply(report.Findings, Known{Rules: Rules()})
		if out, err := formatModule(&formatRequest{m, limits}); err == nil {
			after, err := interp.Parse(m.Path, out.Source, limits)
			if err != nil {
				t.Fatal(err)
			}
			if pos, ok := difference(before, after); ok {
				t.Errorf("%s: another meaning:\n%s", pos, out.Source)
			}
			if again, err := formatModule(&formatRequest{*out, limits}); err != nil || !bytes.Equal(again.Source, out.Source) {
				t.Errorf("the second time differs: %v", err)
			}
		}
		edit(t, m, before, report, limits)
	})
}

// edit makes all fixes that the source could have, and some that it couldn't.
func edit(t *testing.T, m Module, f *syntax.File, report *Report, limits interp.Limits) {
	var fixes, removals []diag.Fix
	for _, e := range report.Findings {
		if e.Fix != nil {
			fixes = append(fixes, *e.Fix)
		}
	}
	for _, s := range report.Suppressions {
		for _, code := range s.Codes {
			removals = append(removals, diag.Fix{Kind: diag.FixRemoveSuppression, Pos: s.Pos, Symbol: code})
		}
	}
	var graph []diag.Fix
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			begin, _ := n.Span()
			graph = append(graph,
				diag.Fix{Kind: diag.FixAddDependency, Pos: position(begin), Symbol: "env", Module: "lib/a.star"},
				diag.Fix{Kind: diag.FixAddPackages, Pos: position(begin), Calls: []diag.FixCall{{Method: "with_pip_packages", Args: []string{"é"}}}})
		case *syntax.ListExpr:
			graph = append(graph, diag.Fix{Kind: diag.FixRemoveDependency, List: position(n.Lbrack)})
		}
		return len(graph) < 100
	})
	for _, fixes := range [][]diag.Fix{fixes, removals, graph} {
		_, err := editModule(&editRequest{Module: m, Fixes: fixes, Limits: limits})
		if d, ok := err.(*diag.Error); ok && d.Class != diag.System {
			continue // it says why it can't
		}
		if err != nil {
			t.Fatalf("%v\n%+v", err, fixes)
		}
	}
}

// FuzzComments: comments are those that starlark-go's scanner keeps, wherever the parser hangs
// them.
func FuzzComments(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, source []byte) {
		if bytes.ContainsAny(source, "\r\x00") {
			return // starlark-go's positions after a carriage return are its own
		}
		file, err := (&syntax.FileOptions{}).Parse("main.star", source, syntax.RetainComments)
		if err != nil || bytes.ContainsRune(source, '\ufeff') {
			return
		}
		at := map[diag.Position]string{}
		for _, c := range findComments("main.star", source) {
			at[c.pos] = c.text
		}
		syntax.Walk(file, func(n syntax.Node) bool {
			if n == nil || n.Comments() == nil {
				return true
			}
			c := n.Comments()
			for _, list := range [][]syntax.Comment{c.Before, c.Suffix, c.After} {
				for _, c := range list {
					if got, ok := at[position(c.Start)]; !ok || got != strings.TrimRight(c.Text, " \t") {
						t.Errorf("%v: starlark-go has %q, not %q", c.Start, c.Text, got)
					}
				}
			}
			return true
		})
	})
}
