package flytestar

import (
	"errors"
	"testing"

	"github.com/flytestar/flytestar/diag"
)

// FuzzSettings: whatever flytestar.toml has, it gives settings that are in order, or an error of class Usage.
func FuzzSettings(f *testing.F) {
	for _, s := range []string{
		"", "[lint]", "[lint]\ndisable = [\"FS220\"]\nfail-on = \"error\"\n", "[lint]\nfail-on = 3", "[lint]\ndisable = \"x\"", "[lint]\nnew = 1", "x = ",
		"[[lint]]", "lint.disable = [[]]", "[lint]\n[lint]", "\xff", "a = \"\"\"", "[lint.disable]", "lint = 1979-05-27",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSettings(data)
		var e *diag.Error
		if err != nil && (!errors.As(err, &e) || e.Class != diag.Usage) {
			t.Errorf("%v", err)
		}
		if err == nil && s.Lint.check() != nil {
			t.Errorf("%+v", s)
		}
	})
}
