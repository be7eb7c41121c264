// Package measure bounds the Starlark values that native code walks as a tree in one step: where a value holds
// another in many places, it is small in memory and has no end on paper.
//
//   - [Text] measures values as str and print walk them.
//   - [JSON] measures a value as json.encode walks it.
//   - [Digits] refuses ints too long to be converted to text or from it, which takes quadratic time.
//
// Errors are *diag.Error of class Limit, without a position.
package measure

import (
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/flytestar/flytestar/diag"
)

// What is walked at most.
const (
	MaxDepth  = 500      // of values within values
	MaxParts  = 2 << 20  // values, each as often as it is met
	MaxBytes  = 64 << 20 // of the strings, bytes and ints among them
	MaxDigits = 10_000   // of an int
)

// The limits that these bounds are. No flag raises them.
const (
	ErrTree   = diag.LimitName("tree")
	ErrDigits = diag.LimitName("digits")
)

// Size is how large a value is as a tree.
type Size struct {
	Parts int // values, each as often as it is met
	Bytes int // of strings, bytes and ints
}

// Check reports the first bound that s exceeds, or nil.
func (s Size) Check() error {
	switch {
	case s.Parts > MaxParts:
		return ErrTree.Errorf("the value has more than %d parts", MaxParts).WithHint("one that it holds in many places counts each time")
	case s.Bytes > MaxBytes:
		return ErrTree.Errorf("the value's text is longer than %d bytes", MaxBytes).WithHint("pass large data between tasks as a File")
	}
	return nil
}

// Text measures values as str, repr, print and fail walk them: lists, tuples, sets, dicts and structs, and of
// what contains itself one round.
func Text(values ...starlark.Value) (Size, error) {
	var w walker
	for _, v := range values {
		if err := w.walk(v, 0); err != nil {
			return w.size, err
		}
	}
	return w.size, nil
}

// JSON measures v as json.encode walks it: as [Text], and other iterables as well.
func JSON(v starlark.Value) (Size, error) {
	w := walker{json: true}
	err := w.walk(v, 0)
	return w.size, err
}

// Digits reports whether i has more than [MaxDigits], or somewhat fewer if it is that close.
func Digits(i starlark.Int) error {
	if _, small := i.Int64(); !small && decimals(i) > MaxDigits {
		return ErrDigits.Errorf("an int of more than %d digits can't be made text", MaxDigits).WithHint("ints that pass between tasks have 64 bits")
	}
	return nil
}

// decimals returns about how many decimal digits i has.
func decimals(i starlark.Int) int {
	const perBit = 0.30103 // log10 of 2
	return int(float64(i.BigInt().BitLen()) * perBit)
}

// walker walks values as a tree, up to the bounds.
type walker struct {
	json bool
	size Size
	path []starlark.Value // the lists and dicts around; one that recurs is printed as ..., and refused by json
}

func (w *walker) walk(v starlark.Value, depth int) error {
	if depth > MaxDepth {
		return ErrTree.Errorf("the value nests deeper than %d", MaxDepth).WithHint("build lists and dicts flatter")
	}
	w.size.Parts++
	switch v := v.(type) {
	case starlark.String:
		w.size.Bytes += len(v)
	case starlark.Bytes:
		w.size.Bytes += len(v)
	case starlark.Int:
		if _, small := v.Int64(); !small {
			w.size.Bytes += decimals(v)
			if err := Digits(v); err != nil {
				return err
			}
		}
	}
	if err := w.size.Check(); err != nil {
		return err
	}
	switch v := v.(type) {
	case *starlark.List:
		return w.within(v, depth, w.items)
	case *starlark.Dict:
		return w.within(v, depth, w.entries)
	case starlark.Tuple:
		return w.items(v, depth)
	case *starlark.Set:
		return w.elements(v, depth)
	case *starlarkstruct.Struct:
		return w.fields(v, depth)
	case starlark.Iterable:
		if w.json {
			return w.elements(v, depth)
		}
	}
	return nil
}

// within walks what a list or dict holds, unless it is within itself.
func (w *walker) within(v starlark.Value, depth int, walk func(starlark.Value, int) error) error {
	if slices.Contains(w.path, v) {
		return nil
	}
	w.path = append(w.path, v)
	err := walk(v, depth)
	w.path = w.path[:len(w.path)-1]
	return err
}

// items walks a list's or tuple's.
func (w *walker) items(v starlark.Value, depth int) error {
	list := v.(starlark.Indexable)
	for i := range list.Len() {
		if err := w.walk(list.Index(i), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) elements(v starlark.Iterable, depth int) error {
	for x := range starlark.Elements(v) {
		if err := w.walk(x, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entries(v starlark.Value, depth int) error {
	for key, value := range v.(*starlark.Dict).Entries() {
		if err := w.walk(key, depth+1); err != nil {
			return err
		}
		if err := w.walk(value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// fields walks a struct's. Its text is made anew, not knowing what is around it.
func (w *walker) fields(s *starlarkstruct.Struct, depth int) error {
	around := w.path
	w.path = nil
	defer func() { w.path = around }()
	for _, name := range s.AttrNames() {
		x, err := s.Attr(name)
		if err != nil {
			return err
		}
		w.size.Bytes += len(name)
		if err := w.walk(x, depth+1); err != nil {
			return err
		}
	}
	return nil
}
