package resolve

import (
	"fmt"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// arguments is FS107: a call in source whose arguments the task can't take,
// as far as they are written out. What isn't, is checked when the call is made.
func (c *checker) arguments() {
	severity := make([]diag.Severity, len(c.graph.Sites)) // of findings at a site in scope; "" out of it
	for i := range c.graph.Calls {
		call := &c.graph.Calls[i]
		if !c.scope.tasks[call.Caller] {
			continue
		}
		for _, s := range call.Sites {
			if !call.Possible {
				severity[s] = diag.SeverityError
			} else if severity[s] == "" {
				severity[s] = diag.SeverityWarning
			}
		}
	}
	for i := range c.graph.Sites {
		if severity[i] != "" {
			c.site(&c.graph.Sites[i], severity[i])
		}
	}
}

// site checks one call.
func (c *checker) site(s *plan.Site, severity diag.Severity) {
	t := &c.graph.Tasks[s.Task]
	report := func(pos diag.Position, hint, format string, args ...any) {
		c.findings.report(&diag.Error{
			Pos: pos, Class: diag.Source, Severity: severity, Code: wrongArguments.Code,
			Msg: c.graph.FullName(s.Task) + ": " + fmt.Sprintf(format, args...), Hint: hint,
		})
	}
	if s.How == plan.SiteMap {
		mapped(s, report)
		return
	}
	given := make(map[string]bool, len(s.Arguments))
	names := make(map[string]*plan.Param, len(t.Inputs))
	for i := range t.Inputs {
		names[t.Inputs[i].Name] = &t.Inputs[i]
	}
	positional, open := 0, s.Open
	for _, a := range s.Arguments {
		p := names[a.Name]
		if a.Name == "" {
			positional++
			if positional > len(t.Inputs) {
				report(a.Pos, t.Takes(), "want at most %d arguments, got %d", len(t.Inputs), countPositional(s))
				return
			}
			p = &t.Inputs[positional-1]
		}
		switch {
		case p == nil:
			report(a.Pos, unknownInput(t, a.Name), "there is no input %q", a.Name)
			open = true // it may stand for one that is missing
			continue
		case given[p.Name]:
			report(a.Pos, t.Takes(), "input %q is given twice", p.Name)
		case !fits(a.Literal, p.Type):
			report(a.Pos, t.Takes(), "input %q: want %s, got %s", p.Name, p.Type, a.Literal)
		}
		given[p.Name] = true
	}
	if names := withoutValue(t, given); len(names) > 0 && !open {
		report(s.Pos, t.Takes(), "no value for %s", strings.Join(names, ", "))
	}
}

// siteReport reports a finding at a site.
type siteReport = func(pos diag.Position, hint, format string, args ...any)

// mapped checks a call of map: its items, as far as they can be none.
func mapped(s *plan.Site, report siteReport) {
	for i, a := range s.Arguments {
		if a.Name != "items" && (a.Name != "" || i > 0) {
			continue
		}
		switch a.Literal {
		case "", plan.KindList, plan.KindDict:
		default:
			report(a.Pos, "give map a list: one item for each call", "items: want a list, got %s", a.Literal)
		}
	}
}

func countPositional(s *plan.Site) int {
	n := 0
	for _, a := range s.Arguments {
		if a.Name == "" {
			n++
		}
	}
	return n
}

// withoutValue returns the inputs that have neither a value nor a default.
func withoutValue(t *plan.Task, given map[string]bool) []string {
	var names []string
	for i := range t.Inputs {
		if p := &t.Inputs[i]; !given[p.Name] && p.Default == nil {
			names = append(names, p.Name)
		}
	}
	return names
}

// unknownInput is the hint for a name that isn't an input.
func unknownInput(t *plan.Task, name string) string {
	names := make([]string, len(t.Inputs))
	for i := range t.Inputs {
		names[i] = t.Inputs[i].Name
	}
	if near := diag.Suggest(name, names); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return t.Takes()
}

// fits reports whether a value that is written out can be of type t, as far as its own type tells.
func fits(literal plan.Kind, t plan.Type) bool {
	switch t.Kind {
	case plan.KindAny:
		return true
	case plan.KindOptional:
		return literal == plan.KindNone || fits(literal, *t.Elem)
	case plan.KindFloat:
		return literal == "" || literal == plan.KindFloat || literal == plan.KindInt
	case plan.KindRecord:
		return literal == "" || literal == plan.KindDict
	}
	return literal == "" || literal == t.Kind
}
