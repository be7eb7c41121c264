package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
)

// What formatting may change, by what two modules have in common that mean the same:
//
//   - The statements, but for load, are the same trees in the same order; where
//     they stand, parentheses (the tree has what they say), quotes and the spelling of numbers don't count.
//   - Loads bind the same names from the same modules, and name these modules for the first time in the same
//     order, in which they are evaluated. Where between other statements they stand
//     doesn't count: modules are loaded before any statement runs.
//   - The indentation of docstrings doesn't count; a task's documentation has none.

// leaf is a node without its children, or the end of them.
type leaf struct {
	text string
	pos  syntax.Position
}

// difference returns where in before the two files begin to differ.
func difference(before, after *syntax.File) (diag.Position, bool) {
	a, b := flatten(before), flatten(after)
	for i := range a {
		if i >= len(b) || a[i].text != b[i].text {
			return position(a[i].pos), true
		}
	}
	return diag.Position{File: before.Path}, len(b) > len(a)
}

// flatten lists a file's nodes in preorder. The tree is known to be shallow.
func flatten(f *syntax.File) []leaf {
	leaves := loads(f)
	at := syntax.MakePosition(&f.Path, 1, 1)
	docs := docstrings(f)
	for _, stmt := range f.Stmts {
		if _, ok := stmt.(*syntax.LoadStmt); ok {
			continue
		}
		var parens []bool // of the nodes around
		syntax.Walk(stmt, func(n syntax.Node) bool {
			if n == nil {
				if !parens[len(parens)-1] {
					leaves = append(leaves, leaf{")", at})
				}
				parens = parens[:len(parens)-1]
				return true
			}
			_, paren := n.(*syntax.ParenExpr)
			if parens = append(parens, paren); paren {
				return true
			}
			if pos, ok := start(n); ok {
				at = pos
			}
			text := describe(n)
			if lit, ok := n.(*syntax.Literal); ok && docs[lit] {
				text = "docstring " + unindented(lit.Value.(string))
			}
			leaves = append(leaves, leaf{text, at})
			return true
		})
	}
	return leaves
}

// loads lists what the file's top level loads: the modules in order, the names of each sorted.
func loads(f *syntax.File) []leaf {
	var order []leaf
	index := map[string]int{}
	names := map[string]map[string]bool{}
	for _, stmt := range f.Stmts {
		load, ok := stmt.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		module := load.ModuleName()
		if names[module] == nil {
			names[module] = map[string]bool{}
			index[module] = len(order)
			order = append(order, leaf{module, load.Load})
		}
		for i, to := range load.To {
			names[module][to.Name+"="+load.From[i].Name] = true
		}
	}
	for module, i := range index {
		order[i].text = fmt.Sprintf("load %q %s", module, strings.Join(slices.Sorted(maps.Keys(names[module])), ","))
	}
	return order
}

// docstrings returns the literals that document functions.
func docstrings(f *syntax.File) map[*syntax.Literal]bool {
	docs := map[*syntax.Literal]bool{}
	syntax.Walk(f, func(n syntax.Node) bool {
		if def, ok := n.(*syntax.DefStmt); ok {
			if expr, ok := def.Body[0].(*syntax.ExprStmt); ok {
				if lit, ok := expr.X.(*syntax.Literal); ok && lit.Token == syntax.STRING {
					docs[lit] = true
				}
			}
		}
		return true
	})
	return docs
}

// unindented drops the space at the start and end of lines.
func unindented(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return strings.TrimSpace(b.String())
}

// describe says all of a node but its children, and how many these are where that isn't clear.
func describe(n syntax.Node) string {
	kind := fmt.Sprintf("%T", n)
	switch n := n.(type) {
	case *syntax.Ident:
		return "name " + n.Name
	case *syntax.Literal:
		return fmt.Sprintf("%s %v", n.Token, n.Value)
	case *syntax.AssignStmt:
		return kind + n.Op.String()
	case *syntax.BranchStmt:
		return kind + n.Token.String()
	case *syntax.IfStmt:
		return fmt.Sprint(kind, len(n.True), " ", len(n.False))
	case *syntax.DefStmt:
		return fmt.Sprint(kind, len(n.Params), " ", len(n.Body))
	case *syntax.LambdaExpr:
		return fmt.Sprint(kind, len(n.Params))
	case *syntax.BinaryExpr:
		return kind + n.Op.String()
	case *syntax.UnaryExpr:
		return fmt.Sprint(kind, n.Op, n.X == nil)
	case *syntax.SliceExpr:
		return fmt.Sprint(kind, n.Lo == nil, n.Hi == nil, n.Step == nil)
	case *syntax.Comprehension:
		return fmt.Sprint(kind, n.Curly, len(n.Clauses))
	}
	return kind
}

// start returns where a node stands, if that takes no recursion to find.
func start(n syntax.Node) (syntax.Position, bool) {
	var p syntax.Position
	switch n := n.(type) {
	case *syntax.Ident:
		p = n.NamePos
	case *syntax.Literal:
		p = n.TokenPos
	case *syntax.DefStmt:
		p = n.Def
	case *syntax.IfStmt:
		p = n.If
	case *syntax.ForStmt:
		p = n.For
	case *syntax.ReturnStmt:
		p = n.Return
	case *syntax.BranchStmt:
		p = n.TokenPos
	case *syntax.UnaryExpr:
		p = n.OpPos
	case *syntax.BinaryExpr:
		p = n.OpPos
	case *syntax.ListExpr:
		p = n.Lbrack
	case *syntax.DictExpr:
		p = n.Lbrace
	}
	return p, p.IsValid()
}
