package interp

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	starresolve "go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
)

// compile resolves a module's names and compiles it. It reports every finding.
func (m *Module) compile(predeclared starlark.StringDict) diag.List {
	bound, found := boundPredeclared(m.File, predeclared)
	program, err := starlark.FileProgram(m.File, predeclared.Has)
	var list starresolve.ErrorList
	switch {
	case errors.As(err, &list):
		for _, e := range list {
			if d := resolveError(m.File, e, bound, predeclared); d != nil {
				found = append(found, d)
			}
		}
	case err != nil:
		found = append(found, diag.Errorf(diag.Position{File: m.Path}, diag.Source, "%s", clip(err.Error())))
	}
	m.program = program
	return found
}

// boundPredeclared reports each predeclared name that the module binds at its
// top level, FS110 at the first binding of each.
func boundPredeclared(f *syntax.File, predeclared starlark.StringDict) (map[string]bool, diag.List) {
	bound := map[string]bool{}
	var found diag.List
	for _, id := range topLevelBindings(f) {
		if !predeclared.Has(id.Name) || bound[id.Name] {
			continue
		}
		bound[id.Name] = true
		e := diag.Errorf(position(id.NamePos), diag.Source, "%s is a predeclared name and can't be bound", id.Name).
			WithHint("use another name, such as my_%s", id.Name)
		e.Code = "FS110"
		found = append(found, e)
	}
	return bound, found
}

// topLevelBindings returns the identifiers that the module's top level binds,
// in source order: by assignment, def, load or for, also within if and for.
func topLevelBindings(f *syntax.File) []*syntax.Ident {
	var ids []*syntax.Ident
	todo := slices.Clone(f.Stmts)
	for len(todo) > 0 {
		stmt := todo[0]
		todo = todo[1:]
		switch s := stmt.(type) {
		case *syntax.AssignStmt:
			ids = append(ids, targets(s.LHS)...)
		case *syntax.DefStmt:
			ids = append(ids, s.Name)
		case *syntax.LoadStmt:
			ids = append(ids, s.To...)
		case *syntax.ForStmt:
			ids = append(ids, targets(s.Vars)...)
			todo = append(slices.Clone(s.Body), todo...)
		case *syntax.IfStmt:
			todo = append(append(slices.Clone(s.True), s.False...), todo...)
		}
	}
	return ids
}

// targets returns the identifiers that assigning to lhs binds.
func targets(lhs syntax.Expr) []*syntax.Ident {
	switch x := lhs.(type) {
	case *syntax.Ident:
		return []*syntax.Ident{x}
	case *syntax.ParenExpr:
		return targets(x.X)
	case *syntax.TupleExpr:
		return targetsOf(x.List)
	case *syntax.ListExpr:
		return targetsOf(x.List)
	}
	return nil // x[i] = …, x.f = …: nothing is bound
}

func targetsOf(list []syntax.Expr) []*syntax.Ident {
	var ids []*syntax.Ident
	for _, x := range list {
		ids = append(ids, targets(x)...)
	}
	return ids
}

// The messages of the resolver that are told in another way here.
var (
	undefinedRE = regexp.MustCompile(`^undefined: (\S+)(?: \(did you mean (\S+)\?\))?$`)
	reassignRE  = regexp.MustCompile(`^cannot reassign \S+ (\S+)(?: declared at \S+:(\d+):(\d+))?$`)
)

// resolveError makes a finding of the resolver's e, or nil if FS110 says it already.
func resolveError(f *syntax.File, e starresolve.Error, bound map[string]bool, predeclared starlark.StringDict) *diag.Error {
	d := diag.Errorf(position(e.Pos), diag.Source, "%s", clip(e.Msg))
	if m := undefinedRE.FindStringSubmatch(e.Msg); m != nil {
		d.Msg = "undefined: " + m[1]
		if s := diag.Suggest(m[1], candidates(f, m[2], predeclared)); s != "" {
			d.WithHint("did you mean %q?", s)
		}
		return d
	}
	if m := reassignRE.FindStringSubmatch(e.Msg); m != nil {
		if bound[m[1]] {
			return nil
		}
		d.Msg = fmt.Sprintf("%s is bound already, and globals are bound once", m[1])
		if first := position(firstBinding(f, m[1])); first.IsValid() {
			d.Notes = []diag.Note{{Pos: first, Msg: "it is bound here"}}
		}
	}
	if strings.HasSuffix(d.Msg, "support while loops") {
		d.Msg = "there is no while"
		d.WithHint("use for, over range(n) say, and break")
	}
	return d
}

// candidates are the names that an undefined one may have meant: nearest is
// the resolver's own suggestion, which knows the locals, or empty.
func candidates(f *syntax.File, nearest string, predeclared starlark.StringDict) []string {
	names := append(predeclared.Keys(), starlark.Universe.Keys()...)
	for _, id := range topLevelBindings(f) {
		names = append(names, id.Name)
	}
	if nearest != "" {
		names = append(names, nearest)
	}
	return names
}

func firstBinding(f *syntax.File, name string) syntax.Position {
	for _, id := range topLevelBindings(f) {
		if id.Name == name {
			return id.NamePos
		}
	}
	return syntax.Position{}
}

// checkLoadedNames reports the names that m's load statements ask for and
// that the modules don't bind. by has the modules by path.
func (m *Module) checkLoadedNames(by map[string]*Module) diag.List {
	var found diag.List
	for _, stmt := range m.File.Stmts {
		load, ok := stmt.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		from := by[m.loads[load.ModuleName()]]
		for _, id := range load.From {
			if from != nil && !strings.HasPrefix(id.Name, "_") && !from.binds(id.Name) {
				found = append(found, from.missing(id))
			}
		}
	}
	return found
}

// binds reports whether name is a global of m. What m itself loads isn't.
func (m *Module) binds(name string) bool {
	return slices.Contains(m.globalNames(), name)
}

func (m *Module) globalNames() []string {
	var names []string
	for _, b := range m.File.Module.(*starresolve.Module).Globals {
		names = append(names, b.First.Name)
	}
	return names
}

// missing is the finding that m has no global of the name that id loads.
func (m *Module) missing(id *syntax.Ident) *diag.Error {
	e := diag.Errorf(position(id.NamePos), diag.Source, "%s has no global %q", m.Path, id.Name)
	for _, stmt := range m.File.Stmts {
		load, ok := stmt.(*syntax.LoadStmt)
		if !ok {
			continue
		}
		for i, to := range load.To {
			if to.Name == id.Name {
				return e.WithHint("%s only loads it: load %q from %q", m.Path, load.From[i].Name, "//"+m.loads[load.ModuleName()])
			}
		}
	}
	if s := diag.Suggest(id.Name, m.globalNames()); s != "" {
		e.WithHint("did you mean %q?", s)
	}
	return e
}
