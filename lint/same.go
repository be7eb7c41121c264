package lint

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/interp"

	"github.com/flytestar/flytestar/diag"
)

// Formatting must not change what a module means. Two modules mean the same if this is the same:
//
//   - The statements, other than load, are the same trees in the same order. Where they stand,
//     parentheses (the tree shows what they say), quotes and the spelling of numbers don't count.
//   - Loads bind the same names from the same modules, and name these modules for the first time in
//     the same order: that is the order in which they are evaluated. Their place between other
//     statements doesn't count, since modules are loaded before any statement runs.
//   - The indentation of docstrings doesn't count: a task's documentation has none.

// leaf is a node without its children, or the end of a node's children.
type leaf struct {
	text string
	pos  syntax.Position
}

// difference returns the place in before where the two files begin to differ.
func difference(before, after *syntax.File) (diag.Position, bool) {
	next, stop := iter.Pull(flatten(after))
	defer stop()
	for a := range flatten(before) {
		if b, ok := next(); !ok || a.text != b.text {
			return position(a.pos), true
		}
	}
	_, more := next()
	return diag.Position{File: before.Path}, more
}

// flatten yields a file's nodes in preorder, one at a time: all together take much more memory than
// the tree. The tree is known to be shallow.
func flatten(f *syntax.File) iter.Seq[leaf] {
	return func(yield func(leaf) bool) {
		for _, l := range loads(f) {
			if !yield(l) {
				return
			}
		}
		w := flattener{at: syntax.MakePosition(&f.Path, 1, 1), docs: docstrings(f), yield: yield}
		for _, stmt := range f.Stmts {
			if _, ok := stmt.(*syntax.LoadStmt); !ok && !w.done {
				syntax.Walk(stmt, w.visit)
			}
		}
	}
}

// flattener yields the nodes of statements.
type flattener struct {
	at     syntax.Position // of the last node whose position is at hand
	docs   map[*syntax.Literal]bool
	parens []bool // of the nodes around: whether it is a pair of parentheses, which doesn't count
	yield  func(leaf) bool
	done   bool // nobody wants more
}

// visit is called with each node, and with nil at its end.
func (w *flattener) visit(n syntax.Node) bool {
	switch {
	case w.done:
		return false
	case n == nil:
		if !w.parens[len(w.parens)-1] {
			w.done = !w.yield(leaf{")", w.at})
		}
		w.parens = w.parens[:len(w.parens)-1]
		return true
	}
	_, paren := n.(*syntax.ParenExpr)
	w.parens = append(w.parens, paren)
	if paren {
		return true
	}
	if pos := interp.Token(n); pos.IsValid() {
		w.at = pos
	}
	text := describe(n)
	if lit, ok := n.(*syntax.Literal); ok && w.docs[lit] {
		text = "docstring " + unindented(lit.Value.(string))
	}
	w.done = !w.yield(leaf{text, w.at})
	return !w.done
}

// loads lists what the file's top level loads: the modules in order, and the names of each, sorted.
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

// describe says everything about a node but its children. It says how many these are if that isn't
// clear.
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
