package builtins

import (
	"go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
)

// What json handles at most: its functions recurse, and share nothing that they write.
const (
	maxJSONDepth = 500
	maxJSONNodes = 2 << 20
)

// jsonModule is Starlark's json with its arguments checked first, so that
// neither depth nor shared structure makes it overflow or run on. spec.md, "json and math".
var jsonModule = &starlarkstruct.Module{
	Name: "json",
	Members: starlark.StringDict{
		"encode":        guarded("encode", checkEncodable),
		"encode_indent": guarded("encode_indent", checkEncodable),
		"decode":        guarded("decode", checkText),
		"indent":        guarded("indent", checkText),
	},
}

// guarded returns the json function of that name behind a check of its first argument.
func guarded(name string, check func(starlark.Value) error) *starlark.Builtin {
	inner := json.Module.Members[name].(*starlark.Builtin)
	return starlark.NewBuiltin(inner.Name(), func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		checked := args
		for _, kv := range kwargs {
			checked = append(checked[:len(checked):len(checked)], kv[1])
		}
		for _, v := range checked {
			if err := check(v); err != nil {
				return nil, about(inner.Name(), err)
			}
		}
		return inner.CallInternal(th, args, kwargs)
	})
}

// checkText refuses JSON that nests too deep.
func checkText(v starlark.Value) error {
	s, _ := starlark.AsString(v)
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > maxJSONDepth {
				return errorf("the text nests deeper than %d", maxJSONDepth)
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}

// checkEncodable refuses values that nest too deep, or are too large as a tree.
func checkEncodable(v starlark.Value) error {
	nodes := 0
	return countNodes(v, 0, &nodes)
}

func countNodes(v starlark.Value, depth int, nodes *int) error {
	if depth > maxJSONDepth {
		return errorf("the value nests deeper than %d, or holds itself", maxJSONDepth)
	}
	if *nodes++; *nodes > maxJSONNodes {
		return errorf("the value has more than %d parts", maxJSONNodes)
	}
	for child := range children(v) {
		if err := countNodes(child, depth+1, nodes); err != nil {
			return err
		}
	}
	return nil
}

// children yields what a list, tuple, set, dict or struct holds.
func children(v starlark.Value) func(yield func(starlark.Value) bool) {
	return func(yield func(starlark.Value) bool) {
		switch v := v.(type) {
		case *starlark.Dict:
			for _, x := range v.Entries() {
				if !yield(x) {
					return
				}
			}
		case *starlarkstruct.Struct:
			for _, name := range v.AttrNames() {
				if x, err := v.Attr(name); err != nil || !yield(x) {
					return
				}
			}
		case starlark.Iterable:
			for x := range starlark.Elements(v) {
				if !yield(x) {
					return
				}
			}
		}
	}
}
