package builtins

import (
	"math"
	"reflect"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/flytestar/flytestar/diag"
)

// captured holds what the variables around started functions were when these were started. Values
// are frozen then, but a variable can be bound again; which value a function sees would depend on
// when it runs.
type captured struct {
	by    map[*starlark.Function]*snapshot
	order []*starlark.Function
}

type snapshot struct {
	values []starlark.Value
	pos    diag.Position // of the start
}

// freeze freezes values, and notes the variables that functions among them capture. It returns the
// functions that capture any. Its error is a variable that has changed since an earlier start.
func (c *captured) freeze(pos diag.Position, values []starlark.Value) ([]*starlark.Function, error) {
	functions := freeze(values)
	for _, fn := range functions {
		if c.by[fn] == nil {
			if c.by == nil {
				c.by = map[*starlark.Function]*snapshot{}
			}
			c.by[fn] = &snapshot{variables(fn), pos}
			c.order = append(c.order, fn)
		}
	}
	return functions, c.check(functions)
}

// freeze freezes values, and returns the functions met on the way that capture variables. It doesn't
// use Function.Freeze, which never returns from a function that captures itself. So it doesn't return
// those in lists, dicts and sets, either.
func freeze(values []starlark.Value) []*starlark.Function {
	var capturing []*starlark.Function
	met := map[*starlark.Function]bool{}
	for queue := slices.Clone(values); len(queue) > 0; queue = queue[1:] {
		switch v := queue[0].(type) {
		case nil:
		case *starlark.Function:
			if met[v] {
				continue
			}
			met[v] = true
			for i := range v.NumParams() {
				queue = append(queue, v.ParamDefault(i))
			}
			if held := variables(v); len(held) > 0 {
				capturing = append(capturing, v)
				queue = append(queue, held...)
			}
		case starlark.Tuple:
			queue = append(queue, v...)
		case *starlarkstruct.Struct:
			queue = append(queue, contents(v)...)
		case *starlark.Builtin:
			queue = append(queue, v.Receiver())
		default:
			v.Freeze()
		}
	}
	return capturing
}

// contents returns the values of a struct's fields.
func contents(s *starlarkstruct.Struct) []starlark.Value {
	var out []starlark.Value
	for _, name := range s.AttrNames() {
		if v, err := s.Attr(name); err == nil {
			out = append(out, v)
		}
	}
	return out
}

// variables returns the values of the variables that fn captures; nil for one that isn't bound yet.
func variables(fn *starlark.Function) []starlark.Value {
	values := make([]starlark.Value, fn.NumFreeVars())
	for i := range values {
		_, values[i] = fn.FreeVar(i)
	}
	return values
}

// check returns an error if a variable that one of the functions captures has another value than
// when the function was started.
func (c *captured) check(functions []*starlark.Function) error {
	for _, fn := range functions {
		at := c.by[fn]
		for i, now := range variables(fn) {
			if !same(at.values[i], now) {
				v, _ := fn.FreeVar(i)
				return diag.Errorf(at.pos, diag.Source, "%s uses %s of the function around it, which changes after the start", fn.Name(), v.Name).
					WithHint("what it sees would depend on when it runs: give it a parameter %s, and pass the value, as in start(fn, %s)", v.Name, v.Name)
			}
		}
	}
	return nil
}

// same reports whether a variable still has the same value. It may take an equal value that was
// made anew for another one.
func same(was, now starlark.Value) bool {
	if was == nil || now == nil {
		return was == nil && now == nil
	}
	switch was := was.(type) {
	case starlark.Tuple:
		now, ok := now.(starlark.Tuple)
		return ok && len(was) == len(now) && (len(was) == 0 || &was[0] == &now[0])
	case starlark.Float:
		now, ok := now.(starlark.Float)
		return ok && math.Float64bits(float64(was)) == math.Float64bits(float64(now))
	case starlark.Int:
		equal, err := starlark.Equal(was, now)
		return err == nil && equal
	}
	return reflect.ValueOf(was).Comparable() && reflect.ValueOf(now).Comparable() && was == now
}
