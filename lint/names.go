package lint

import (
	"slices"

	starresolve "go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
)

// declaredTasks returns the tasks that modules declare and bind to globals in one statement, by
// module and name. Tasks that a macro makes aren't among them.
func declaredTasks(files map[string]*syntax.File, sites []TaskSite) map[string]map[string]TaskSite {
	at := map[diag.Position]TaskSite{}
	for _, s := range sites {
		at[s.Pos] = s
	}
	declared := map[string]map[string]TaskSite{}
	for path, f := range files {
		declared[path] = map[string]TaskSite{}
		for _, stmt := range f.Stmts {
			if id, call := boundCall(stmt); id != nil {
				begin, _ := call.Span()
				if site, ok := at[position(begin)]; ok {
					declared[path][id.Name] = site
				}
			}
		}
	}
	return declared
}

// boundCall returns the parts of a statement NAME = CALL. They are nil for other statements.
func boundCall(stmt syntax.Stmt) (*syntax.Ident, *syntax.CallExpr) {
	assign, ok := stmt.(*syntax.AssignStmt)
	if !ok || assign.Op != syntax.EQ {
		return nil, nil
	}
	id, _ := assign.LHS.(*syntax.Ident)
	call, _ := assign.RHS.(*syntax.CallExpr)
	if id == nil || call == nil {
		return nil, nil
	}
	return id, call
}

// bindings notes which of the module's names are loaded, and which are tasks.
func (c *checker) bindings(declared map[string]map[string]TaskSite) {
	c.loaded, c.tasks = map[*syntax.Ident]bool{}, map[*syntax.Ident]TaskSite{}
	for _, stmt := range c.file.Stmts {
		if load, ok := stmt.(*syntax.LoadStmt); ok {
			path, err := interp.ModulePath(c.file.Path, load.ModuleName())
			for i, to := range load.To {
				c.loaded[to] = true
				if site, ok := declared[path][load.From[i].Name]; ok && err == nil {
					c.tasks[to] = site
				}
			}
		}
	}
	for _, b := range c.module.Globals {
		if site, ok := declared[c.file.Path][b.First.Name]; ok {
			c.tasks[b.First] = site
		}
	}
}

// expose notes the loaded names that are tasks. A name that a macro may have made counts if a task
// of that name can be invoked.
func (c *checker) expose(graph *Declared) {
	for _, stmt := range c.file.Stmts {
		if load, ok := stmt.(*syntax.LoadStmt); ok {
			for i, to := range load.To {
				if _, task := c.tasks[to]; task || graph.Partial || slices.Contains(graph.Listed, load.From[i].Name) {
					c.exposed = append(c.exposed, to.Name)
				}
			}
		}
	}
}

// binding returns where the name that id uses is first bound, or nil if the module doesn't bind it.
func binding(id *syntax.Ident) *syntax.Ident {
	if b, ok := id.Binding.(*starresolve.Binding); ok {
		return b.First
	}
	return nil
}

// isBuiltin reports whether x names the predeclared or universal value of that name.
func isBuiltin(x syntax.Expr, name string) bool {
	id, ok := x.(*syntax.Ident)
	return ok && id.Name == name && binding(id) == nil
}

// names finds results that nothing uses (FS220) and names that hide others (FS221).
func (c *checker) names() {
	globals := map[string]*syntax.Ident{}
	for _, b := range c.module.Globals {
		globals[b.First.Name] = b.First
	}
	for id := range c.loaded {
		globals[id.Name] = id
	}
	c.hiding(c.module.Locals, globals)
	syntax.Walk(c.file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			c.hidingIn(n.Function, globals)
		case *syntax.LambdaExpr:
			c.hidingIn(n.Function, globals)
		case *syntax.ExprStmt:
			c.unusedResult(n)
		}
		return true
	})
}

func (c *checker) hidingIn(function any, globals map[string]*syntax.Ident) {
	if f, ok := function.(*starresolve.Function); ok { // none where the resolver gave up
		c.hiding(f.Locals, globals)
	}
}

// hiding reports the locals that hide another name.
func (c *checker) hiding(locals []*starresolve.Binding, globals map[string]*syntax.Ident) {
	for _, b := range locals {
		id := b.First
		if id == nil || c.loaded[id] {
			continue
		}
		name, global := id.Name, globals[id.Name]
		what := ""
		switch {
		case global != nil && c.loaded[global]:
			what = "the loaded " + name
		case global != nil:
			what = "the global " + name
		case c.predeclared.Has(name):
			what = "the predeclared " + name
		case starlark.Universe.Has(name):
			what = "Starlark's " + name
		default:
			continue
		}
		e := c.report(shadowedName, position(id.NamePos), "%s hides %s", name, what).WithHint("use another name")
		if global != nil {
			e.Notes = []diag.Note{{Pos: position(global.NamePos), Msg: "which is bound here"}}
		}
	}
}

// unusedResult reports a statement that calls a task and doesn't use the result.
func (c *checker) unusedResult(stmt *syntax.ExprStmt) {
	call, ok := stmt.X.(*syntax.CallExpr)
	if !ok {
		return
	}
	fn := call.Fn
	if dot, ok := fn.(*syntax.DotExpr); ok && dot.Name.Name == "map" {
		fn = dot.X
	}
	id, ok := fn.(*syntax.Ident)
	if !ok || !c.tasks[binding(id)].Output {
		return
	}
	e := c.report(unusedResult, position(id.NamePos), "the result of %s isn't used", id.Name).
		WithHint("use it, or declare the task without output if it is called for its effect")
	e.Notes = []diag.Note{{Pos: c.tasks[binding(id)].Pos, Msg: "the task is declared here, with an output"}}
}
