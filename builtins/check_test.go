package builtins

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"go.starlark.net/starlark"
	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/plan"
)

func TestRequirements(t *testing.T) {
	for _, s := range []string{
		"pytest", "a", "zope.interface", "numpy==1.26", "numpy == 1.26", "numpy>=1,<2", "numpy >= 1 , < 2", "x~=1.4.2", "x===1.0+local", "x!=1.*", "x (>=1)",
		"requests[socks]", "requests[socks,security]>=2", "x @ https://example.org/x-1.whl", "x@git+https://example.org/x.git@v1",
		"x; python_version < '3.9'", `x>=1 ; sys_platform == "linux" and (python_version >= "3.8")`, "X_y-Z",
	} {
		if err := checkRequirement(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "-r x", "--index-url=x", "-e .", ".", "./x", "/x", "../x", "https://example.org/x.whl", "x y", "x,y", "x=1", "x=>1", "x==", "x[", "x[]", "_x", "x_", "x;",
		"x\n", "x\n--index-url=y", "x;y\n-r z", "x; y --hash=z", "x # y", "x (>=1", "x --pre", "x==1 y", "x\x00", "é",
	} {
		if err := checkRequirement(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestAptPackages(t *testing.T) {
	for _, s := range []string{"curl", "g++", "libc6:amd64", "curl=7.88.1-10+deb12u5", "x2=1:2.3~rc1-4"} {
		if err := checkAptPackage(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", "-y", "--allow", "a b", "Curl", "curl==1", "curl=", "curl=-o", "curl/sid", "./x.deb", "x\n", "curl+\ny", "a", "curl-", "curl^", "cur*", "?name(curl)", "curl=1*"} {
		if err := checkAptPackage(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestQuantities(t *testing.T) {
	tests := []struct {
		v    starlark.Value
		cpu  int64 // 0: refused
		size int64
	}{
		{starlark.MakeInt(2), 2000, 2},
		{starlark.Float(0.5), 500, 0},
		{starlark.String("500m"), 500, 0},
		{starlark.String("1.5"), 1500, 1},
		{starlark.String("1.5Gi"), 0, 3 << 29},
		{starlark.String("4K"), 0, 4000},
		{starlark.String("1Ti"), 0, 1 << 40},
		{starlark.String("99999999999Ti"), 0, 0},
		{starlark.String("-1"), 0, 0},
		{starlark.String("1e3"), 0, 0},
		{starlark.String(""), 0, 0},
		{starlark.String("0"), 0, 0},
		{starlark.Float(-1), 0, 0},
		{starlark.None, 0, 0},
		{starlark.True, 0, 0},
	}
	for _, tt := range tests {
		var c cores
		var s size
		if err := c.Unpack(tt.v); (err == nil) != (tt.cpu > 0) || err == nil && int64(c) != tt.cpu {
			t.Errorf("cpu %v: %d, %v; want %d", tt.v, c, err, tt.cpu)
		}
		if err := s.Unpack(tt.v); (err == nil) != (tt.size > 0) || err == nil && int64(s) != tt.size {
			t.Errorf("size %v: %d, %v; want %d", tt.v, s, err, tt.size)
		}
	}
}

func TestDocstring(t *testing.T) {
	tests := []struct{ doc, text, args string }{
		{"", "", ""},
		{"One line.", "One line.", ""},
		{"Does.\n\n    More\n      indented.\n    ", "Does.\n\nMore\n  indented.", ""},
		{"Does.\n\n    Args:\n      a: first,\n        goes on.\n      b (str): second\n    ", "Does.", "a=first, goes on.;b=second"},
		{"Does.\n    Args:\n      a: x: y\n\n    Returns:\n      c: no argument\n", "Does.\n\nReturns:\n  c: no argument", "a=x: y"},
	}
	for _, tt := range tests {
		text, args := readDocstring(tt.doc)
		var got []string
		for _, k := range sortedKeys(args) {
			got = append(got, k+"="+args[k])
		}
		if text != tt.text || strings.Join(got, ";") != tt.args {
			t.Errorf("%q: got %q, %q; want %q, %q", tt.doc, text, got, tt.text, tt.args)
		}
	}
}

// FuzzPath: every path that is accepted leads into the workspace.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"a", "../a", "//a/../..", "/", "///", ".", "", "a/./b/", "\x00", "..\\x"} {
		f.Add("dir/sub", s)
	}
	f.Fuzz(func(t *testing.T, dir, p string) {
		if !fs.ValidPath(dir) {
			t.Skip()
		}
		if got, err := pathFrom(dir, p); err == nil && strings.ToValidUTF8(got, "") == got && !fs.ValidPath(got) {
			t.Errorf("pathFrom(%q, %q) = %q", dir, p, got)
		}
	})
}

// FuzzPackages: every requirement that is accepted is one line, and isn't or holds no option.
func FuzzPackages(f *testing.F) {
	for _, s := range []string{"a==1", "a; b", "-r x", "x @ https://e/x", "x[y]>=1", "x\n-r y", "x=1:2~3", "0@a:\a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if checkRequirement(s) != nil && checkAptPackage(s) != nil {
			return
		}
		if strings.HasPrefix(s, "-") || strings.Contains(s, " -") && strings.Contains(s, "--") || strings.ContainsFunc(s, unicode.IsControl) {
			t.Errorf("%q was accepted", s)
		}
	})
}

// FuzzPlaceholders: no argument makes the check panic, and an argument that refers to an undeclared
// name doesn't pass.
func FuzzPlaceholders(f *testing.F) {
	for _, s := range []string{"{{.inputs.x}}", "a{{.inputs.l}}b", "{{.inputs.}}", "{{{{.inputs.x}}}}", "{{.outputs.y}}{{.inputs.z}}", "{{.resources.cpu}}"} {
		f.Add(s)
	}
	str := plan.Type{Kind: plan.KindStr}
	in := []plan.Param{{Name: "x", Type: str}, {Name: "l", Type: plan.Type{Kind: plan.KindList, Elem: &str}}}
	known := placeholders{inputs: in, inputAt: paramIndex(in), limits: &plan.Resources{}}
	f.Fuzz(func(t *testing.T, arg string) {
		if err := known.check(arg); err == nil && strings.Contains(arg, "{{.outputs.y}}") {
			t.Errorf("%q was accepted", arg)
		}
	})
}

// TestPlaceholders compares the placeholders that are found with those that a pattern finds.
func TestPlaceholders(t *testing.T) {
	re := regexp.MustCompile(`\{\{(\s*)\.([A-Za-z_]+)\.([^{}\s]*)(\s*)\}\}`)
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"{{", "{", "}}", "}", ".", " ", "\n", "inputs", "x", "é", "a_B", "1"})).Draw(t, "s"), "")
		var got [][]string
		for rest := s; ; {
			var p placeholder
			if p, rest = nextPlaceholder(rest); p.whole == "" {
				break
			}
			got = append(got, []string{p.whole, p.group, p.name, fmt.Sprint(p.spaced)})
		}
		var want [][]string
		for _, m := range re.FindAllStringSubmatch(s, -1) {
			want = append(want, []string{m[0], m[2], m[3], fmt.Sprint(m[1]+m[4] != "")})
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	})
}
