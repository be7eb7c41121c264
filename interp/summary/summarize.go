package summary

import (
	"math/big"
	"slices"

	starresolve "go.starlark.net/resolve"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/plan"
)

// Of makes the summary of a module from its syntax. The names have been resolved; the summary
// leaves out whatever depends on a name that couldn't be. Of takes one pass, and recurses as deep
// as the syntax nests.
func Of(f *syntax.File) *Summary {
	b := &summarizer{summary: &Summary{path: f.Path}, index: map[string]int32{}, function: noFunction}
	for _, stmt := range f.Stmts {
		if load, ok := stmt.(*syntax.LoadStmt); ok {
			b.load(load)
		}
	}
	b.stmts(f.Stmts)
	b.globals(f)
	b.collect()
	return b.summary
}

// summarizer makes a summary.
type summarizer struct {
	summary  *Summary
	index    map[string]int32 // indices of names
	function int32            // the innermost function around what is being read, or noFunction
	mentions []ownMention     // of all functions, in source order
}

const noFunction = -1

// ownMention is a mention and the function it belongs to.
type ownMention struct {
	function int32
	mention
}

// globals takes the first binding of each global.
func (b *summarizer) globals(f *syntax.File) {
	module, ok := f.Module.(*starresolve.Module)
	if !ok {
		return
	}
	for _, g := range module.Globals {
		b.summary.globals = append(b.summary.globals, bound{g.First.Name, pointOf(g.First.NamePos)})
	}
	slices.SortFunc(b.summary.globals, func(x, y bound) int { return x.pos.compare(y.pos) })
}

// collect sorts the mentions by function.
func (b *summarizer) collect() {
	s := b.summary
	next := make([]int32, len(s.functions)+1) // by function: where its next mention goes
	for _, m := range b.mentions {
		next[m.function+1]++
	}
	for i := range s.functions {
		next[i+1] += next[i]
		s.functions[i].mentions = span{next[i], next[i+1]}
	}
	s.mentions = make([]mention, len(b.mentions))
	for _, m := range b.mentions {
		s.mentions[next[m.function]] = m.mention
		next[m.function]++
	}
	fields := make([]int32, 0, len(s.fields))
	for i := range s.mentions {
		m := &s.mentions[i]
		from := int32(len(fields))
		fields = append(fields, s.fields[m.fields.from:m.fields.to]...)
		m.fields = span{from, int32(len(fields))}
	}
	s.fields = fields
}

// name returns the index of a name.
func (b *summarizer) name(name string) int32 {
	i, ok := b.index[name]
	if !ok {
		i = int32(len(b.summary.names))
		b.index[name] = i
		b.summary.names = append(b.summary.names, name)
	}
	return i
}

func pointOf(p syntax.Position) point { return point{p.Line, p.Col} }

func (b *summarizer) stmts(list []syntax.Stmt) {
	for _, s := range list {
		b.stmt(s)
	}
}

func (b *summarizer) stmt(s syntax.Stmt) {
	switch s := s.(type) {
	case *syntax.AssignStmt:
		b.expr(s.LHS)
		b.expr(s.RHS)
	case *syntax.DefStmt:
		outer := b.enter(s.Def, s.Function, s.Params)
		b.stmts(s.Body)
		b.function = outer
	case *syntax.ExprStmt:
		if c, ok := s.X.(*syntax.CallExpr); ok {
			_, i := b.call(c)
			b.summary.calls[i].unused = true
		} else {
			b.expr(s.X)
		}
	case *syntax.ForStmt:
		b.expr(s.Vars)
		b.expr(s.X)
		b.stmts(s.Body)
	case *syntax.IfStmt:
		b.expr(s.Cond)
		b.stmts(s.True)
		b.stmts(s.False)
	case *syntax.ReturnStmt:
		if s.Result != nil {
			b.expr(s.Result)
		}
	}
}

// load takes a load statement of the top level. The resolver has reported any other.
func (b *summarizer) load(s *syntax.LoadStmt) {
	out := Load{Module: s.ModuleName(), Pos: s.Module.TokenPos}
	for i, id := range s.From {
		out.Names = append(out.Names, LoadedName{id.Name, s.To[i].Name, id.NamePos})
	}
	b.summary.loads = append(b.summary.loads, out)
}

func (b *summarizer) exprs(list []syntax.Expr) {
	for _, x := range list {
		b.expr(x)
	}
}

// expr reads an expression and returns where it begins. Without that, finding the start of each
// call in a chain such as f()()… would take a walk down the chain.
func (b *summarizer) expr(x syntax.Expr) syntax.Position {
	switch x := x.(type) {
	case *syntax.Ident:
		b.variable(x, nil)
		return x.NamePos
	case *syntax.Literal:
		return x.TokenPos
	case *syntax.CallExpr:
		start, _ := b.call(x)
		return start
	case *syntax.DotExpr:
		return b.attribute(x)
	case *syntax.ListExpr:
		b.exprs(x.List)
		return x.Lbrack
	case *syntax.DictExpr:
		b.exprs(x.List)
		return x.Lbrace
	case *syntax.DictEntry:
		start := b.expr(x.Key)
		b.expr(x.Value)
		return start
	case *syntax.TupleExpr:
		start := x.Lparen
		for i, elem := range x.List {
			if p := b.expr(elem); i == 0 && !start.IsValid() {
				start = p
			}
		}
		return start
	case *syntax.ParenExpr:
		b.expr(x.X)
		return x.Lparen
	case *syntax.UnaryExpr:
		if x.X != nil {
			b.expr(x.X)
		}
		return x.OpPos
	case *syntax.BinaryExpr:
		start := b.expr(x.X)
		b.expr(x.Y)
		return start
	case *syntax.CondExpr:
		start := b.expr(x.True)
		b.expr(x.Cond)
		b.expr(x.False)
		return start
	case *syntax.IndexExpr:
		start := b.expr(x.X)
		b.expr(x.Y)
		return start
	case *syntax.SliceExpr:
		start := b.expr(x.X)
		for _, bound := range []syntax.Expr{x.Lo, x.Hi, x.Step} {
			if bound != nil {
				b.expr(bound)
			}
		}
		return start
	case *syntax.Comprehension:
		b.comprehension(x)
		return x.Lbrack
	case *syntax.LambdaExpr:
		outer := b.enter(x.Lambda, x.Function, x.Params)
		b.expr(x.Body)
		b.function = outer
		return x.Lambda
	}
	return syntax.Position{}
}

func (b *summarizer) comprehension(x *syntax.Comprehension) {
	b.expr(x.Body)
	for _, clause := range x.Clauses {
		switch c := clause.(type) {
		case *syntax.ForClause:
			b.expr(c.Vars)
			b.expr(c.X)
		case *syntax.IfClause:
			b.expr(c.Cond)
		}
	}
}

// enter begins a function, and returns the one around it. The code around it evaluates its
// defaults.
func (b *summarizer) enter(pos syntax.Position, resolved any, params []syntax.Expr) (outer int32) {
	s := b.summary
	i := int32(len(s.functions))
	out := function{pos: pointOf(pos)}
	out.free.from = int32(len(s.free))
	if fn, ok := resolved.(*starresolve.Function); ok {
		for _, v := range fn.FreeVars {
			s.free = append(s.free, b.freeOf(v))
		}
	}
	out.free.to = int32(len(s.free))
	out.defaults.from = int32(len(s.defaults))
	for _, p := range params {
		if eq, ok := p.(*syntax.BinaryExpr); ok {
			s.defaults = append(s.defaults, argument{form: named, name: b.name(eq.X.(*syntax.Ident).Name)})
		}
	}
	out.defaults.to = int32(len(s.defaults))
	s.functions = append(s.functions, out)
	at := out.defaults.from
	for _, p := range params {
		if eq, ok := p.(*syntax.BinaryExpr); ok {
			s.defaults[at].pos = pointOf(b.expr(eq.Y))
			at++
		}
	}
	outer = b.function
	if outer != noFunction {
		b.mentions = append(b.mentions, ownMention{outer, mention{kind: mentionsFunction, index: i, call: notCall}})
	}
	b.function = i
	return outer
}

// freeOf returns the free variable of the function around that v is, or notFree. v is a free
// variable of a nested function.
func (b *summarizer) freeOf(v *starresolve.Binding) int32 {
	if v.Scope == starresolve.Free && b.function != noFunction {
		return int32(v.Index)
	}
	return notFree
}

// call reads a call, and returns where it begins and its index. Calls inside x.Fn come first.
func (b *summarizer) call(x *syntax.CallExpr) (start syntax.Position, index int32) {
	s := b.summary
	named, over := b.named(x.Fn, func() { start = b.expr(x.Fn) })
	index = int32(len(s.calls))
	out := callSite{paren: pointOf(x.Lparen), start: pointOf(start), arguments: span{from: int32(len(s.arguments))}}
	if named != nil {
		named.call, named.over = index, over
	}
	if dot, ok := x.Fn.(*syntax.DotExpr); ok {
		out.method = pointOf(dot.Name.NamePos)
	}
	for _, arg := range x.Args {
		s.arguments = append(s.arguments, b.argument(arg))
	}
	out.arguments.to = int32(len(s.arguments))
	s.calls = append(s.calls, out)
	for i, arg := range x.Args {
		named, over := b.named(arg, func() {
			start := b.expr(value(arg)) // it may move s.arguments
			s.arguments[out.arguments.from+int32(i)].pos = pointOf(start)
		})
		if via := caller(x.Fn); named != nil && i == 0 && via != Direct {
			named.call, named.via, named.over = index, via, over
		}
	}
	return start, index
}

// named calls read, which reads x. If x is only a name, or what its method override returned, or a
// method of that, named returns the mention that read made, and which of these x is.
func (b *summarizer) named(x syntax.Expr, read func()) (*mention, Over) {
	before := len(b.mentions)
	read()
	over := overridden(x)
	if over == NotOver && !isName(x) || len(b.mentions) == before {
		return nil, NotOver
	}
	return &b.mentions[before].mention, over
}

// overridden says whether x is what a name's method override returned, or a method of that.
func overridden(x syntax.Expr) Over {
	over := OverCall
	if dot, ok := x.(*syntax.DotExpr); ok {
		if over = methods[dot.Name.Name]; over == NotOver {
			over = OverOther
		}
		x = dot.X
	}
	for {
		call, ok := x.(*syntax.CallExpr)
		if !ok {
			return NotOver
		}
		dot, ok := call.Fn.(*syntax.DotExpr)
		if !ok || dot.Name.Name != "override" {
			return NotOver
		}
		if isName(dot.X) {
			return over
		}
		x = dot.X
	}
}

// isName reports whether x is a name, or one with attributes.
func isName(x syntax.Expr) bool {
	for {
		switch n := x.(type) {
		case *syntax.Ident:
			return true
		case *syntax.DotExpr:
			x = n.X
		default:
			return false
		}
	}
}

// caller returns which predeclared function that calls its first argument x is.
func caller(x syntax.Expr) Via {
	id, ok := x.(*syntax.Ident)
	if !ok {
		return Direct
	}
	v, ok := id.Binding.(*starresolve.Binding)
	if !ok || v.Scope != starresolve.Predeclared {
		return Direct
	}
	return callers[id.Name]
}

// argument returns a call's argument, without its position.
func (b *summarizer) argument(arg syntax.Expr) argument {
	switch x := arg.(type) {
	case *syntax.BinaryExpr:
		if id, ok := x.X.(*syntax.Ident); ok && x.Op == syntax.EQ {
			return argument{form: named, name: b.name(id.Name), literal: literalOf(x.Y)}
		}
	case *syntax.UnaryExpr:
		if x.Op == syntax.STAR || x.Op == syntax.STARSTAR {
			return argument{form: unpacked}
		}
	}
	return argument{literal: literalOf(arg)}
}

// value returns the expression of an argument's value.
func value(arg syntax.Expr) syntax.Expr {
	switch x := arg.(type) {
	case *syntax.BinaryExpr:
		if x.Op == syntax.EQ {
			return x.Y
		}
	case *syntax.UnaryExpr:
		if x.Op == syntax.STAR || x.Op == syntax.STARSTAR {
			return x.X
		}
	}
	return arg
}

// attribute reads x.name.name…, and returns where it begins.
func (b *summarizer) attribute(x *syntax.DotExpr) syntax.Position {
	fields := []string{x.Name.Name}
	base := x.X
	for {
		dot, ok := base.(*syntax.DotExpr)
		if !ok {
			break
		}
		fields = append(fields, dot.Name.Name)
		base = dot.X
	}
	id, ok := base.(*syntax.Ident)
	if !ok {
		return b.expr(base)
	}
	slices.Reverse(fields)
	b.variable(id, fields)
	return id.NamePos
}

// variable notes a mention of a variable whose value is known before the code runs: a global, or a
// variable of a function around.
func (b *summarizer) variable(id *syntax.Ident, fields []string) {
	v, ok := id.Binding.(*starresolve.Binding)
	if !ok || b.function == noFunction {
		return
	}
	m := mention{pos: pointOf(id.NamePos), call: notCall}
	switch v.Scope {
	case starresolve.Global:
		m.kind, m.index = mentionsGlobal, b.name(v.First.Name)
	case starresolve.Free:
		m.kind, m.index = mentionsFree, int32(v.Index)
	default:
		return
	}
	m.fields.from = int32(len(b.summary.fields))
	for _, f := range fields {
		b.summary.fields = append(b.summary.fields, b.name(f))
	}
	m.fields.to = int32(len(b.summary.fields))
	b.mentions = append(b.mentions, ownMention{b.function, m})
}

// literal is the type of a literal value, as an index of literalKinds.
type literal uint8

const (
	unknown literal = iota
	literalStr
	literalInt
	literalFloat
	literalBool
	literalNone
	literalList // a tuple too, which becomes a list where it is passed
	literalDict
)

var literalKinds = [...]plan.Kind{"", plan.KindStr, plan.KindInt, plan.KindFloat, plan.KindBool, plan.KindNone, plan.KindList, plan.KindDict}

// literalOf returns the type of the value of x, or unknown if x isn't a literal.
func literalOf(x syntax.Expr) literal {
	for {
		switch n := x.(type) {
		case *syntax.ParenExpr:
			x = n.X
			continue
		case *syntax.UnaryExpr:
			if n.Op != syntax.PLUS && n.Op != syntax.MINUS {
				return unknown
			}
			if l := literalOf(n.X); l == literalInt || l == literalFloat {
				return l
			}
			return unknown
		case *syntax.Literal:
			return tokenLiteral(n)
		case *syntax.Ident:
			return nameLiteral(n)
		case *syntax.ListExpr, *syntax.TupleExpr:
			return literalList
		case *syntax.DictExpr:
			return literalDict
		case *syntax.Comprehension:
			if !n.Curly {
				return literalList
			}
		}
		return unknown
	}
}

func tokenLiteral(n *syntax.Literal) literal {
	switch n.Value.(type) {
	case int64, *big.Int:
		return literalInt
	case float64:
		return literalFloat
	}
	if n.Token == syntax.STRING {
		return literalStr
	}
	return unknown
}

// nameLiteral is literalOf for True, False and None, which are names in Starlark.
func nameLiteral(id *syntax.Ident) literal {
	v, ok := id.Binding.(*starresolve.Binding)
	if !ok || v.Scope != starresolve.Universal {
		return unknown
	}
	switch id.Name {
	case "True", "False":
		return literalBool
	case "None":
		return literalNone
	}
	return unknown
}
