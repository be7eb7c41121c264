package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// foreign are flags in hints that belong to other programs, or to a task.
var foreign = []string{"--help", "--find-links", "--hash", "--no-index", "--index-url", "--extra-index-url"}

// TestHintFlags: every flag that a hint names exists.
func TestHintFlags(t *testing.T) {
	known := slices.Clone(foreign)
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(newRoot(&app{}))
	flag := regexp.MustCompile(`(^|[\s(])(--[a-z0-9-]*[a-z0-9])([^a-z0-9%-]|$)`)
	found := 0
	for _, text := range hints(t, "../..") {
		for _, m := range flag.FindAllStringSubmatch(text, -1) {
			if found++; !slices.Contains(known, m[2]) {
				t.Errorf("the hint %q names %s, which doesn't exist", text, m[2])
			}
		}
	}
	if found < 5 {
		t.Errorf("hints name %d flags: the test doesn't find them", found)
	}
}

// hints returns the text of all hints in the source below dir: arguments of WithHint, and what is
// assigned to Hint.
func hints(t *testing.T, dir string) []string {
	var texts []string
	collect := func(e ast.Node) {
		ast.Inspect(e, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil {
					texts = append(texts, s)
				}
			}
			return true
		})
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "WithHint" {
					for _, a := range n.Args {
						collect(a)
					}
				}
			case *ast.AssignStmt:
				for i, l := range n.Lhs {
					if f, ok := l.(*ast.SelectorExpr); ok && strings.EqualFold(f.Sel.Name, "hint") && i < len(n.Rhs) {
						collect(n.Rhs[i])
					}
				}
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && strings.EqualFold(k.Name, "hint") {
					collect(n.Value)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}
