package measure

import (
	"errors"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"pgregory.net/rapid"
)

// TestTree compares the measured size with the text that Starlark makes of random values.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := value(t, 4)
		got, err := Text(v)
		if err != nil {
			t.Fatal(err)
		}
		if text := v.String(); got.Parts > 2*len(text) || got.Bytes > len(text) {
			t.Errorf("%s has %d bytes, measured as %+v", text, len(text), got)
		}
		if want := parts(v); got.Parts != want {
			t.Errorf("%s has %d parts, measured as %+v", v, want, got)
		}
		if json, err := JSON(v); err != nil || json != got {
			t.Errorf("%s as JSON: %+v, %v; as text %+v", v, json, err, got)
		}
	})
}

// value draws a value that nests at most depth deep.
func value(t *rapid.T, depth int) starlark.Value {
	kind := rapid.IntRange(0, 7).Draw(t, "kind")
	if depth == 0 {
		kind %= 3
	}
	many := func() []starlark.Value {
		out := make([]starlark.Value, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range out {
			out[i] = value(t, depth-1)
		}
		return out
	}
	switch kind {
	case 0:
		return starlark.None
	case 1:
		return starlark.MakeInt(rapid.Int().Draw(t, "int")).Mul(starlark.MakeInt(rapid.Int().Draw(t, "factor")))
	case 2:
		return starlark.String(rapid.StringMatching("[a-z]*").Draw(t, "text"))
	case 3:
		return starlark.NewList(many())
	case 4:
		return starlark.Tuple(many())
	case 5:
		d := &starlark.Dict{}
		for i, x := range many() {
			if err := d.SetKey(starlark.MakeInt(i), x); err != nil {
				t.Fatal(err)
			}
		}
		return d
	case 6:
		s := &starlark.Set{}
		for i := range many() {
			if err := s.Insert(starlark.MakeInt(i)); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	return starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{"a": value(t, depth-1), "b": value(t, depth-1)})
}

// parts counts the values in v the slow way.
func parts(v starlark.Value) int {
	n := 1
	switch v := v.(type) {
	case *starlark.Dict:
		for _, item := range v.Items() {
			n += parts(item[0]) + parts(item[1])
		}
	case *starlarkstruct.Struct:
		for _, name := range v.AttrNames() {
			x, _ := v.Attr(name)
			n += parts(x)
		}
	case starlark.Iterable:
		for x := range starlark.Elements(v) {
			n += parts(x)
		}
	}
	return n
}

// TestBounds has values that exceed each bound by one, and values that don't exceed it.
func TestBounds(t *testing.T) {
	cyclic := starlark.NewList(nil)
	if err := cyclic.Append(cyclic); err != nil {
		t.Fatal(err)
	}
	hidden := starlark.NewList(nil)
	if err := hidden.Append(starlarkstruct.FromStringDict(starlarkstruct.Default, starlark.StringDict{"x": hidden})); err != nil {
		t.Fatal(err)
	}
	deep := func(n int) starlark.Value {
		v := starlark.Value(starlark.None)
		for range n {
			v = starlark.NewList([]starlark.Value{v})
		}
		return v
	}
	nones := func(n int) starlark.Value { return starlark.NewList(make([]starlark.Value, n)) }
	long := func(n int) starlark.Value { return starlark.String(strings.Repeat("x", n)) }
	digits := func(n uint) starlark.Value { return starlark.MakeInt(1).Lsh(n) }
	tests := []struct {
		what string
		v    starlark.Value
		want error
	}{
		{"deep", deep(MaxDepth), nil},
		{"too deep", deep(MaxDepth + 1), ErrTree},
		{"large", nones(MaxParts - 1), nil},
		{"too large", nones(MaxParts), ErrTree},
		{"long", long(MaxBytes), nil},
		{"too long", long(MaxBytes + 1), ErrTree},
		{"int", digits(33_000), nil},
		{"too many digits", digits(34_000), ErrDigits},
		{"cyclic", cyclic, nil},                      // is printed as [[...]]
		{"cyclic through a struct", hidden, ErrTree}, // which forgets what is around it
		{"cyclic beside itself", starlark.Tuple{cyclic, cyclic}, nil},
	}
	for _, test := range tests {
		if _, err := Text(test.v); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: got %v, want %v", test.what, err, test.want)
		}
	}
	r, err := starlark.Call(&starlark.Thread{}, starlark.Universe["range"], starlark.Tuple{starlark.MakeInt(MaxParts)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Text(r); err != nil {
		t.Errorf("a range as text: %v", err)
	}
	if _, err := JSON(r); !errors.Is(err, ErrTree) {
		t.Errorf("a range as JSON: %v", err)
	}
}
