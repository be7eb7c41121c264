package interp

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	starresolve "go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp/summary"
)

// compiled is a module that has been parsed and compiled.
type compiled struct {
	program *starlark.Program // nil if there are findings
	summary *summary.Summary
}

// compile parses, checks and compiles a module, and reports every finding. It returns nil if the
// text or the syntax has a finding, since then nothing more is known of the module.
func compile(path string, source []byte, predeclared starlark.StringDict, limits Limits) (*compiled, diag.List) {
	guardUniverse()
	if e := checkText(path, source, limits); e != nil {
		return nil, diag.List{e}
	}
	f, e := parseText(path, source, limits)
	if e != nil {
		return nil, unparsed(path, source, predeclared, limits, e)
	}
	r := newResolver(f, predeclared, len(source))
	program := r.resolve(f, path)
	return &compiled{program, summary.Of(f)}, r.found
}

// newResolver returns a resolver for a module of that many bytes.
func newResolver(f *syntax.File, predeclared starlark.StringDict, size int) *resolver {
	r := &resolver{file: f, predeclared: predeclared, first: map[string]syntax.Position{}, functions: map[string]bool{}, unknown: max(minUnknown, maxCompared/(size+1))}
	r.bindings(f.Stmts)
	r.fields()
	return r
}

// fields reports assignments to attributes: no value of the language lets its attributes change.
func (r *resolver) fields() {
	syntax.Walk(r.file, func(n syntax.Node) bool {
		s, ok := n.(*syntax.AssignStmt)
		if !ok {
			return true
		}
		if dot, ok := s.LHS.(*syntax.DotExpr); ok {
			r.found = append(r.found, diag.Errorf(position(dot.Dot), diag.Source, "an attribute can't be assigned: .%s stays as it is", clip(dot.Name.Name)).
				WithHint("make a new value: struct(name = value, …), or a dict, which can change"))
		}
		return true
	})
}

// resolve compiles the module, and notes what is wrong with its names.
func (r *resolver) resolve(f *syntax.File, path string) *starlark.Program {
	rewrite(f)
	program, err := starlark.FileProgram(f, r.isPredeclared)
	var list starresolve.ErrorList
	switch {
	case errors.As(err, &list):
		for _, e := range list {
			r.report(e)
		}
		if r.unreported > 0 {
			r.found = append(r.found, diag.Errorf(position(list[len(list)-1].Pos), diag.Source, "and %d names more are undefined", r.unreported))
		}
	case err != nil:
		r.found = append(r.found, diag.Errorf(diag.Position{File: path}, diag.Source, "%s", clip(err.Error())))
	}
	return program
}

// Starlark's resolver compares each undefined name with all names that are bound, and so does a
// hint. So the larger a module is, the fewer undefined names are reported.
const (
	maxCompared = 16 << 20 // reported names times bytes of source
	minUnknown  = 20
)

// resolver resolves one module's names.
type resolver struct {
	file        *syntax.File
	predeclared starlark.StringDict
	names       []string                   // names that the top level binds, in source order
	first       map[string]syntax.Position // where each is bound first
	functions   map[string]bool            // those that a def binds first
	assumed     map[string]bool            // names that may be defined in code that doesn't parse
	found       diag.List

	unknown    int // uses of undefined names that may still be reported
	unreported int // undefined names beyond that
}

// isPredeclared reports whether a name that nothing binds is predeclared. The resolver doesn't ask
// again once it is true, so isPredeclared is also true for undefined names beyond the reported
// ones.
func (r *resolver) isPredeclared(name string) bool {
	if r.predeclared.Has(name) || r.assumed[name] {
		return true
	}
	if starlark.Universe.Has(name) {
		return false
	}
	if r.unknown--; r.unknown >= 0 {
		return false
	}
	r.unreported++
	return true
}

// bindings notes the identifiers that statements of the top level bind, in source order: by
// assignment, def, load or for, also inside if and for. It recurses as deep as these nest.
func (r *resolver) bindings(stmts []syntax.Stmt) {
	for _, stmt := range stmts {
		switch s := stmt.(type) {
		case *syntax.AssignStmt:
			r.targets(s.LHS)
		case *syntax.DefStmt:
			if _, again := r.first[s.Name.Name]; !again {
				r.functions[s.Name.Name] = true
			}
			r.bind(s.Name)
		case *syntax.LoadStmt:
			for _, id := range s.To {
				r.bind(id)
			}
		case *syntax.ForStmt:
			r.targets(s.Vars)
			r.bindings(s.Body)
		case *syntax.IfStmt:
			r.bindings(s.True)
			r.bindings(s.False)
		}
	}
}

// bind notes where a name is bound first. It reports a predeclared name, FS110.
func (r *resolver) bind(id *syntax.Ident) {
	if _, again := r.first[id.Name]; again {
		return
	}
	r.first[id.Name] = id.NamePos
	r.names = append(r.names, id.Name)
	if r.predeclared.Has(id.Name) {
		e := diag.Errorf(position(id.NamePos), diag.Source, "%s is a predeclared name and can't be bound", id.Name).
			WithHint("use another name, such as my_%s", id.Name)
		e.Code = "FS110"
		r.found = append(r.found, e)
	}
}

// targets notes the identifiers that an assignment to lhs binds. x[i] = … and x.f = … bind nothing.
func (r *resolver) targets(lhs syntax.Expr) {
	switch x := lhs.(type) {
	case *syntax.Ident:
		r.bind(x)
	case *syntax.ParenExpr:
		r.targets(x.X)
	case *syntax.TupleExpr:
		for _, x := range x.List {
			r.targets(x)
		}
	case *syntax.ListExpr:
		for _, x := range x.List {
			r.targets(x)
		}
	}
}

// Messages of the resolver that report rewords.
var (
	undefinedRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^undefined: (\S+)(?: \(did you mean (\S+)\?\))?$`) })
	reassignRE  = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^cannot reassign \S+ (\S+)(?: declared at \S+:(\d+):(\d+))?$`)
	})
)

// report makes a finding of an error of Starlark's resolver, unless FS110 says the same.
func (r *resolver) report(e starresolve.Error) {
	d := diag.Errorf(position(e.Pos), diag.Source, "%s", clip(e.Msg))
	r.found = append(r.found, d)
	if m := undefinedRE().FindStringSubmatch(e.Msg); m != nil {
		d.Msg = "undefined: " + m[1]
		if hint := foreignNames[m[1]]; hint != "" {
			d.WithHint("%s", hint)
		} else if s := diag.Suggest(m[1], r.candidates(m[2])); s != "" {
			d.WithHint("did you mean %q?", s)
		}
		return
	}
	if m := reassignRE().FindStringSubmatch(e.Msg); m != nil {
		if r.predeclared.Has(m[1]) {
			r.found = r.found[:len(r.found)-1]
			return
		}
		d.Msg = fmt.Sprintf("%s is bound already, and globals are bound once", m[1])
		if first := position(r.first[m[1]]); first.IsValid() {
			d.Notes = []diag.Note{{Pos: first, Msg: "it is bound here"}}
		}
		if r.functions[m[1]] {
			d.WithHint("a function and its task have two names: def _%s(…), and %s = task(_%s, …)", m[1], m[1], m[1])
		}
	}
	if strings.HasSuffix(d.Msg, "support while loops") {
		d.Msg = "there is no while"
		d.WithHint("use for, over range(n) say, and break")
	}
}

// candidates returns the names that an undefined name may stand for. nearest is the suggestion of
// the resolver, which knows local variables as well, or empty.
func (r *resolver) candidates(nearest string) []string {
	names := slices.Concat(r.predeclared.Keys(), starlark.Universe.Keys(), r.names)
	names = slices.DeleteFunc(names, func(name string) bool { return name == percentName || name == formatName })
	if nearest != "" {
		names = append(names, nearest)
	}
	return names
}

// checkLoadedNames reports the names that m loads from modules that don't bind them.
func (l *loading) checkLoadedNames(m *Module) {
	for _, load := range m.Summary.Loads() {
		from := l.modules[m.loads[load.Module]]
		if from == nil {
			continue
		}
		for _, n := range load.Names {
			if !strings.HasPrefix(n.From, "_") && !from.has(n.From) {
				l.missing(m, from, n)
			}
		}
	}
}

// has reports whether name is a global of m. A name that m loads isn't.
func (m *Module) has(name string) bool {
	if m.binds == nil {
		m.binds = map[string]bool{}
		for name := range m.Summary.Globals() {
			m.binds[name] = true
		}
	}
	return m.binds[name]
}

// maxSuggested bounds how many names one load compares to suggest one.
const maxSuggested = 1_000_000

// missing reports that m loads a name which isn't a global of from.
func (l *loading) missing(m, from *Module, n summary.LoadedName) {
	e := diag.Errorf(position(n.Pos), diag.Source, "%s has no global %q", from.Path, n.From)
	l.found = append(l.found, e)
	if l.compared > maxSuggested {
		return
	}
	for _, load := range from.Summary.Loads() {
		l.compared += len(load.Names)
		for _, own := range load.Names {
			if own.To == n.From {
				e.WithHint("%s only loads it: load %q from %q", from.Path, own.From, "//"+from.loads[load.Module])
				return
			}
		}
	}
	var names []string
	for name := range from.Summary.Globals() {
		names = append(names, name)
	}
	l.compared += len(names)
	if s := diag.Suggest(n.From, names); s != "" {
		e.WithHint("did you mean %q?", s)
	}
}
