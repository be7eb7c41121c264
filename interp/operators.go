package interp

import (
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/measure"
	"github.com/flytestar/flytestar/interp/pyfmt"
)

// Starlark's operator % and the method format of strings take no widths and no precisions, and can't
// be replaced. So a module's syntax is rewritten before it is compiled: x % y becomes a call of the
// function "%", and x.format(…) one of the function ".format" with x.format as its first argument.
// No source can name these functions.
const (
	percentName = "%"
	formatName  = ".format"
)

// rewrite rewrites a module's syntax. It recurses as deep as that nests.
func rewrite(f *syntax.File) { rewriter{}.stmts(f.Stmts) }

type rewriter struct{}

func (w rewriter) stmts(list []syntax.Stmt) {
	for _, s := range list {
		w.stmt(s)
	}
}

func (w rewriter) stmt(s syntax.Stmt) {
	switch s := s.(type) {
	case *syntax.AssignStmt:
		w.expr(&s.LHS)
		w.expr(&s.RHS)
		if id, ok := s.LHS.(*syntax.Ident); ok && s.Op == syntax.PERCENT_EQ {
			read := &syntax.Ident{NamePos: id.NamePos, Name: id.Name}
			s.Op, s.RHS = syntax.EQ, callOf(percentName, s.OpPos, read, s.RHS)
		}
	case *syntax.DefStmt:
		w.exprs(s.Params)
		w.stmts(s.Body)
	case *syntax.ExprStmt:
		w.expr(&s.X)
	case *syntax.ForStmt:
		w.expr(&s.X)
		w.stmts(s.Body)
	case *syntax.WhileStmt:
		w.expr(&s.Cond)
		w.stmts(s.Body)
	case *syntax.IfStmt:
		w.expr(&s.Cond)
		w.stmts(s.True)
		w.stmts(s.False)
	case *syntax.ReturnStmt:
		if s.Result != nil {
			w.expr(&s.Result)
		}
	}
}

func (w rewriter) exprs(list []syntax.Expr) {
	for i := range list {
		w.expr(&list[i])
	}
}

// expr rewrites the expression at x.
func (w rewriter) expr(x *syntax.Expr) {
	w.parts(*x)
	switch n := (*x).(type) {
	case *syntax.BinaryExpr:
		if l, ok := n.X.(*syntax.Literal); n.Op == syntax.PERCENT && !(ok && l.Token != syntax.STRING) {
			*x = callOf(percentName, n.OpPos, n.X, n.Y)
		}
	case *syntax.CallExpr:
		if dot, ok := n.Fn.(*syntax.DotExpr); ok && dot.Name.Name == "format" {
			n.Args = append([]syntax.Expr{n.Fn}, n.Args...)
			n.Fn = &syntax.Ident{NamePos: syntax.Start(dot), Name: formatName}
		}
	}
}

// parts rewrites what an expression is made of.
func (w rewriter) parts(x syntax.Expr) {
	switch x := x.(type) {
	case *syntax.CallExpr:
		w.expr(&x.Fn)
		w.exprs(x.Args)
	case *syntax.DotExpr:
		w.expr(&x.X)
	case *syntax.ListExpr:
		w.exprs(x.List)
	case *syntax.DictExpr:
		w.exprs(x.List)
	case *syntax.DictEntry:
		w.expr(&x.Key)
		w.expr(&x.Value)
	case *syntax.TupleExpr:
		w.exprs(x.List)
	case *syntax.ParenExpr:
		w.expr(&x.X)
	case *syntax.UnaryExpr:
		if x.X != nil {
			w.expr(&x.X)
		}
	case *syntax.BinaryExpr:
		if x.Op != syntax.EQ { // the name of an argument or parameter
			w.expr(&x.X)
		}
		w.expr(&x.Y)
	case *syntax.CondExpr:
		w.expr(&x.True)
		w.expr(&x.Cond)
		w.expr(&x.False)
	case *syntax.IndexExpr:
		w.expr(&x.X)
		w.expr(&x.Y)
	case *syntax.SliceExpr:
		w.expr(&x.X)
		for _, bound := range []*syntax.Expr{&x.Lo, &x.Hi, &x.Step} {
			if *bound != nil {
				w.expr(bound)
			}
		}
	case *syntax.Comprehension:
		w.expr(&x.Body)
		for _, clause := range x.Clauses {
			switch c := clause.(type) {
			case *syntax.ForClause:
				w.expr(&c.X)
			case *syntax.IfClause:
				w.expr(&c.Cond)
			}
		}
	case *syntax.LambdaExpr:
		w.exprs(x.Params)
		w.expr(&x.Body)
	}
}

// callOf returns a call at pos.
func callOf(name string, pos syntax.Position, args ...syntax.Expr) *syntax.CallExpr {
	return &syntax.CallExpr{Fn: &syntax.Ident{NamePos: pos, Name: name}, Lparen: pos, Args: args, Rparen: pos}
}

// percent implements the operator %.
func percent(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	format, ok := args[0].(starlark.String)
	if !ok {
		return starlark.Binary(syntax.PERCENT, args[0], args[1])
	}
	if err := measured(th, args); err != nil {
		return nil, err
	}
	return pyfmt.Percent(string(format), args[1])
}

// format implements the method format of strings, and calls other methods of that name.
func format(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	method, ok := args[0].(*starlark.Builtin)
	if ok {
		_, ok = method.Receiver().(starlark.String)
	}
	if !ok {
		return starlark.Call(th, args[0], args[1:], kwargs)
	}
	values := append(starlark.Tuple{method.Receiver()}, args[1:]...)
	for _, kv := range kwargs {
		values = append(values, kv[1])
	}
	if err := measured(th, values); err != nil {
		return nil, err
	}
	return pyfmt.Template(method, th, args[1:], kwargs)
}

// measured refuses values with too much text, and charges a step for each of their parts.
func measured(th *starlark.Thread, values starlark.Tuple) error {
	size, err := measure.Text(values...)
	if err != nil {
		return err
	}
	return charge(th, size.Parts+size.Bytes/perFormatted)
}

// perFormatted is how many bytes of text are formatted in a step.
const perFormatted = 64

// sum implements sum(items, start = 0).
func sum(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var items starlark.Iterable
	var total starlark.Value = starlark.MakeInt(0)
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "items", &items, "start?", &total); err != nil {
		return nil, err
	}
	if err := visits(th, []starlark.Value{items}, 1); err != nil {
		return nil, err
	}
	copied := 0 // elements of lists, which each addition copies
	for x := range starlark.Elements(items) {
		if _, ok := x.(starlark.String); ok {
			return nil, (&diag.Error{Msg: "sum adds numbers, not strings"}).WithHint(`write "".join(items)`)
		}
		if copied += max(0, starlark.Len(total)); copied >= slice {
			if err := charge(th, copied); err != nil {
				return nil, err
			}
			copied = 0
		}
		var err error
		if total, err = starlark.Binary(syntax.PLUS, total, x); err != nil {
			return nil, err
		}
	}
	return total, charge(th, copied)
}

// round implements round(x, ndigits = None).
func round(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, ndigits starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "number", &x, "ndigits??", &ndigits); err != nil {
		return nil, err
	}
	if i, ok := x.(starlark.Int); ok {
		if err := measure.Digits(i); err != nil {
			return nil, err
		}
	}
	if ndigits == nil {
		return pyfmt.Round(x, nil)
	}
	n, err := starlark.AsInt32(ndigits)
	if err != nil {
		return nil, err
	}
	return pyfmt.Round(x, &n)
}
