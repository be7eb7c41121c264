// Package measure bounds the Starlark values that native code walks as a tree in one step. A value
// that occurs in many places of another takes little memory, but its text can be endless.
//
//   - [Text] measures values as str and print walk them.
//   - [JSON] measures a value as json.encode walks it.
//   - [Digits] refuses ints that are too long to convert to or from text, since that takes
//     quadratic time.
//
// Errors are *diag.Error of class Limit, without a position.
package measure

import (
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/flytestar/flytestar/diag"
)

// The bounds of a walk.
const (
	MaxDepth  = 500      // of values within values
	MaxParts  = 2 << 20  // values, counted each time they occur
	MaxBytes  = 64 << 20 // of the strings, bytes and ints among them
	MaxDigits = 10_000   // of an int
)

// The names of these bounds as limits. No flag raises them.
const (
	ErrTree   = diag.LimitName("tree")
	ErrDigits = diag.LimitName("digits")
)

// Size is the size of a value as a tree.
type Size struct {
	Parts int // values, counted each time they occur
	Bytes int // of strings, bytes and ints
}

// Check returns an error for the first bound that s exceeds, or nil.
func (s Size) Check() error {
	switch {
	case s.Parts > MaxParts:
		return ErrTree.Errorf("the value has more than %d parts", MaxParts).WithHint("one that it holds in many places counts each time")
	case s.Bytes > MaxBytes:
		return ErrTree.Errorf("the value's text is longer than %d bytes", MaxBytes).WithHint("pass large data between tasks as a File")
	}
	return nil
}

// Text measures values as str, repr, print and fail walk them. They walk lists, tuples, sets, dicts
// and structs. They walk a value that contains itself only once.
func Text(values ...starlark.Value) (Size, error) {
	var w walker
	for _, v := range values {
		if err := w.walk(v, 0); err != nil {
			return w.size, err
		}
	}
	return w.size, nil
}

// JSON measures v as json.encode walks it: like [Text], and also through other iterables.
func JSON(v starlark.Value) (Size, error) {
	w := walker{json: true}
	err := w.walk(v, 0)
	return w.size, err
}

// Digits returns an error if i has more than [MaxDigits] digits. It estimates, so it may refuse an
// int with slightly fewer.
func Digits(i starlark.Int) error {
	if _, small := i.Int64(); !small && decimals(i) > MaxDigits {
		return ErrDigits.Errorf("an int of more than %d digits can't be made text", MaxDigits).WithHint("ints that pass between tasks have 64 bits")
	}
	return nil
}

// decimals returns roughly the number of decimal digits of i.
func decimals(i starlark.Int) int {
	const perBit = 0.30103 // log10 of 2
	return int(float64(i.BigInt().BitLen()) * perBit)
}

// walker walks values as a tree, until a bound is exceeded.
type walker struct {
	json bool
	size Size
	path []starlark.Value // the lists and dicts around the value; a repeated one is printed as ..., and json refuses it
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

// within walks the contents of a list or dict. It stops if v is already on the path, so v contains
// itself.
func (w *walker) within(v starlark.Value, depth int, walk func(starlark.Value, int) error) error {
	if slices.Contains(w.path, v) {
		return nil
	}
	w.path = append(w.path, v)
	err := walk(v, depth)
	w.path = w.path[:len(w.path)-1]
	return err
}

// items walks the elements of a list or tuple.
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

// fields walks the fields of a struct. Starlark prints a struct without knowing what is around it,
// so the path starts anew.
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
