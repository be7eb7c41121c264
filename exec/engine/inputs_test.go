package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/plan"
)

// TestPlace: where inputs lie (spec.md, "Tasks").
func TestPlace(t *testing.T) {
	file := func(name string) plan.Value { return plan.File{Name: name} }
	dir := func(name string) plan.Value { return plan.Dir{Name: name} }
	long := strings.Repeat("k", 255)
	deep := file("f")
	for range 15 {
		deep = map[string]plan.Value{long: deep}
	}
	for _, tt := range []struct {
		what string
		v    plan.Value
		want string // paths below /var/inputs/x, or a part of the error
	}{
		{"a file", file("reads.fastq.gz"), "reads.fastq.gz"},
		{"a dir", dir("index"), "index"},
		{"none", nil, ""},
		{"scalars", []plan.Value{int64(1), "a"}, ""},
		{"a list", []plan.Value{file("b"), file("a"), dir("c")}, "a b c"},
		{"a list with None", []plan.Value{nil, file("a")}, "a"},
		{"two of one name", []plan.Value{file("a"), file("b"), file("a")}, "0/a 1/b 2/a"},
		{"names that differ in case", []plan.Value{file("a"), file("A")}, "A a"},
		{"names that are one in another normal form", []plan.Value{file("\u00e9"), file("e\u0301")}, "e\u0301 \u00e9"},
		{"a record", plan.Struct{"bam": file("s.bam"), "bai": file("s.bam.bai"), "n": int64(1)}, "s.bam s.bam.bai"},
		{"a record with two of one name", plan.Struct{"one": file("r.fq"), "two": file("r.fq")}, "one/r.fq two/r.fq"},
		{"a dict with odd keys", map[string]plan.Value{"a/b": file("x"), "": file("y")}, "x y"},
		{"a dict with odd keys that are needed", map[string]plan.Value{"a/b": file("x"), "": file("x")}, `below the key "", which can't be a file's name`},
		{"within", []plan.Value{[]plan.Value{file("a")}, []plan.Value{file("a"), file("b")}, file("c")}, "0/a 1/a 1/b c"},
		{"a name like an index", []plan.Value{[]plan.Value{file("a")}, file("0")}, "0/a 1/0"},
		{"a name like an index that nothing needs", []plan.Value{[]plan.Value{int64(1)}, file("0")}, "0"},
		{"a list in a dict in a record", plan.Struct{"d": map[string]plan.Value{"k": []plan.Value{file("a"), file("a")}}}, "d/k/0/a d/k/1/a"},
		{"within an odd key", map[string]plan.Value{"a/b": []plan.Value{file("x")}}, `below the key "a/b", which can't be a file's name`},
		{"too deep", deep, "more than 3500"},
	} {
		l, err := place(map[string]plan.Value{"x": tt.v})
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) || tt.want == "" {
				t.Errorf("%s: %v, want %s", tt.what, err, tt.want)
			}
			continue
		}
		var paths []string
		for _, m := range l.mounts {
			paths = append(paths, strings.TrimPrefix(m.Path, "/var/inputs/x/"))
			if !strings.Contains(fmt.Sprint(l.plain, l.tagged), m.Path) {
				t.Errorf("%s: %s isn't in %v", tt.what, m.Path, l.plain)
			}
		}
		slices.Sort(paths)
		if got := strings.Join(paths, " "); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.what, got, tt.want)
		}
	}
}
