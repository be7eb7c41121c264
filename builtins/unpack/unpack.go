// Package unpack reads the arguments of a builtin's call.
//
//   - [Args] sets variables from a call's arguments.
//   - [Strings], [EnvVars] and [Count] are such variables, with checks of their own.
//
// Errors are *diag.Error without a position, which the interpreter takes from the call.
package unpack

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/diag"
)

// Args sets variables from a call's arguments. Its pairs of names and pointers are those of
// starlark.UnpackArgs. Unlike UnpackArgs it keeps the hints of errors, it gives a hint for an
// unknown name, and a name that ends in "?" makes only its own argument optional.
func Args(fn string, args starlark.Tuple, kwargs []starlark.Tuple, pairs ...any) error {
	var few [16]string
	names := few[:0] // without question marks
	for i := 0; i < len(pairs); i += 2 {
		name, _, _ := strings.Cut(pairs[i].(string), "?")
		names = append(names, name)
	}
	if len(args) > len(names) {
		return errorf("%s takes at most %d positional arguments, got %d", fn, len(names), len(args))
	}
	given := make([]bool, len(names))
	set := func(i int, v starlark.Value) error {
		if given[i] {
			return errorf("%s: argument %s is given twice", fn, names[i])
		}
		given[i] = true
		if v == starlark.None && strings.HasSuffix(pairs[2*i].(string), "??") {
			return nil
		}
		if err := starlark.UnpackArg(v, pairs[2*i+1]); err != nil {
			return About(fmt.Sprintf("%s: argument %s", fn, names[i]), err)
		}
		return nil
	}
	for i, v := range args {
		if err := set(i, v); err != nil {
			return err
		}
	}
	for _, kv := range kwargs {
		name := string(kv[0].(starlark.String))
		i := indexOf(names, name)
		if i < 0 {
			return Unknown(errorf("%s has no argument %s", fn, name), name, names)
		}
		if err := set(i, kv[1]); err != nil {
			return err
		}
	}
	for i, name := range names {
		if !given[i] && !strings.HasSuffix(pairs[2*i].(string), "?") {
			return errorf("%s: argument %s is missing", fn, name)
		}
	}
	return nil
}

func indexOf(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

// Unknown returns e with a hint for a name that isn't one of names.
func Unknown(e *diag.Error, name string, names []string) *diag.Error {
	if near := diag.Suggest(name, names); near != "" {
		return e.WithHint("did you mean %s?", near)
	}
	if len(names) == 0 {
		return e
	}
	return e.WithHint("there is %s", strings.Join(names, ", "))
}

// About puts what before the message of err. It returns nil if err is nil.
func About(what string, err error) error {
	if err == nil {
		return nil
	}
	var d *diag.Error
	if errors.As(err, &d) {
		copied := *d
		copied.Msg = what + ": " + d.Msg
		return &copied
	}
	return errorf("%s: %w", what, err)
}

// Strings unpacks a list or tuple of strings that aren't empty.
type Strings []string

// Unpack implements starlark.Unpacker.
func (l *Strings) Unpack(v starlark.Value) error {
	if s, ok := v.(starlark.String); ok {
		return errorf("want a list of strings, got a string").WithHint("write [%s]", s)
	}
	seq, ok := v.(starlark.Sequence)
	if !ok {
		return errorf("want a list of strings, got %s", v.Type())
	}
	var out []string
	for elem := range starlark.Elements(seq) {
		s, err := Text(elem)
		if err != nil {
			return About(fmt.Sprintf("[%d]", len(out)), err)
		}
		out = append(out, s)
	}
	*l = out
	return nil
}

// Text returns v as a string that isn't empty and has no NUL.
func Text(v starlark.Value) (string, error) {
	s, ok := starlark.AsString(v)
	switch {
	case !ok:
		return "", errorf("want a string, got %s", v.Type())
	case s == "":
		return "", errorf("the string is empty")
	case strings.ContainsRune(s, 0):
		return "", errorf("the string %q has a NUL", s)
	}
	return s, nil
}

// envVarRE matches names of environment variables.
var envVarRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })

// EnvVars unpacks a dict of environment variables.
type EnvVars map[string]string

// Unpack implements starlark.Unpacker.
func (m *EnvVars) Unpack(v starlark.Value) error {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return errorf("want a dict of strings, got %s", v.Type())
	}
	out := make(map[string]string, d.Len())
	for _, item := range d.Items() {
		name, ok := starlark.AsString(item[0])
		if !ok || !envVarRE().MatchString(name) {
			return errorf("%s can't name an environment variable", item[0]).
				WithHint("a name has letters, digits and _, and doesn't begin with a digit")
		}
		value, ok := starlark.AsString(item[1])
		if !ok {
			return errorf("%s: want a string, got %s", name, item[1].Type()).WithHint("write %q", item[1].String())
		}
		if strings.ContainsRune(value, 0) {
			return errorf("%s: the string %q has a NUL", name, value)
		}
		out[name] = value
	}
	*m = out
	return nil
}

// Count unpacks an int from 0 to 2³¹-1.
type Count int

// Unpack implements starlark.Unpacker.
func (c *Count) Unpack(v starlark.Value) error {
	i, ok := v.(starlark.Int)
	if !ok {
		return errorf("want an int, got %s", v.Type())
	}
	n, ok := i.Int64()
	if !ok || n < 0 || n > math.MaxInt32 {
		return errorf("want an int from 0 to %d, got %s", math.MaxInt32, v)
	}
	*c = Count(n)
	return nil
}

// errorf returns an error without position and class: the interpreter takes them from the call.
func errorf(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, "", format, args...)
}
