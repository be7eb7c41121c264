package reach

import (
	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
)

// mention is a value that a function's code names.
type mention struct {
	value starlark.Value
	pos   diag.Position
}

// mentioner finds what functions mention, each module's functions indexed and
// each function read once.
type mentioner struct {
	modules   map[string]*interp.Module
	functions map[string]map[[2]int32]*resolve.Function // by module and position of def or lambda
	known     map[*starlark.Function][]mention
}

func newMentioner(all []*interp.Module) *mentioner {
	m := &mentioner{
		modules:   map[string]*interp.Module{},
		functions: map[string]map[[2]int32]*resolve.Function{},
		known:     map[*starlark.Function][]mention{},
	}
	for _, mod := range all {
		m.modules[mod.Path] = mod
	}
	return m
}

// of returns what fn's code and its defaults mention, in source order: the
// globals and free variables that hold a value, narrowed to the field where the
// code names one of a struct. What nested functions mention counts as fn's.
func (m *mentioner) of(fn *starlark.Function) []mention {
	if found, ok := m.known[fn]; ok {
		return found
	}
	mod := m.modules[fn.Position().Filename()]
	r := reader{fn: fn, globals: mod.Globals}
	if node := m.function(mod, fn.Position()); node != nil {
		r.defaults(node)
		r.body(node)
	}
	m.known[fn] = r.found
	return r.found
}

// function returns the syntax of the function at pos.
func (m *mentioner) function(mod *interp.Module, pos syntax.Position) *resolve.Function {
	index := m.functions[mod.Path]
	if index == nil {
		index = map[[2]int32]*resolve.Function{}
		syntax.Walk(mod.File, func(n syntax.Node) bool {
			if f := functionOf(n); f != nil {
				index[[2]int32{f.Pos.Line, f.Pos.Col}] = f
			}
			return true
		})
		m.functions[mod.Path] = index
	}
	return index[[2]int32{pos.Line, pos.Col}]
}

// functionOf returns what the resolver knows of a def or lambda, else nil.
func functionOf(n syntax.Node) *resolve.Function {
	var f any
	switch n := n.(type) {
	case *syntax.DefStmt:
		f = n.Function
	case *syntax.LambdaExpr:
		f = n.Function
	}
	out, _ := f.(*resolve.Function)
	return out
}

// reader reads the code of one function.
type reader struct {
	fn      *starlark.Function
	globals starlark.StringDict
	within  []*resolve.Function // fn's syntax, and the nested functions around what is being read
	found   []mention
}

// defaults reads the defaults of fn itself, which were evaluated when it was made.
func (r *reader) defaults(node *resolve.Function) {
	at := map[string]syntax.Expr{}
	for _, p := range node.Params {
		if eq, ok := p.(*syntax.BinaryExpr); ok {
			at[eq.X.(*syntax.Ident).Name] = eq.Y
		}
	}
	for i := range r.fn.NumParams() {
		name, _ := r.fn.Param(i)
		if v := r.fn.ParamDefault(i); v != nil {
			r.add(v, at[name])
		}
	}
}

// body reads the statements of a function.
func (r *reader) body(f *resolve.Function) {
	r.within = append(r.within, f)
	for _, stmt := range f.Body {
		syntax.Walk(stmt, r.visit)
	}
	r.within = r.within[:len(r.within)-1]
}

// visit is called for each node; it returns whether to go on to the children.
func (r *reader) visit(n syntax.Node) bool {
	if f := functionOf(n); f != nil {
		for _, p := range f.Params { // defaults belong to the code around
			if eq, ok := p.(*syntax.BinaryExpr); ok {
				syntax.Walk(eq.Y, r.visit)
			}
		}
		r.body(f)
		return false
	}
	switch n := n.(type) {
	case *syntax.Ident:
		r.add(r.lookUp(n), n)
	case *syntax.DotExpr:
		return r.attribute(n)
	}
	return true
}

// attribute reads NAME.attr.attr…. It returns false where it has dealt with all of it.
func (r *reader) attribute(n *syntax.DotExpr) bool {
	var names []string
	var x syntax.Expr = n
	for {
		dot, ok := x.(*syntax.DotExpr)
		if !ok {
			break
		}
		names = append(names, dot.Name.Name)
		x = dot.X
	}
	id, ok := x.(*syntax.Ident)
	if !ok {
		return true
	}
	v := r.lookUp(id)
	for i := len(names) - 1; i >= 0 && v != nil; i-- {
		switch t := v.(type) {
		case *starlarkstruct.Struct:
			v, _ = t.Attr(names[i])
			continue
		case *starlarkstruct.Module:
			v, _ = t.Attr(names[i])
			continue
		case *builtins.Task:
			if names[i] != "start" && names[i] != "map" {
				v = nil // asks for its name, say, and doesn't call it
			}
		}
		break
	}
	r.add(v, n)
	return false
}

// lookUp returns the value of a variable where it is known without running the
// code: a global, or a variable of a function around fn. Otherwise nil.
func (r *reader) lookUp(id *syntax.Ident) starlark.Value {
	b, ok := id.Binding.(*resolve.Binding)
	if !ok {
		return nil // a field's or argument's name
	}
	for depth := len(r.within) - 1; b.Scope == resolve.Free; depth-- {
		if depth == 0 {
			_, v := r.fn.FreeVar(b.Index)
			return v
		}
		b = r.within[depth].FreeVars[b.Index]
	}
	if b.Scope == resolve.Global {
		return r.globals[b.First.Name]
	}
	return nil
}

func (r *reader) add(v starlark.Value, at syntax.Node) {
	if v == nil || !leads(v) {
		return
	}
	start, _ := at.Span()
	r.found = append(r.found, mention{v, position(start)})
}

// leads reports whether a task could be reached from v.
func leads(v starlark.Value) bool {
	switch v := v.(type) {
	case *builtins.Task, *starlark.Function, *starlarkstruct.Struct, *starlarkstruct.Module, starlark.Sequence:
		return true
	case *starlark.Builtin:
		return v.Receiver() != nil
	}
	return false
}
