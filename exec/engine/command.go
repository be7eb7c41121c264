package engine

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// placeholder is {{.inputs.NAME}}, {{.outputs.NAME}} or {{.resources.NAME}} (spec.md, "Tasks").
var placeholder = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\{\{\.(inputs|outputs|resources)\.([\pL_][\pL\p{Nd}_]*)\}\}`)
})

// expand returns a command with its placeholders replaced. Inputs are in their plain form.
func expand(command []string, inputs map[string]any, limits plan.Resources) ([]string, error) {
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
		one, err := within(arg, inputs, limits)
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
func within(arg string, inputs map[string]any, limits plan.Resources) (string, error) {
	var failed error
	out := placeholder().ReplaceAllStringFunc(arg, func(p string) string {
		m := placeholder().FindStringSubmatch(p)
		if m[1] == "outputs" {
			return exec.OutputsPath + "/" + m[2]
		}
		if m[1] == "resources" {
			s, err := limit(m[2], limits)
			failed = cmp.Or(err, failed)
			return s
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

// limit returns a limit of the task: cpu in whole cores, rounded up, memory in bytes.
func limit(name string, limits plan.Resources) (string, error) {
	n := map[string]int64{"cpu": (limits.MilliCPU + 999) / 1000, "memory": limits.Memory}[name]
	if n == 0 {
		return "", fmt.Errorf("the task has no limit of %s", name)
	}
	return strconv.FormatInt(n, 10), nil
}

// written returns an input as a part of an argument: a str as it is, everything else as JSON.
func written(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	data, err := marshal(v)
	return string(data), err
}
