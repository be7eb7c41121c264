package interp

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"

	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/measure"
)

// This file replaces functions of Starlark's universe of which one call, a single step, can take a
// minute or all memory. Steps are counted between instructions. So only the wall clock and the
// memory limit can end a native call, and they can't say where it is. Methods and operators can't
// be replaced: those two limits have to do. spec.md, "What differs from Starlark".

// Limits that these functions add. No flag raises them.
const (
	errRange = diag.LimitName("range")
	errName  = diag.LimitName("name")
)

const (
	// maxRange bounds how many elements range returns. A native call that isn't replaced, such as
	// set.intersection, visits so many within seconds.
	maxRange = 100_000_000
	// maxAttr bounds the names that getattr looks for, in bytes. It compares a name that doesn't
	// exist with every name that does.
	maxAttr = 4096
)

// guardUniverse changes starlark.Universe. It is called before anything is evaluated, as the
// universe's documentation demands.
var guardUniverse = sync.OnceFunc(func() {
	starlark.Universe["fail"] = plainFail(starlark.Universe["fail"].(*starlark.Builtin))
	for name, check := range guards {
		starlark.Universe[name] = guarded(starlark.Universe[name].(*starlark.Builtin), check)
	}
	for name, fn := range added {
		starlark.Universe[name] = starlark.NewBuiltin(name, fn)
	}
	starlark.Universe["range"] = shortRange(starlark.Universe["range"].(*starlark.Builtin))
})

// added are functions that Starlark's universe lacks.
var added = map[string]func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error){
	"round": round, "sum": sum, percentName: percent, formatName: format,
}

// guard counts the steps of a call before it is made, or refuses the call. values are the
// arguments; the first ones are positional.
type guard func(th *starlark.Thread, values []starlark.Value, positional int) error

// guards are the checks, by the name of a function of the universe.
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

// guarded returns f with a check before each call.
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

// of puts a function's name before an error's message.
func of(f *starlark.Builtin, err error) error {
	var d *diag.Error
	if !errors.As(err, &d) {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	about := *d
	about.Msg = f.Name() + ": " + d.Msg
	return &about
}

// plainFail returns f, the function fail, with messages that are only what it was given: a body's
// failure is read by programs too.
func plainFail(f *starlark.Builtin) *starlark.Builtin {
	return starlark.NewBuiltin(f.Name(), func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		v, err := f.CallInternal(th, args, kwargs)
		if err != nil {
			if said, ok := strings.CutPrefix(err.Error(), "fail: "); ok {
				return nil, errors.New(cmp.Or(said, f.Name()))
			}
		}
		return v, err
	})
}

// shortRange returns f, the function range, with a bound.
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

// charge counts n more steps of th.
func charge(th *starlark.Thread, n int) error {
	th.Steps += uint64(n)
	b, counted := th.Local(budgetLocal).(*budget)
	if !counted || n < slice { // the next instruction counts fewer in time
		return nil
	}
	if b.look(th); b.err != nil {
		return b.err
	}
	return nil
}

// visits charges a step for each argument and for each of its elements.
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
			return nil // it isn't iterable, or of unknown length: not a value of this language
		}
		rows = min(rows, s.Len())
	}
	return charge(th, rows*len(values))
}

// prints refuses values with too much text, and charges a step for each of their parts.
func prints(th *starlark.Thread, values []starlark.Value, positional int) error {
	total, err := measure.Text(values...)
	if err == nil && positional < len(values) { // sep stands between any two
		sep, _ := starlark.AsString(values[positional])
		total.Bytes += len(sep) * positional
		err = total.Check()
	}
	if err != nil {
		return err
	}
	return charge(th, total.Parts)
}

// converts is prints, except for a string, which str returns as it is.
func converts(th *starlark.Thread, values []starlark.Value, positional int) error {
	if len(values) == 1 {
		if _, ok := values[0].(starlark.String); ok {
			return nil
		}
	}
	return prints(th, values, positional)
}

// hashes charges a step for every few bytes of a string.
func hashes(th *starlark.Thread, values []starlark.Value, _ int) error {
	const perStep = 16
	n := 0
	for _, v := range values {
		n += max(0, starlark.Len(v)) / perStep
	}
	return charge(th, n)
}

// parses refuses the text of an int with too many digits.
func parses(_ *starlark.Thread, values []starlark.Value, _ int) error {
	for _, v := range values {
		if s, ok := starlark.AsString(v); ok && len(s) > measure.MaxDigits {
			return measure.ErrDigits.Errorf("the text has more than the %d digits that an int is made of", measure.MaxDigits).
				WithHint("ints that pass between tasks have 64 bits")
		}
	}
	return nil
}

// names refuses a name that is too long to be an attribute's.
func names(_ *starlark.Thread, values []starlark.Value, _ int) error {
	if len(values) > 1 {
		if s, ok := starlark.AsString(values[1]); ok && len(s) > maxAttr {
			return errName.Errorf("the name has more than %d bytes", maxAttr).WithHint("no attribute has such a name")
		}
	}
	return nil
}
