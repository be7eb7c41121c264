package evaluator

import (
	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
)

// sources is a Source: the modules by path.
type sources map[string]string

// ReadModule implements interp.Source.
func (s sources) ReadModule(path string) ([]byte, error) {
	source, ok := s[path]
	if !ok {
		return nil, &diag.Error{Msg: "no module " + path}
	}
	return []byte(source), nil
}

// testLanguage is a language for tests of loading. Its function host makes a finding.
func testLanguage() interp.Language {
	host := func(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
		return nil, &diag.Error{Msg: "a finding", Code: "FS199", Hint: "do this"}
	}
	return interp.Language{
		Predeclared: starlark.StringDict{
			"image": starlark.None,
			"thing": starlark.None,
			"host":  starlark.NewBuiltin("host", host),
		},
		Finished: func(_ *starlark.Thread, m *interp.Module) error {
			if m.Globals.Has("finished_badly") {
				return diag.Errorf(diag.Position{File: m.Path, Line: 1}, "", "finished badly")
			}
			return nil
		},
	}
}
