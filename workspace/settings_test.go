package workspace_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/workspace"
)

// FuzzSettings: whatever flytestar.toml has, it gives settings that are valid, or an error of class
// Usage.
func FuzzSettings(f *testing.F) {
	for _, s := range []string{
		"", "[lint]", "[lint]\ndisable = [\"FS220\"]\nfail-on = \"error\"\n", "[lint]\nfail-on = 3", "[lint]\ndisable = \"x\"", "[lint]\nnew = 1", "x = ",
		"[[lint]]", "lint.disable = [[]]", "[lint]\n[lint]", "\xff", "a = \"\"\"", "[lint.disable]", "lint = 1979-05-27",
	} {
		f.Add([]byte(s))
	}
	if s, err := workspace.ParseSettings([]byte("\ufeff[lint]\nfail-on = \"error\"\n")); err != nil || s.Lint.FailOn != "error" {
		f.Errorf("after a byte order mark: %+v, %v", s, err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := workspace.ParseSettings(data)
		var e *diag.Error
		if err != nil && (!errors.As(err, &e) || e.Class != diag.Usage) {
			t.Errorf("%v", err)
		}
		if on := s.Lint.FailOn; err == nil && on != "" && !slices.Contains(workspace.FailOns, on) {
			t.Errorf("fail-on is %q", on)
		}
	})
}
