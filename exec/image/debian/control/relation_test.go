package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRelations(t *testing.T) {
	got, err := ParseRelations("libc6 (>= 2.36), awk:any | mawk (<<1.4~), python3:native (= 1:2-3+b1) ,")
	if err != nil {
		t.Fatal(err)
	}
	want := [][]Relation{
		{{"libc6", "", ">=", "2.36"}},
		{{"awk", "any", "", ""}, {"mawk", "", "<<", "1.4~"}},
		{{"python3", "native", "=", "1:2-3+b1"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"a (>= 1", "../x", "a (1)", "A", "a ()", "a b"} {
		if got, err := ParseRelations(bad); err == nil {
			t.Errorf("ParseRelations(%q) = %v", bad, got)
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
		got, err := Relation{Op: c.op, Bound: c.bound}.Holds(c.version)
		if err != nil || got != c.want {
			t.Errorf("%s %s %s: %v, %v", c.version, c.op, c.bound, got, err)
		}
	}
	if _, err := (Relation{Op: "<>", Bound: "1"}).Holds("2"); err == nil {
		t.Error("an unknown operator passes")
	}
	if _, err := (Relation{Op: "=", Bound: "x y"}).Holds("2"); err == nil {
		t.Error("a broken version passes")
	}
}
