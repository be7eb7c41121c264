package builtins_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/plan"
)

func TestLabels(t *testing.T) {
	tests := []struct {
		body string
		want []string // of the calls, sorted by number
	}{
		{"one.map([7, 8])", []string{"t [0] 7", "t [1] 8"}},
		{"one.map([7, 7])", []string{"t [0]", "t [1]"}},
		{"two.map([{'x': 1, 'y': 'a'}, {'x': 2, 'y': 'b'}])", []string{"t [0] x=1, y=a", "t [1] x=2, y=b"}},
		{"two.map([1, 2], y = 'c')", []string{"t [0] 1", "t [1] 2"}},
		{"two.map([{'x': 1, 'y': 'a' * 100}, {'x': 1}])", []string{"t [0] " + strings.Repeat("a", 23) + "…", "t [1] d"}},
		{"opts.map([{'a': 1}, {'b': 2}])", []string{"t [0]", "t [1]"}},
		{"one.override(label = 'L').map([1, 2])", []string{"t L [0] 1", "t L [1] 2"}},
		{"one.override(label = 'L')(1)\none(2)", []string{"t L", "t"}},
		{"group('a', lambda: group('b', one, 1))\none(2)", []string{"t (a/b)", "t"}},
		{"start(chain, 1, more = 2).result()", []string{"t (chain(1, 2))", "t (chain(1, 2))"}},
		{"group('g', start, chain, 1).result()", []string{"t (g/chain(1))", "t (g/chain(1))"}},
		{"attempt(one.override(label = 'L'), 1)", []string{"t L"}},
	}
	for _, tt := range tests {
		h := &host{}
		if _, err := runStarted(t, tt.body, h); err != nil {
			t.Errorf("%s: %v", tt.body, err)
		}
		got := make([]string, len(h.calls))
		for _, c := range h.calls {
			i := c.Ordinal
			got[i] = c.Label.Of("t")
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.body, got, tt.want)
		}
	}
}

func TestCleanLabel(t *testing.T) {
	for in, want := range map[string]string{
		"a\n b\x1b[2K": `a b\x1b[2K`, "": "", strings.Repeat("x", 200): "…" + strings.Repeat("x", 99), "é": "é",
	} {
		if got := plan.CleanLabel(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
