package interp

import (
	"errors"
	"fmt"
	"sync"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/measure"
)

// This file replaces the functions of Starlark's universe that take a program one step and the machine a
// minute, or all its memory. Steps are counted between instructions, so nothing else ends one native call
// but the wall clock and the memory limit, which can't say where they struck. Methods and operators can't be
// replaced: they are left to those two. spec.md, "What differs from Starlark".

// The limits that these functions add. No flag raises them.
const (
	errRange = diag.LimitName("range")
	errName  = diag.LimitName("name")
)

const (
	// maxRange bounds what range returns, in elements: what visits one in a native call that isn't
	// replaced, such as set.intersection, is done with so many within seconds.
	maxRange = 100_000_000
	// maxAttr bounds the names that getattr looks for, in bytes: for one that isn't there it compares with all that are.
	maxAttr = 4096
)

// guardUniverse changes starlark.Universe, as its documentation has it before anything is evaluated.
var guardUniverse = sync.OnceFunc(func() {
	for name, check := range guards {
		starlark.Universe[name] = guarded(starlark.Universe[name].(*starlark.Builtin), check)
	}
	starlark.Universe["range"] = shortRange(starlark.Universe["range"].(*starlark.Builtin))
})

// guard counts the steps of a call that is about to be made, or refuses it. values are its
// arguments, of which the first are positional.
type guard func(th *starlark.Thread, values []starlark.Value, positional int) error

// guards has what is checked, by the name of a function of the universe.
var guards = map[string]guard{
	"all":       visits,
	"any":       visits,
	"bytes":     visits,
	"dict":      visits,
	"enumerate": visits,
	"list":      visits,
	"max":       visits,
	"min":       visits,
	"reversed":  visits,
	"set":       visits,
	"sorted":    visits,
	"tuple":     visits,
	"zip":       zips,
	"fail":      prints,
	"print":     prints,
	"repr":      prints,
	"str":       converts,
	"hash":      hashes,
	"int":       parses,
	"getattr":   names,
	"hasattr":   names,
}

// guarded returns f behind a check.
func guarded(f *starlark.Builtin, check guard) *starlark.Builtin {
	return starlark.NewBuiltin(f.Name(), func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		values := args
		for _, kv := range kwargs {
			values = append(values[:len(values):len(values)], kv[1])
		}
		if err := check(th, values, len(args)); err != nil {
			return nil, of(f, err)
		}
		return f.CallInternal(th, args, kwargs)
	})
}

// of says which function an error is about.
func of(f *starlark.Builtin, err error) error {
	var d *diag.Error
	if !errors.As(err, &d) {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	about := *d
	about.Msg = f.Name() + ": " + d.Msg
	return &about
}

// shortRange returns range, with a bound.
func shortRange(f *starlark.Builtin) *starlark.Builtin {
	return starlark.NewBuiltin(f.Name(), func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		r, err := f.CallInternal(th, args, kwargs)
		if err == nil && starlark.Len(r) > maxRange {
			return nil, errRange.Errorf("range has more than %d elements", maxRange).
				WithHint("a loop over it would exceed the step limit long before its end; give range what the loop needs at most")
		}
		return r, err
	})
}

// charge counts n more steps of th's.
func charge(th *starlark.Thread, n int) error {
	th.Steps += uint64(n)
	b, counted := th.Local(budgetLocal).(*budget)
	if !counted || n < slice { // fewer are counted in time at the next instruction
		return nil
	}
	if b.look(th); b.err != nil {
		return b.err
	}
	return nil
}

// visits charges a step for each argument and each element of one.
func visits(th *starlark.Thread, values []starlark.Value, _ int) error {
	n := len(values)
	for _, v := range values {
		if s, ok := v.(starlark.Sequence); ok {
			n += s.Len()
		}
	}
	return charge(th, n)
}

// zips charges a step for each element of the result's tuples.
func zips(th *starlark.Thread, values []starlark.Value, _ int) error {
	rows := maxRange
	for _, v := range values {
		s, ok := v.(starlark.Sequence)
		if !ok {
			return nil // it is an error, or of unknown length, and then no argument of ours
		}
		rows = min(rows, s.Len())
	}
	return charge(th, rows*len(values))
}

// prints refuses values whose text would be too large, and charges a step for each part of them.
func prints(th *starlark.Thread, values []starlark.Value, positional int) error {
	total, err := measure.Text(values...)
	if err == nil && positional < len(values) { // sep, between two each
		sep, _ := starlark.AsString(values[positional])
		total.Bytes += len(sep) * positional
		err = total.Check()
	}
	if err != nil {
		return err
	}
	return charge(th, total.Parts)
}

// converts is prints for what isn't returned as it is.
func converts(th *starlark.Thread, values []starlark.Value, positional int) error {
	if len(values) == 1 {
		if _, ok := values[0].(starlark.String); ok {
			return nil
		}
	}
	return prints(th, values, positional)
}

// hashes charges a step for some bytes of a string.
func hashes(th *starlark.Thread, values []starlark.Value, _ int) error {
	const perStep = 16
	n := 0
	for _, v := range values {
		n += max(0, starlark.Len(v)) / perStep
	}
	return charge(th, n)
}

// parses refuses texts of ints that have too many digits.
func parses(_ *starlark.Thread, values []starlark.Value, _ int) error {
	for _, v := range values {
		if s, ok := starlark.AsString(v); ok && len(s) > measure.MaxDigits {
			return measure.ErrDigits.Errorf("the text has more than the %d digits that an int is made of", measure.MaxDigits).
				WithHint("ints that pass between tasks have 64 bits")
		}
	}
	return nil
}

// names refuses names that no attribute has.
func names(_ *starlark.Thread, values []starlark.Value, _ int) error {
	if len(values) > 1 {
		if s, ok := starlark.AsString(values[1]); ok && len(s) > maxAttr {
			return errName.Errorf("the name has more than %d bytes", maxAttr).WithHint("no attribute has such a name")
		}
	}
	return nil
}
