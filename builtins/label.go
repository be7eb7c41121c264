package builtins

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/builtins/value"
	"github.com/flytestar/flytestar/plan"
)

// maxWord bounds how much of one value a label shows, in characters.
const maxWord = 24

// word shows a value in a label: a string's text, an artifact's name, a number. It returns "" for
// any other value.
func word(v plan.Value) string {
	s := ""
	switch v := v.(type) {
	case string:
		s = v
	case int64:
		s = strconv.FormatInt(v, 10)
	case float64:
		s = strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		s = map[bool]string{true: "True", false: "False"}[v]
	case plan.File:
		s = v.Name
	case plan.Dir:
		s = v.Name
	}
	if utf8.RuneCountInString(s) > maxWord {
		s = string([]rune(s)[:maxWord-1]) + "…"
	}
	return plan.CleanLabel(s)
}

// itemLabels labels the calls of map: by index, and by the inputs that differ. bound are their
// inputs. A single one that differs goes without its name.
func (t *Task) itemLabels(bound []map[string]plan.Value) []string {
	var differ []string
	for _, p := range t.Decl.Inputs {
		for _, in := range bound {
			if word(in[p.Name]) != word(bound[0][p.Name]) {
				differ = append(differ, p.Name)
				break
			}
		}
	}
	labels := make([]string, len(bound))
	for i, in := range bound {
		var words []string
		for _, name := range differ {
			w := word(in[name])
			switch {
			case w == "":
			case len(differ) == 1:
				words = append(words, w)
			default:
				words = append(words, name+"="+w)
			}
		}
		labels[i] = strings.TrimSpace(fmt.Sprintf("[%d] %s", i, strings.Join(words, ", ")))
	}
	return labels
}

// startLabel names a started function in labels of groups: chain(tumor, 3). It leaves out what can't
// be shown in a word.
func startLabel(fn string, args starlark.Tuple, kwargs []starlark.Tuple) string {
	values := args
	for _, kv := range kwargs {
		values = append(values[:len(values):len(values)], kv[1])
	}
	var words []string
	for _, v := range values {
		if w := word(plain(v)); w != "" {
			words = append(words, w)
		}
	}
	return plan.CleanLabel(fn + "(" + strings.Join(words, ", ") + ")")
}

// plain returns a value that a label can show, or nil.
func plain(v starlark.Value) plan.Value {
	switch v := v.(type) {
	case starlark.String:
		return string(v)
	case starlark.Int:
		if n, ok := v.Int64(); ok {
			return n
		}
	case starlark.Float:
		return float64(v)
	case starlark.Bool:
		return bool(v)
	case value.File:
		return v.Ref
	case value.Dir:
		return v.Ref
	}
	return nil
}

// label unpacks a label that the author gives.
type label string

// Unpack implements starlark.Unpacker.
func (l *label) Unpack(v starlark.Value) error {
	s, err := unpack.Text(v)
	if err != nil {
		return err
	}
	if s == "" || plan.CleanLabel(s) != s {
		return errorf("%.100q can't be shown as a label", s).WithHint("a label is one line of 1 to %d characters", plan.MaxLabel)
	}
	*l = label(s)
	return nil
}

// group implements group(name, fn, …). spec.md, "Labels and groups".
func group(th *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	s, err := strandOf(th, b.Name())
	if err != nil {
		return nil, err
	}
	if len(args) < 2 {
		return nil, errorf("group wants a name and a function, and its arguments").WithHint(`write group("name", fn, arguments…)`)
	}
	var name label
	if err := name.Unpack(args[0]); err != nil {
		return nil, unpack.About("group: name", err)
	}
	fn, ok := args[1].(starlark.Callable)
	if !ok {
		return nil, errorf("group wants a function, got %s", args[1].Type()).WithHint("write group(name, fn, arguments…), not group(name, fn(arguments…))")
	}
	around := s.group
	s.group = within(around, string(name))
	defer func() { s.group = around }()
	return starlark.Call(th, fn, args[2:], kwargs)
}

// within returns the group of that name in another.
func within(around, name string) string {
	if around == "" {
		return name
	}
	return plan.CleanLabel(around + "/" + name)
}
