package interp

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
)

// TestLimitBounds: each limit has a default within its bounds, and a value out of them is refused.
func TestLimitBounds(t *testing.T) {
	defaults := Limits{}.Defaults()
	if err := defaults.Check(); err != nil {
		t.Error(err)
	}
	for i, l := range defaults.All() {
		if l.Value() != l.Default {
			t.Errorf("%s is %d by default, want %d", string(l.Name), l.Value(), l.Default)
		}
		for _, n := range []int64{-1, l.Min - 1, l.Max + 1, math.MaxInt64} {
			if n == 0 {
				continue // stands for the default
			}
			limits := Limits{}
			limits.All()[i].Set(n)
			err := limits.Defaults().Check()
			var d *diag.Error
			if !errors.As(err, &d) || d.Class != diag.Usage {
				t.Errorf("%s of %s: got %v", string(l.Name), l.Show(n), err)
			}
		}
	}
}

func TestLimitShow(t *testing.T) {
	var l Limits
	for _, test := range []struct {
		field any
		n     int64
		want  string
	}{
		{&l.Steps, 1 << 20, "1048576"}, {&l.Calls, 3, "3"}, {&l.Wall, int64(90 * time.Second), "1m30s"},
		{&l.Memory, 512 << 20, "512Mi"}, {&l.Memory, 1500, "1500"}, {&l.Memory, 3 << 40, "3Ti"}, {&l.Memory, -1024, "-1024"}, {&l.Memory, 0, "0"},
	} {
		if got := (Limit{Field: test.field}).Show(test.n); got != test.want {
			t.Errorf("%T %d: got %s, want %s", test.field, test.n, got, test.want)
		}
	}
}
