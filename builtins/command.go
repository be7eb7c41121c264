package builtins

import (
	"fmt"
	"strings"

	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// setCommand makes t a task that runs a command.
func (t *Task) setCommand(a *taskArguments) error {
	var argv unpack.Strings
	if err := argv.Unpack(a.command); err != nil {
		return err
	}
	if len(argv) == 0 {
		return errorf("the command is empty")
	}
	limits := &t.Env.Resources
	if t.Decl.Resources != nil {
		limits = t.Decl.Resources
	}
	c := placeholders{a.in.params, t.Decl.Outputs, paramIndex(a.in.params), paramIndex(t.Decl.Outputs), limits}
	for i, arg := range argv {
		if err := c.check(arg); err != nil {
			return unpack.About(fmt.Sprintf("[%d]", i), err)
		}
	}
	t.Decl.Body = plan.Body{Kind: plan.BodyCommand, Command: argv}
	return checkFileOutputs(t.Decl.Outputs)
}

// placeholders holds what the placeholders of a command can stand for.
type placeholders struct {
	inputs, outputs   []plan.Param
	inputAt, outputAt map[string]int // indices by name
	limits            *plan.Resources
}

// check checks the placeholders in one argument of a command. Other text in braces is text.
func (c *placeholders) check(arg string) error {
	for rest := arg; ; {
		var p placeholder
		if p, rest = nextPlaceholder(rest); p.whole == "" {
			return nil
		}
		whole, group, name := p.whole, p.group, p.name
		params, at := c.inputs, c.inputAt
		switch group {
		case "inputs":
		case "outputs":
			params, at = c.outputs, c.outputAt
		case "resources":
			if err := c.checkLimit(p); err != nil {
				return err
			}
			continue
		default:
			if near := diag.Suggest(group, []string{"inputs", "outputs", "resources"}); near != "" {
				return errorf("%s is no placeholder", whole).WithHint("did you mean {{.%s.%s}}?", near, name)
			}
			continue
		}
		if p.spaced {
			return errorf("the placeholder %s has spaces", whole).WithHint("write {{.%s.%s}}", group, name)
		}
		i, ok := at[name]
		if !ok {
			names := paramNames(params)
			return unpack.Unknown(errorf("there is no %s %q", strings.TrimSuffix(group, "s"), name), name, names)
		}
		if p := params[i]; p.Stdout || p.Glob != "" {
			return errorf("%s has no path: output %q is standard output, or found by its glob", whole, name).
				WithHint("leave out stdout or the glob, or the placeholder")
		}
		if group == "inputs" && whole != arg && isList(params[i].Type) {
			return errorf("the list %s can't be part of an argument", whole).
				WithHint("make the placeholder an argument of its own: it becomes one argument per element")
		}
	}
}

// checkLimit checks a placeholder of group resources. It stands for a limit that the task must have.
func (c *placeholders) checkLimit(p placeholder) error {
	if p.spaced {
		return errorf("the placeholder %s has spaces", p.whole).WithHint("write {{.%s.%s}}", p.group, p.name)
	}
	limits := map[string]int64{"cpu": c.limits.MilliCPU, "memory": c.limits.Memory}
	limit, ok := limits[p.name]
	if !ok {
		return unpack.Unknown(errorf("{{.resources.%s}} can't be told", p.name), p.name, []string{"cpu", "memory"})
	}
	if limit == 0 {
		return errorf("the task has no limit of %s that %s could stand for", p.name, p.whole).WithHint("give it resources(%s = ...)", p.name)
	}
	return nil
}

// placeholder is text in a command's argument that is, or looks like, a placeholder:
// {{.group.name}}.
type placeholder struct {
	whole, group, name string
	spaced             bool // it has spaces within the braces
}

// space is white space that a placeholder may not have, and often has by mistake.
const space = "\t\n\f\r "

// nextPlaceholder returns the first placeholder in s and the rest after it. Without a placeholder,
// both are empty.
func nextPlaceholder(s string) (p placeholder, rest string) {
	for {
		i := strings.Index(s, "{{")
		if i < 0 {
			return placeholder{}, ""
		}
		s = s[i:]
		if p, ok := placeholderAt(s); ok {
			return p, s[len(p.whole):]
		}
		s = s[1:]
	}
}

// placeholderAt returns the placeholder at the beginning of s, which begins with {{.
func placeholderAt(s string) (p placeholder, ok bool) {
	within := strings.TrimLeft(s[2:], space)
	p.spaced = len(within) < len(s)-2
	after, ok := strings.CutPrefix(within, ".")
	if !ok {
		return p, false
	}
	n := strings.IndexFunc(after, func(r rune) bool { return r != '_' && (r|0x20 < 'a' || r|0x20 > 'z') })
	if n < 1 || after[n] != '.' {
		return p, false
	}
	p.group, after = after[:n], after[n+1:]
	if n = strings.IndexAny(after, "{}"+space); n < 0 {
		return p, false
	}
	p.name, after = after[:n], after[n:]
	end := strings.TrimLeft(after, space)
	p.spaced = p.spaced || len(end) < len(after)
	if !strings.HasPrefix(end, "}}") {
		return p, false
	}
	p.whole = s[:len(s)-len(end)+2]
	return p, true
}

// isList reports whether t is a list, or a list or None.
func isList(t plan.Type) bool {
	if t.Kind == plan.KindOptional {
		t = *t.Elem
	}
	return t.Kind == plan.KindList
}
