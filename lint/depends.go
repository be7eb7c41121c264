package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/bazelbuild/buildtools/build"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// addDependency adds an environment to the depends_on of the one that f.Pos makes, and loads it.
func (e *editor) addDependency(f *diag.Fix) string {
	s, why := e.environment(f.Pos)
	if why != "" {
		return why
	}
	value := argument(s.call, "depends_on", dependsOnIndex)
	if value == nil && f.List.IsValid() {
		return fmt.Sprintf("its depends_on is that of the environment which it clones, at %s", f.List)
	}
	if !isName(f.Symbol) {
		return fmt.Sprintf("%q is no name", f.Symbol) // what the evaluator says isn't trusted
	}
	id := &build.Ident{Name: e.local(f.Symbol, f.Module), NamePos: s.call.End.Pos}
	e.dirty[s.stmt] = true
	if value == nil {
		give(s.call, "depends_on", &build.ListExpr{List: []build.Expr{id}})
		return ""
	}
	switch list := (*value).(type) {
	case *build.ListExpr:
		id.NamePos = list.End.Pos
		list.List = append(list.List, id)
	default:
		*value = &build.BinaryExpr{X: operand(list), Op: "+", Y: &build.ListExpr{List: []build.Expr{id}}}
	}
	return ""
}

func isName(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

// operand puts x in parentheses if an operator or a dot next to it would otherwise take only a part
// of it.
func operand(x build.Expr) build.Expr {
	switch x.(type) {
	case *build.Ident, *build.CallExpr, *build.DotExpr, *build.IndexExpr, *build.ListExpr, *build.ParenExpr:
		return x
	}
	return &build.ParenExpr{X: x}
}

// removeDependency removes an element of the list at f.List. It removes the whole argument with the
// last element.
func (e *editor) removeDependency(f *diag.Fix) string {
	at, ok := e.list(f.List)
	if !ok {
		return fmt.Sprintf("its depends_on, at %s, isn't written as a list", f.List)
	}
	names, ok := e.elements[at.list]
	if !ok {
		names = elementNames(at.list)
		e.elements[at.list] = names // other removals count from the list as it was
	}
	switch {
	case names == nil:
		return "its depends_on has more than names in it"
	case f.Index < 0 || f.Index >= len(names):
		return "its depends_on is another than the one that was evaluated"
	}
	name := names[f.Index]
	if slices.ContainsFunc(at.list.List, func(x build.Expr) bool { return named(x, name) && commented(x) }) {
		return fmt.Sprintf("%s has a comment in the list: remove both", name)
	}
	at.list.List = slices.DeleteFunc(at.list.List, func(x build.Expr) bool { return named(x, name) })
	if arg := at.argument; len(at.list.List) == 0 && arg != nil && !commented(arg) && !commented(arg.LHS) && !commented(at.list) && !commented(&at.list.End) {
		at.call.List = slices.DeleteFunc(at.call.List, func(x build.Expr) bool { return x == arg })
	}
	e.dirty[at.stmt] = true
	return ""
}

// dotted returns the text of a name, or of a name's field.
func dotted(x build.Expr) (string, bool) {
	switch x := x.(type) {
	case *build.Ident:
		return x.Name, true
	case *build.DotExpr:
		owner, ok := dotted(x.X)
		return owner + "." + x.Name, ok
	}
	return "", false
}

func named(x build.Expr, name string) bool {
	text, ok := dotted(x)
	return ok && text == name
}

func commented(x interface{ Comment() *build.Comments }) bool {
	c := x.Comment()
	return len(c.Before)+len(c.Suffix)+len(c.After) > 0
}

// listSite is a list that is an argument.
type listSite struct {
	list     *build.ListExpr
	call     *build.CallExpr
	argument *build.AssignExpr // name = list; nil for a list that is given by position
	stmt     int               // index of the statement at the top level that it is in
}

// list finds the list at pos.
func (e *editor) list(pos diag.Position) (at listSite, ok bool) {
	for i, s := range e.file.Stmt {
		begin, end := s.Span()
		if pos.Line < begin.Line || pos.Line > end.Line {
			continue
		}
		build.Walk(s, func(x build.Expr, stack []build.Expr) {
			list, isList := x.(*build.ListExpr)
			if !isList || len(stack) == 0 || list.Start.Line != pos.Line || list.Start.LineRune != pos.Col {
				return
			}
			at = listSite{list: list, stmt: i}
			around := stack[len(stack)-1]
			if assign, is := around.(*build.AssignExpr); is && len(stack) > 1 {
				at.argument, around = assign, stack[len(stack)-2]
			}
			at.call, ok = around.(*build.CallExpr)
		})
	}
	return at, ok
}

// elementNames returns the texts of the list's elements, each once. It returns nil if one isn't a
// name: only names tell environments apart without evaluating them.
func elementNames(list *build.ListExpr) []string {
	names := []string{}
	seen := map[string]bool{}
	for _, x := range list.List {
		text, ok := dotted(x)
		if !ok {
			return nil
		}
		if !seen[text] {
			seen[text] = true
			names = append(names, text)
		}
	}
	return names
}

// newLoad is a load statement that is added to the module.
type newLoad struct {
	module string
	names  []string // as load has them: "x", or y = "x"
}

// local returns the name by which the module has a global of another module. It loads the global if
// it isn't loaded yet.
func (e *editor) local(symbol, module string) string {
	if module == e.path {
		return symbol
	}
	var last *build.LoadStmt
	at := 0
	for i, stmt := range e.file.Stmt {
		load, ok := stmt.(*build.LoadStmt)
		if !ok {
			continue
		}
		if p, err := interp.ModulePath(e.path, load.Module.Value); err != nil || p != module {
			continue
		}
		last, at = load, i
		for n, from := range load.From {
			if from.Name == symbol {
				return load.To[n].Name
			}
		}
	}
	name := e.fresh(symbol, module)
	if last == nil {
		e.load(symbol, module, name)
		return name
	}
	sorted := !build.SortLoadArgs(copyOf(last))
	pos := last.Rparen.Pos
	last.From = append(last.From, &build.Ident{Name: symbol, NamePos: pos})
	last.To = append(last.To, &build.Ident{Name: name, NamePos: pos})
	if sorted {
		build.SortLoadArgs(last)
	}
	e.dirty[at] = true
	return name
}

func copyOf(load *build.LoadStmt) *build.LoadStmt {
	c := *load
	c.From, c.To = slices.Clone(load.From), slices.Clone(load.To)
	return &c
}

// load notes that the module must load a symbol under a name.
func (e *editor) load(symbol, module, name string) {
	text := syntax.Quote(symbol, false)
	if name != symbol {
		text = name + " = " + text
	}
	i := slices.IndexFunc(e.loads, func(l newLoad) bool { return l.module == module })
	if i < 0 {
		i = len(e.loads)
		e.loads = append(e.loads, newLoad{module: module})
	}
	e.loads[i].names = append(e.loads[i].names, text)
}

// fresh returns a name for symbol that the module doesn't use: the symbol's own, or one that begins
// with its module's.
func (e *editor) fresh(symbol, module string) string {
	stem := strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, strings.TrimSuffix(path.Base(module), path.Ext(module)))
	name := symbol
	for n := 1; e.taken[name]; n++ {
		name = "from_" + stem + "_" + symbol
		if n > 1 {
			name += fmt.Sprint("_", n)
		}
	}
	e.taken[name] = true
	return name
}

// insertLoads puts new load statements below the last one, or else above the first statement that
// isn't a docstring.
func (e *editor) insertLoads() Splice {
	var text strings.Builder
	for _, l := range e.loads {
		slices.Sort(l.names)
		fmt.Fprintf(&text, "load(%s, %s)\n", syntax.Quote(plan.LoadPath(e.path, l.module), false), strings.Join(l.names, ", "))
	}
	at, first := -1, len(e.source)
	for i, stmt := range slices.Backward(e.file.Stmt) {
		switch x := stmt.(type) {
		case *build.LoadStmt:
			if at < 0 {
				_, end := x.Span()
				at = min(len(e.source), end.Byte+lineLength(e.source[end.Byte:])+1)
			}
		case *build.CommentBlock:
		case *build.StringExpr:
			if i > 0 {
				first = beginning(x)
			}
		default:
			first = beginning(x)
		}
	}
	if at < 0 {
		return Splice{first, first, text.String() + "\n"}
	}
	if at > 0 && e.source[at-1] != '\n' {
		return Splice{at, at, "\n" + text.String()}
	}
	return Splice{at, at, text.String()}
}

// beginning returns the byte where a statement begins, the comments directly above it included.
func beginning(x build.Expr) int {
	if before := x.Comment().Before; len(before) > 0 {
		return before[0].Start.Byte
	}
	begin, _ := x.Span()
	return begin.Byte
}
