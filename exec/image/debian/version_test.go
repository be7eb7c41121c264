package debian

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRelations(t *testing.T) {
	got, err := parseRelations("libc6 (>= 2.36), awk:any | mawk (<<1.4~), python3:native (= 1:2-3+b1) ,")
	if err != nil {
		t.Fatal(err)
	}
	want := [][]relation{
		{{"libc6", "", ">=", "2.36"}},
		{{"awk", "any", "", ""}, {"mawk", "", "<<", "1.4~"}},
		{{"python3", "native", "=", "1:2-3+b1"}},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(relation{})); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"a (>= 1", "../x", "a (1)", "A", "a ()", "a b"} {
		if got, err := parseRelations(bad); err == nil {
			t.Errorf("parseRelations(%q) = %v", bad, got)
		}
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		version, op, bound string
		want               bool
	}{
		{"1.0", "", "", true},
		{"1.0~rc1", "<<", "1.0", true},
		{"1:0.1", ">>", "9", true},
		{"2.36-9+deb12u14", ">=", "2.36-9+deb12u9", true},
		{"1.0-1+b1", "=", "1.0-1", false},
		{"1.0", "<=", "1.0", true},
	} {
		got, err := relation{op: c.op, bound: c.bound}.holds(c.version)
		if err != nil || got != c.want {
			t.Errorf("%s %s %s: %v, %v", c.version, c.op, c.bound, got, err)
		}
	}
	if _, err := (relation{op: "<>", bound: "1"}).holds("2"); err == nil {
		t.Error("an unknown operator passes")
	}
	if _, err := (relation{op: "=", bound: "x y"}).holds("2"); err == nil {
		t.Error("a broken version passes")
	}
}
