package lint

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bazelbuild/buildtools/build"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/lint/findings"
)

// editRequest asks for edits of one module.
type editRequest struct {
	Module
	Fixes  []diag.Fix    `json:"fixes"`
	Each   bool          `json:"each"` // not all fixes, but each of them alone
	Limits interp.Limits `json:"limits"`
}

// Edited is a module after fixes.
type Edited struct {
	Source []byte `json:"source"`
	// Splices are the edits, in order: they turn the module into Source.
	Splices []Splice `json:"splices"`
	// Refused has for each fix the reason why it wasn't made, or "" if it was.
	Refused []string `json:"refused"`
}

// Splice is a text that replaces some bytes of the source.
type Splice struct {
	Start int    `json:"start"`
	End   int    `json:"end"`
	Text  string `json:"text"`
}

// FixedModule returns the path of the module that a fix edits.
func FixedModule(f *diag.Fix) string {
	if f.Kind == diag.FixRemoveDependency {
		return f.List.File
	}
	return f.Pos.File
}

// Edit makes fixes in m. [FixedModule] of each is m.Path. Only statements that change are printed
// anew. All else stays as it is, comments included. Fixes of suppressions are made without others,
// because others move lines.
func Edit(ctx context.Context, m Module, fixes []diag.Fix, options evaluator.Options) (*Edited, error) {
	edits, err := run[[]Edited](ctx, editTool, editRequest{Module: m, Fixes: fixes, Limits: options.Limits}, options)
	if err != nil {
		return nil, err
	}
	if len(*edits) != 1 || len((*edits)[0].Refused) != len(fixes) {
		return nil, unasked("%d answers to %d fixes", len(*edits), len(fixes))
	}
	return &(*edits)[0], nil
}

// EditEach returns what each fix alone would change in m.
func EditEach(ctx context.Context, m Module, fixes []diag.Fix, options evaluator.Options) ([][]findings.Replacement, error) {
	edits, err := run[[]Edited](ctx, editTool, editRequest{Module: m, Fixes: fixes, Each: true, Limits: options.Limits}, options)
	if err != nil {
		return nil, err
	}
	if len(*edits) != len(fixes) {
		return nil, unasked("%d answers to %d fixes", len(*edits), len(fixes))
	}
	out := make([][]findings.Replacement, len(fixes))
	for i, e := range *edits {
		for _, s := range e.Splices {
			if s.Start < 0 || s.End < s.Start || s.End > len(m.Source) {
				return nil, unasked("an edit of bytes %d to %d", s.Start, s.End)
			}
			out[i] = append(out[i], findings.Replacement{Start: at(m, s.Start), End: at(m, s.End), Text: s.Text})
		}
	}
	return out, nil
}

// at returns the position of a byte of the source.
func at(m Module, n int) diag.Position {
	before := m.Source[:n]
	return diag.Position{
		File: m.Path,
		Line: bytes.Count(before, []byte("\n")) + 1,
		Col:  utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1,
	}
}

// editor edits one module.
type editor struct {
	path    string
	source  []byte
	file    *build.File
	sites   map[[2]int][]site // calls by line and column of their start
	dirty   map[int]bool      // indices of the statements at the top level that have changed
	loads   []newLoad
	taken   map[string]bool // names that the module uses
	splices []Splice
	added   map[addedPackage]bool

	// Filled in when first asked for.
	elements map[*build.ListExpr][]string // names in lists, as they were
	comments []comment
}

// site is a call.
type site struct {
	call *build.CallExpr
	stmt int    // index of the statement at the top level that it is in
	many string // what makes it run more than once, or not at all; "" where nothing does
}

// editModule does the work of [Edit] and [EditEach] in the tool's process.
func editModule(r *editRequest) (*[]Edited, error) {
	if !r.Each {
		e, err := editOnce(r)
		if err != nil {
			return nil, err
		}
		return &[]Edited{*e}, nil
	}
	out := make([]Edited, len(r.Fixes))
	for i, f := range r.Fixes {
		e, err := editOnce(&editRequest{Module: r.Module, Fixes: []diag.Fix{f}, Limits: r.Limits})
		if err != nil {
			return nil, err
		}
		out[i] = Edited{Splices: e.Splices}
	}
	return &out, nil
}

// editOnce makes all fixes of a request.
func editOnce(r *editRequest) (*Edited, error) {
	if _, err := interp.Parse(r.Path, r.Source, r.Limits); err != nil {
		return nil, err
	}
	out := &Edited{Source: r.Source, Refused: make([]string, len(r.Fixes))}
	if why := unwieldy(r.Source); why != "" {
		for i := range out.Refused {
			out.Refused[i] = why
		}
		return out, nil
	}
	f, err := parseBuild(r.Path, r.Source)
	if err != nil {
		return nil, err
	}
	e := &editor{path: r.Path, source: r.Source, file: f, dirty: map[int]bool{}, elements: map[*build.ListExpr][]string{}}
	e.index()
	for i := range r.Fixes {
		out.Refused[i] = e.fix(&r.Fixes[i])
	}
	e.print()
	out.Splices = e.splices
	if out.Source, err = splice(r.Source, e.splices); err != nil {
		return nil, err
	}
	if pos, lost := lostComment(r.Path, r.Source, out.Source); lost && !slices.ContainsFunc(r.Fixes, takesComments) {
		return nil, diag.Errorf(pos, diag.Source, "the fix would lose this comment")
	}
	if _, err := interp.Parse(r.Path, out.Source, r.Limits); err != nil {
		return nil, diag.Errorf(diag.Position{File: r.Path}, diag.Source, "buildtools would print the statement so that it doesn't parse: %w", err)
	}
	return out, nil
}

// unwieldy says why nothing can be edited in source, though it parses: positions would differ.
func unwieldy(source []byte) string {
	switch {
	case bytes.ContainsRune(source, '\r'):
		return "its lines end in carriage returns: flytestar fmt replaces them"
	case len(unmarked(source)) < len(source):
		return "it begins with a byte order mark: flytestar fmt removes it"
	}
	return ""
}

// takesComments reports whether a fix may remove comments: suppressions, and comments on statements
// that it removes.
func takesComments(f diag.Fix) bool {
	return f.Kind == diag.FixRemoveSuppression || f.Kind == diag.FixRemoveLoad
}

// fix makes one fix. It returns the reason if it doesn't.
func (e *editor) fix(f *diag.Fix) string {
	switch f.Kind {
	case diag.FixAddDependency:
		return e.addDependency(f)
	case diag.FixRemoveDependency:
		return e.removeDependency(f)
	case diag.FixAddPackages:
		return e.addPackages(f)
	case diag.FixRemoveLoad:
		return e.removeLoad(f)
	case diag.FixRemoveSuppression:
		return e.removeSuppression(f)
	}
	return fmt.Sprintf("there is no fix of kind %q", f.Kind)
}

// index finds the module's calls, and the names that it uses.
func (e *editor) index() {
	e.sites, e.taken = map[[2]int][]site{}, map[string]bool{}
	for i, stmt := range e.file.Stmt {
		keywords := map[*build.Ident]bool{}
		build.Walk(stmt, func(x build.Expr, stack []build.Expr) {
			switch x := x.(type) {
			case *build.CallExpr:
				for _, arg := range x.List {
					if assign, ok := arg.(*build.AssignExpr); ok {
						if id, ok := assign.LHS.(*build.Ident); ok {
							keywords[id] = true
						}
					}
				}
				begin, _ := x.Span()
				at := [2]int{begin.Line, begin.LineRune}
				e.sites[at] = append(e.sites[at], site{x, i, repeats(stack)})
			case *build.Ident:
				if !keywords[x] {
					e.taken[x.Name] = true
				}
			case *build.DefStmt:
				e.taken[x.Name] = true
			case *build.LoadStmt:
				for _, to := range x.To {
					e.taken[to.Name] = true
				}
			}
		})
	}
}

// repeats says which node around a call makes the call declare more than one thing. It returns ""
// if none does.
func repeats(stack []build.Expr) string {
	for _, x := range slices.Backward(stack) {
		switch x := x.(type) {
		case *build.DefStmt:
			return "function " + x.Name
		case *build.LambdaExpr:
			return "a lambda"
		case *build.ForStmt, *build.Comprehension:
			return "a loop"
		}
	}
	return ""
}

// environment returns the call that makes the environment at pos, or the reason why it can't be
// edited.
func (e *editor) environment(pos diag.Position) (site, string) {
	var found []site
	for _, s := range e.sites[[2]int{pos.Line, pos.Col}] {
		switch fn := s.call.X.(type) {
		case *build.Ident:
			if fn.Name == "task_environment" {
				found = append(found, s)
			}
		case *build.DotExpr:
			if fn.Name == "clone_with" {
				found = append(found, s)
			}
		}
	}
	switch {
	case len(found) != 1:
		return site{}, fmt.Sprintf("it isn't clear which call at %s makes the environment", pos)
	case found[0].many != "":
		return site{}, fmt.Sprintf("the environment is made by %s, and an edit there would be one of all that it makes", found[0].many)
	case spreads(found[0].call):
		return site{}, "the environment's arguments are given by * or **"
	}
	return found[0], ""
}

// spreads reports whether a call has arguments *x or **x.
func spreads(call *build.CallExpr) bool {
	return slices.ContainsFunc(call.List, func(x build.Expr) bool {
		unary, ok := x.(*build.UnaryExpr)
		return ok && (unary.Op == "*" || unary.Op == "**")
	})
}

// argument returns where a call has the value of a parameter, given by name or at index. It returns
// nil if the call doesn't have it.
func argument(call *build.CallExpr, name string, index int) *build.Expr {
	for i := range call.List {
		assign, ok := call.List[i].(*build.AssignExpr)
		if !ok && i == index {
			return &call.List[i]
		}
		if ok {
			if id, ok := assign.LHS.(*build.Ident); ok && id.Name == name {
				return &assign.RHS
			}
		}
	}
	return nil
}

// Positions of task_environment's and clone_with's parameters.
const (
	imageIndex     = 1
	dependsOnIndex = 2
)

// give adds an argument name = value to a call.
func give(call *build.CallExpr, name string, value build.Expr) {
	at := call.End.Pos
	call.List = append(call.List, &build.AssignExpr{LHS: &build.Ident{Name: name, NamePos: at}, Op: "=", OpPos: at, RHS: value})
}

// print makes splices of the statements that changed, and of new loads.
func (e *editor) print() {
	for i := range e.file.Stmt {
		if e.dirty[i] {
			begin, end := e.file.Stmt[i].Span()
			e.splices = append(e.splices, Splice{begin.Byte, end.Byte, e.text(e.file.Stmt[i])})
		}
	}
	if len(e.loads) > 0 {
		e.splices = append(e.splices, e.insertLoads())
	}
	slices.SortFunc(e.splices, func(a, b Splice) int { return cmp.Or(a.Start-b.Start, a.End-b.End) })
}

// text prints a top-level statement. The comments before and after it stay where they are.
func (e *editor) text(stmt build.Expr) string {
	doubleQuotes(&build.File{Stmt: []build.Expr{stmt}})
	comments := *stmt.Comment()
	*stmt.Comment() = build.Comments{}
	text := build.FormatWithoutRewriting(&build.File{Type: build.TypeDefault, Stmt: []build.Expr{stmt}})
	*stmt.Comment() = comments
	return strings.TrimRight(string(text), "\n")
}

// splice makes the edits. They are in order.
func splice(source []byte, edits []Splice) ([]byte, error) {
	var out []byte
	at := 0
	for _, s := range edits {
		if s.Start < at || s.End < s.Start || s.End > len(source) {
			return nil, fmt.Errorf("edits of bytes %d to %d overlap", s.Start, s.End)
		}
		out = append(append(out, source[at:s.Start]...), s.Text...)
		at = s.End
	}
	return append(out, source[at:]...), nil
}

// removeSuppression removes the code f.Symbol from the comment at f.Pos. It removes the comment
// with the last code.
func (e *editor) removeSuppression(f *diag.Fix) string {
	if e.comments == nil {
		e.comments = findComments(e.path, e.source)
	}
	for _, c := range e.comments {
		if c.pos != f.Pos {
			continue
		}
		at := slices.IndexFunc(e.splices, func(s Splice) bool { return s.End >= c.end && s.Start <= c.start })
		if at >= 0 { // another code of it has been taken out
			c.text = e.splices[at].Text
		}
		m := suppressionRE.FindStringSubmatchIndex(c.text)
		if m == nil {
			return "there is no such suppression"
		}
		codes := slices.DeleteFunc(strings.Split(c.text[m[6]:m[7]], ","), func(code string) bool { return code == f.Symbol || code == "" })
		s := Splice{c.start, c.end, c.text[:m[6]] + strings.Join(codes, ",") + c.text[m[7]:]}
		if len(codes) == 0 {
			s = e.without(c)
		}
		if at >= 0 {
			e.splices[at] = s
		} else {
			e.splices = append(e.splices, s)
		}
		return ""
	}
	return "there is no such comment"
}

// without removes a comment with its line, or with the space before it.
func (e *editor) without(c comment) Splice {
	s := Splice{Start: c.start, End: c.end}
	for s.Start > 0 && (e.source[s.Start-1] == ' ' || e.source[s.Start-1] == '\t') {
		s.Start--
	}
	if c.whole {
		s.End = min(len(e.source), c.end+lineLength(e.source[c.end:])+1)
	}
	return s
}

// removeLoad removes the name f.Symbol, bound at f.Pos, from its load statement. It removes the
// statement with the last name.
func (e *editor) removeLoad(f *diag.Fix) string {
	for i, stmt := range e.file.Stmt {
		load, ok := stmt.(*build.LoadStmt)
		if !ok {
			continue
		}
		n := slices.IndexFunc(load.To, func(to *build.Ident) bool {
			return to.Name == f.Symbol && to.NamePos.Line == f.Pos.Line && to.NamePos.LineRune == f.Pos.Col
		})
		if n < 0 {
			continue
		}
		if len(load.To) == 1 {
			s, ok := e.withoutStatement(load)
			if !ok {
				return "another statement is on its line"
			}
			e.file.Stmt[i] = &build.CommentBlock{} // it is as if it weren't there
			delete(e.dirty, i)
			e.splices = append(e.splices, s)
			return ""
		}
		load.From, load.To = slices.Delete(load.From, n, n+1), slices.Delete(load.To, n, n+1)
		e.dirty[i] = true
		return ""
	}
	return "it isn't loaded there any more"
}

// withoutStatement removes a statement with its lines, which must hold nothing else. It removes the
// empty lines below it too, if there is one above.
func (e *editor) withoutStatement(stmt build.Expr) (Splice, bool) {
	begin, end := stmt.Span()
	s := Splice{Start: begin.Byte, End: end.Byte}
	line := bytes.LastIndexByte(e.source[:s.Start], '\n') + 1
	rest := e.source[s.End : s.End+lineLength(e.source[s.End:])]
	if after := bytes.TrimSpace(rest); len(bytes.TrimSpace(e.source[line:s.Start])) > 0 || len(after) > 0 && after[0] != '#' {
		return s, false
	}
	s.Start, s.End = line, min(len(e.source), s.End+len(rest)+1)
	if above := e.source[:s.Start]; len(above) == 0 || bytes.HasSuffix(above, []byte("\n\n")) {
		for s.End < len(e.source) && e.source[s.End] == '\n' {
			s.End++
		}
	}
	return s, true
}
