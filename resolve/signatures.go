package resolve

import (
	"fmt"
	"slices"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// This file is FS111: a Python task declares what its function doesn't take or return. The
// evaluator has read the function's signature, and gives it only where the source shows it for
// sure.

// signatures compares what Python tasks declare with their functions' signatures.
func (c *checker) signatures() {
	for i := range c.graph.Tasks {
		if t := &c.graph.Tasks[i]; c.scope.tasks[i] && t.Body.Kind == plan.BodyPython && t.Body.Signature != nil {
			c.missingInputs(t)
			c.unknownInputs(t)
			c.otherTypes(t)
		}
	}
}

// differs reports a finding at a task, with a note at the function.
func (c *checker) differs(t *plan.Task, hint, format string, args ...any) {
	e := otherSignature.Finding(t.Pos, "%s:%s %s", t.Body.File, t.Body.Function, fmt.Sprintf(format, args...))
	e.Notes = append(e.Notes, diag.Note{Pos: diag.Position{File: t.Body.File, Line: t.Body.Signature.Line, Col: 1}, Msg: "the function"})
	c.findings.report(e.WithHint("%s", hint))
}

// missingInputs reports parameters without a default that no input gives.
func (c *checker) missingInputs(t *plan.Task) {
	declared := map[string]bool{}
	for _, in := range t.Inputs {
		declared[in.Name] = true
	}
	for _, p := range t.Body.Signature.Params {
		switch {
		case p.PositionalOnly && (!p.Optional || declared[p.Name]):
			c.differs(t, "remove the / from its parameters", "takes %q by position only, and a task gives inputs by name", p.Name)
		case !p.Optional && !p.PositionalOnly && !declared[p.Name]:
			typ := "type"
			if p.Type != nil {
				typ = p.Type.String()
			}
			c.differs(t, fmt.Sprintf("add it: inputs = {%q: %s, …}, or give the parameter a default", p.Name, typ), "needs %q, which isn't an input of the task", p.Name)
		}
	}
}

// unknownInputs reports inputs that the function doesn't take.
func (c *checker) unknownInputs(t *plan.Task) {
	s := t.Body.Signature
	if s.Keywords {
		return
	}
	var free []string // parameters that no input gives
	for _, p := range s.Params {
		if !slices.ContainsFunc(t.Inputs, func(in plan.Param) bool { return in.Name == p.Name }) {
			free = append(free, p.Name)
		}
	}
	for _, in := range t.Inputs {
		if s.Parameter(in.Name) != nil {
			continue
		}
		hint := fmt.Sprintf("remove it from inputs, or add the parameter %s to the function", in.Name)
		if near := diag.Suggest(in.Name, free); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		c.differs(t, hint, "doesn't take the input %q", in.Name)
	}
}

// otherTypes reports inputs and an output whose type contradicts the annotation.
func (c *checker) otherTypes(t *plan.Task) {
	for _, in := range t.Inputs {
		p := t.Body.Signature.Parameter(in.Name)
		if p != nil && p.Type != nil && !takes(*p.Type, in.Type) {
			c.differs(t, "declare the type that the function takes, or change the annotation", "takes %q as %s, and the task declares %s", in.Name, p.Type, in.Type)
		}
	}
	if r := t.Body.Signature.Returns; r != nil && t.Single && !returns(*r, t.Outputs[0].Type) {
		c.differs(t, "declare the type that the function returns, or change the annotation", "returns %s, and the task declares output = %s", r, t.Outputs[0].Type)
	}
}

// takes reports whether a parameter with an annotation may be given a value of a declared type. It
// is false only if no such value fits, None apart.
func takes(annotated, declared plan.Type) bool {
	a, d := plain(annotated), plain(declared)
	switch {
	case loose(a) || loose(d):
		return true
	case a.Kind == d.Kind && (a.Kind == plan.KindList || a.Kind == plan.KindDict):
		return takes(*a.Elem, *d.Elem)
	case a.Kind == plan.KindFile, a.Kind == plan.KindStr: // a Path may stand for both, and open() takes both
		return d.Kind == plan.KindFile || d.Kind == plan.KindDir || a.Kind == d.Kind
	case a.Kind == plan.KindFloat:
		return d.Kind == plan.KindFloat || d.Kind == plan.KindInt || d.Kind == plan.KindBool
	case a.Kind == plan.KindInt:
		return d.Kind == plan.KindInt || d.Kind == plan.KindBool
	}
	return a.Kind == d.Kind
}

// returns reports whether what a function returns may be an output of a declared type. It is false
// only if nothing that it returns fits, None apart.
func returns(annotated, declared plan.Type) bool {
	a, d := plain(annotated), plain(declared)
	switch {
	case loose(a) || loose(d):
		return true
	case a.Kind == plan.KindNone || d.Kind == plan.KindNone:
		return a.Kind == d.Kind || annotated.Kind == plan.KindOptional || declared.Kind == plan.KindOptional
	case a.Kind == d.Kind && (a.Kind == plan.KindList || a.Kind == plan.KindDict):
		return returns(*a.Elem, *d.Elem)
	case d.Kind == plan.KindFile || d.Kind == plan.KindDir:
		return a.Kind == plan.KindFile || a.Kind == plan.KindStr
	case d.Kind == plan.KindFloat:
		return a.Kind == plan.KindFloat || a.Kind == plan.KindInt
	}
	return a.Kind == d.Kind
}

// plain returns a type without its None.
func plain(t plan.Type) plan.Type {
	if t.Kind == plan.KindOptional {
		return *t.Elem
	}
	return t
}

// loose reports whether values of a type may look like those of others: what a record is in Python
// depends on the annotation, and an annotation that is a class of its own isn't looked into.
func loose(t plan.Type) bool {
	switch t.Kind {
	case plan.KindStr, plan.KindInt, plan.KindFloat, plan.KindBool, plan.KindNone, plan.KindList, plan.KindFile, plan.KindDir:
		return false
	}
	return t.Kind != plan.KindDict
}
