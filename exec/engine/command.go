package engine

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/exec"
)

// placeholder is {{.inputs.NAME}} or {{.outputs.NAME}} (spec.md, "Tasks").
var placeholder = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\{\{\.(inputs|outputs)\.([\pL_][\pL\p{Nd}_]*)\}\}`) })

// expand returns a command with its placeholders replaced. Inputs are in their plain form.
func expand(command []string, inputs map[string]any) ([]string, error) {
	var args []string
	for _, arg := range command {
		if m := placeholder().FindStringSubmatch(arg); m != nil && m[0] == arg && m[1] == "inputs" {
			several, err := alone(m[2], inputs)
			if err != nil {
				return nil, err
			}
			args = append(args, several...)
			continue
		}
		one, err := within(arg, inputs)
		if err != nil {
			return nil, err
		}
		args = append(args, one)
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("the command has no arguments left after its placeholders were replaced")
	}
	for _, a := range args {
		if strings.ContainsRune(a, 0) {
			return nil, fmt.Errorf("the argument %q has a NUL, which no argument can have", a)
		}
	}
	return args, nil
}

// alone returns the arguments that replace an argument which is one placeholder and nothing else.
func alone(name string, inputs map[string]any) ([]string, error) {
	v, ok := inputs[name]
	if !ok {
		return nil, fmt.Errorf("there is no input %q", name)
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []any:
		args := make([]string, len(v))
		for i, x := range v {
			var err error
			if args[i], err = written(x); err != nil {
				return nil, err
			}
		}
		return args, nil
	}
	s, err := written(v)
	return []string{s}, err
}

// within replaces the placeholders in an argument.
func within(arg string, inputs map[string]any) (string, error) {
	var failed error
	out := placeholder().ReplaceAllStringFunc(arg, func(p string) string {
		m := placeholder().FindStringSubmatch(p)
		if m[1] == "outputs" {
			return exec.OutputsPath + "/" + m[2]
		}
		v, ok := inputs[m[2]]
		if !ok {
			failed = fmt.Errorf("there is no input %q", m[2])
			return ""
		}
		if _, list := v.([]any); list {
			failed = fmt.Errorf("the list %q stands within the argument %q: a list can only be an argument of its own", m[2], arg)
			return ""
		}
		s, err := written(v)
		if err != nil {
			failed = err
		}
		return s
	})
	return out, failed
}

// written returns an input as a part of an argument: a str as it is, everything else as JSON.
func written(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	data, err := marshal(v)
	return string(data), err
}
