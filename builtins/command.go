package builtins

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// placeholderRE finds what is, or looks like, a placeholder in a command's argument.
var placeholderRE = regexp.MustCompile(`\{\{(\s*)\.([A-Za-z_]+)\.([^{}\s]*)(\s*)\}\}`)

// setCommand makes t a task of a command.
func (t *Task) setCommand(a *taskArguments) error {
	var argv stringList
	if err := argv.Unpack(a.command); err != nil {
		return err
	}
	if len(argv) == 0 {
		return errorf("the command is empty")
	}
	for i, arg := range argv {
		if err := checkPlaceholders(arg, a.in.params, t.Decl.Outputs); err != nil {
			return about(fmt.Sprintf("[%d]", i), err)
		}
	}
	t.Decl.Body = plan.Body{Kind: plan.BodyCommand, Command: argv}
	return checkFileOutputs(t.Decl.Outputs)
}

// checkPlaceholders checks the placeholders in one argument of a command. Other text in braces is text.
func checkPlaceholders(arg string, inputs, outputs []plan.Param) error {
	for _, m := range placeholderRE.FindAllStringSubmatch(arg, -1) {
		whole, group, name := m[0], m[2], m[3]
		params := inputs
		switch group {
		case "inputs":
		case "outputs":
			params = outputs
		default:
			if near := diag.Suggest(group, []string{"inputs", "outputs"}); near != "" {
				return errorf("%s is no placeholder", whole).WithHint("did you mean {{.%s.%s}}?", near, name)
			}
			continue
		}
		if m[1]+m[4] != "" {
			return errorf("the placeholder %s has spaces", whole).WithHint("write {{.%s.%s}}", group, name)
		}
		names := paramNames(params)
		i := indexOf(names, name)
		if i < 0 {
			return unknown(errorf("there is no %s %q", strings.TrimSuffix(group, "s"), name), name, names)
		}
		if group == "inputs" && whole != arg && isList(params[i].Type) {
			return errorf("the list %s can't be part of an argument", whole).
				WithHint("make the placeholder an argument of its own: it becomes one argument per element")
		}
	}
	return nil
}

// isList reports whether t is a list, or one or None.
func isList(t plan.Type) bool {
	if t.Kind == plan.KindOptional {
		t = *t.Elem
	}
	return t.Kind == plan.KindList
}
