package lint

import (
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
)

// values finds loops in a set's order (FS223), conditions that are constant (FS224) and keys
// that a dict literal has twice (FS225).
func (c *checker) values() {
	sets := setVariables(c.file)
	syntax.Walk(c.file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ForStmt:
			c.setOrder(n.X, sets)
		case *syntax.ForClause:
			c.setOrder(n.X, sets)
		case *syntax.IfStmt:
			c.condition(n.Cond)
		case *syntax.CondExpr:
			c.condition(n.Cond)
		case *syntax.IfClause:
			c.condition(n.Cond)
		case *syntax.DictExpr:
			c.keys(n)
		}
		return true
	})
}

func (c *checker) setOrder(x syntax.Expr, sets map[*syntax.Ident]bool) {
	if isSet(x, sets) {
		begin, _ := x.Span()
		c.report(setOrder, position(begin), "the loop takes a set's elements in the order in which they were added").
			WithHint("say which order is meant: sorted(...)")
	}
}

// setVariables returns the variables, by first binding, that are only ever assigned sets.
func setVariables(f *syntax.File) map[*syntax.Ident]bool {
	sets := map[*syntax.Ident]bool{}
	syntax.Walk(f, func(n syntax.Node) bool {
		if assign, ok := n.(*syntax.AssignStmt); ok {
			id, ok := assign.LHS.(*syntax.Ident)
			if !ok || assign.Op != syntax.EQ && assign.Op != syntax.PIPE_EQ {
				return true
			}
			first := binding(id)
			was, seen := sets[first]
			sets[first] = (was || !seen) && isSet(assign.RHS, sets)
		}
		return true
	})
	delete(sets, nil)
	return sets
}

// isSet reports whether x is certainly a set.
func isSet(x syntax.Expr, sets map[*syntax.Ident]bool) bool {
	switch x := x.(type) {
	case *syntax.ParenExpr:
		return isSet(x.X, sets)
	case *syntax.Ident:
		return sets[binding(x)]
	case *syntax.BinaryExpr:
		switch x.Op {
		case syntax.PIPE, syntax.AMP, syntax.MINUS, syntax.CIRCUMFLEX:
			return isSet(x.X, sets)
		}
	case *syntax.CallExpr:
		if dot, ok := x.Fn.(*syntax.DotExpr); ok {
			switch dot.Name.Name {
			case "union", "intersection", "difference", "symmetric_difference":
				return isSet(dot.X, sets)
			}
		}
		return isBuiltin(x.Fn, "set")
	}
	return false
}

func (c *checker) condition(x syntax.Expr) {
	if value, ok := constant(x); ok {
		begin, _ := x.Span()
		c.report(constantCondition, position(begin), "this condition is always %t", value).
			WithHint("remove the condition, or what never runs")
	}
}

// constant returns the truth of x, if that is always the same.
func constant(x syntax.Expr) (truth, ok bool) {
	switch x := x.(type) {
	case *syntax.ParenExpr:
		return constant(x.X)
	case *syntax.Literal:
		switch v := x.Value.(type) {
		case string:
			return v != "", true
		case int64:
			return v != 0, true
		case float64:
			return v != 0, true
		}
		return false, false
	case *syntax.Ident:
		if isBuiltin(x, x.Name) {
			switch x.Name {
			case "True":
				return true, true
			case "False", "None":
				return false, true
			}
		}
	case *syntax.ListExpr:
		return len(x.List) > 0, true
	case *syntax.DictExpr:
		return len(x.List) > 0, true
	case *syntax.TupleExpr:
		return len(x.List) > 0, true
	case *syntax.UnaryExpr:
		if x.Op == syntax.NOT {
			truth, ok = constant(x.X)
			return !truth, ok
		}
	case *syntax.BinaryExpr:
		return constantBinary(x)
	}
	return false, false
}

// constantBinary is constant for and and or. One side can decide both.
func constantBinary(x *syntax.BinaryExpr) (truth, ok bool) {
	if x.Op != syntax.AND && x.Op != syntax.OR {
		return false, false
	}
	decides := x.Op == syntax.OR
	a, okA := constant(x.X)
	b, okB := constant(x.Y)
	if okA && a == decides || okB && b == decides {
		return decides, true
	}
	return !decides, okA && okB
}

// keys reports the keys of a dict literal that are there before, as the same literal or name.
func (c *checker) keys(x *syntax.DictExpr) {
	seen := make(map[string]syntax.Position, len(x.List))
	for _, entry := range x.List {
		key := entry.(*syntax.DictEntry).Key
		var pos syntax.Position
		switch key := key.(type) {
		case *syntax.Literal:
			pos = key.TokenPos
		case *syntax.Ident:
			pos = key.NamePos
		default:
			continue
		}
		text := describe(key)
		first, again := seen[text]
		if !again {
			seen[text] = pos
			continue
		}
		e := c.report(duplicateKey, position(pos), "the dict has this key already").WithHint("remove one of the two: evaluating this fails")
		e.Notes = []diag.Note{{Pos: position(first), Msg: "it is here first"}}
	}
}
