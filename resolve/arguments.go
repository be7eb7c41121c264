package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/finding"
	"github.com/flytestar/flytestar/plan"
)

// arguments is FS107: the source has a call with arguments that the task can't take. Arguments that
// aren't written out are checked when the call is made.
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

// callee is what checks of a task's calls need to know of the task.
type callee struct {
	task     *plan.Task
	inputs   map[string]int // indices by name
	required int            // inputs without a default
}

// callee returns what checks of a task's calls need to know of it. It is worked out once for each
// task: a task may have many inputs, and many calls.
func (c *checker) callee(task int) *callee {
	t := c.callees[task]
	if t == nil {
		t = &callee{task: &c.graph.Tasks[task], inputs: map[string]int{}}
		for i := range t.task.Inputs {
			t.inputs[t.task.Inputs[i].Name] = i
			if t.task.Inputs[i].Default == nil {
				t.required++
			}
		}
		c.callees[task] = t
	}
	return t
}

// site checks one call.
func (c *checker) site(s *plan.Site, severity diag.Severity) {
	report := func(pos diag.Position, text func() (msg, hint string)) {
		c.findings.reportLater(finding.Arguments.Code, severity, func() *diag.Error {
			msg, hint := text()
			f := finding.WrongArguments(pos, c.graph.FullName(s.Task), "%s", msg)
			f.Severity, f.Hint = severity, hint
			return f
		})
	}
	if s.How == plan.SiteMap {
		c.callee(s.Task).mapped(s, report)
		return
	}
	c.callee(s.Task).check(s, report)
}

// siteReport reports a finding at a site. Its text is made only if the finding is listed.
type siteReport = func(pos diag.Position, text func() (msg, hint string))

// mapped checks a call of map: items that can't be a list, and the inputs that are the same for each
// item.
func (t *callee) mapped(s *plan.Site, report siteReport) {
	for i, a := range s.Arguments {
		switch {
		case a.Name == "items" || a.Name == "" && i == 0:
			if a.Literal != "" && a.Literal != plan.KindList && a.Literal != plan.KindDict {
				report(a.Pos, func() (string, string) {
					return fmt.Sprintf("items: want a list, got %s", a.Literal), "give map a list: one item for each call"
				})
			}
		case a.Name == "" || a.Name == "concurrency" || a.Name == "return_errors":
		default:
			t.constant(a, report)
		}
	}
}

// constant checks an input that a call of map gives to each of its calls.
func (t *callee) constant(a plan.Argument, report siteReport) {
	i, ok := t.inputs[a.Name]
	if !ok {
		report(a.Pos, func() (string, string) { return fmt.Sprintf("there is no input %q", a.Name), t.unknown(a.Name) })
		return
	}
	if p := &t.task.Inputs[i]; !fits(a.Literal, p.Type) {
		report(a.Pos, func() (string, string) {
			return fmt.Sprintf("input %q: want %s, got %s", p.Name, short(p.Type.String()), a.Literal), t.takes()
		})
	}
}

// check checks the arguments of a call that isn't a map.
func (t *callee) check(s *plan.Site, report siteReport) {
	given := make(map[int]bool, len(s.Arguments))
	missing, positional, unknown := t.required, 0, false
	for _, a := range s.Arguments {
		i, ok := t.inputs[a.Name]
		if a.Name == "" {
			i, ok = positional, positional < len(t.task.Inputs)
			positional++
		}
		switch {
		case !ok && a.Name == "":
			report(a.Pos, func() (string, string) {
				return fmt.Sprintf("want at most %d arguments, got %d", len(t.task.Inputs), countPositional(s)), t.takes()
			})
			return
		case !ok:
			report(a.Pos, func() (string, string) { return fmt.Sprintf("there is no input %q", a.Name), t.unknown(a.Name) })
			unknown = true // it may stand for one that is missing
			continue
		case given[i]:
			report(a.Pos, func() (string, string) {
				return fmt.Sprintf("input %q is given twice", t.task.Inputs[i].Name), t.takes()
			})
			continue
		}
		given[i] = true
		p := &t.task.Inputs[i]
		if p.Default == nil {
			missing--
		}
		if !fits(a.Literal, p.Type) {
			report(a.Pos, func() (string, string) {
				return fmt.Sprintf("input %q: want %s, got %s", p.Name, short(p.Type.String()), a.Literal), t.takes()
			})
		}
	}
	if missing > 0 && !s.Open && !unknown {
		report(s.Pos, func() (string, string) { return "no value for " + t.missing(given), t.takes() })
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

// missing names the inputs that have neither a value nor a default.
func (t *callee) missing(given map[int]bool) string {
	var names []string
	for i := range t.task.Inputs {
		if p := &t.task.Inputs[i]; !given[i] && p.Default == nil {
			names = append(names, p.Name)
		}
		if len(names) > maxNamed {
			return strings.Join(names[:maxNamed], ", ") + " and others"
		}
	}
	return strings.Join(names, ", ")
}

// unknown is the hint for a name that isn't an input.
func (t *callee) unknown(name string) string {
	var names []string
	for i := range min(len(t.task.Inputs), maxFindings) {
		names = append(names, t.task.Inputs[i].Name)
	}
	if near := diag.Suggest(name, names); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return t.takes()
}

// takes is the hint that says what the task is called with.
func (t *callee) takes() string {
	if n := len(t.task.Inputs); n > maxNamed {
		return fmt.Sprintf("it has %d inputs, such as %s", n, t.task.Inputs[0].Name)
	}
	return short(t.task.Takes())
}

// maxShort bounds the text about a type, in bytes.
const maxShort = 1000

// short cuts a text that is too long.
func short(s string) string {
	if len(s) <= maxShort {
		return s
	}
	return strings.ToValidUTF8(s[:maxShort], "") + "…"
}

// fits reports whether a literal of some type can be a value of type t.
func fits(literal plan.Kind, t plan.Type) bool {
	switch t.Kind {
	case plan.KindAny:
		return true
	case plan.KindOptional:
		return literal == plan.KindNone || fits(literal, *t.Elem)
	case plan.KindEnum:
		return fits(literal, *t.Elem)
	case plan.KindUnion:
		return slices.ContainsFunc(t.Members, func(m plan.Type) bool { return fits(literal, m) })
	case plan.KindFloat:
		return literal == "" || literal == plan.KindFloat || literal == plan.KindInt
	case plan.KindRecord:
		return literal == "" || literal == plan.KindDict
	}
	return literal == "" || literal == t.Kind
}
