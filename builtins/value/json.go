package value

import (
	"go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/flytestar/flytestar/builtins/unpack"
	"github.com/flytestar/flytestar/internal/measure"
)

// JSON is Starlark's json, with a check of the arguments first. A deep value can't make it overflow
// the stack, and shared structure can't make it run on. spec.md, "json and math".
var JSON = &starlarkstruct.Module{
	Name: "json",
	Members: starlark.StringDict{
		"encode":        guarded("encode", checkEncodable),
		"encode_indent": guarded("encode_indent", checkEncodable),
		"decode":        guarded("decode", checkText),
		"indent":        guarded("indent", checkText),
	},
}

// guarded returns the json function of that name, with a check of each argument first.
func guarded(name string, check func(*starlark.Thread, starlark.Value) error) *starlark.Builtin {
	inner := json.Module.Members[name].(*starlark.Builtin)
	return starlark.NewBuiltin(inner.Name(), func(th *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		checked := args
		for _, kv := range kwargs {
			checked = append(checked[:len(checked):len(checked)], kv[1])
		}
		for _, v := range checked {
			if err := check(th, v); err != nil {
				return nil, unpack.About(inner.Name(), err)
			}
		}
		return inner.CallInternal(th, args, kwargs)
	})
}

// checkText refuses a JSON text that nests too deep.
func checkText(_ *starlark.Thread, v starlark.Value) error {
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
			if depth++; depth > measure.MaxDepth {
				return measure.ErrTree.Errorf("the text nests deeper than %d", measure.MaxDepth).WithHint("lists and dicts nest less deep in what tasks pass")
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}

// checkEncodable refuses a value that nests too deep, or that is too large as a tree. It counts a
// step for each part.
func checkEncodable(th *starlark.Thread, v starlark.Value) error {
	tree, err := measure.JSON(v)
	th.Steps += uint64(tree.Parts)
	return err
}
