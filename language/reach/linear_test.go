package reach_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/language"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// repeated returns a module of n lines, each made of a format with a number.
func repeated(head, line, tail string) func(n int) modules {
	return func(n int) modules {
		var b strings.Builder
		b.WriteString(head)
		for i := range n {
			b.WriteString(strings.ReplaceAll(line, "%d", fmt.Sprint(i)))
		}
		b.WriteString(tail)
		return modules{"f.star": b.String()}
	}
}

// growing has sources that grow with n. Each could take time that grows with the square of n.
var growing = map[string]struct {
	n    int
	make func(n int) modules
}{
	"top-level ifs":                 {20_000, repeated("", "if 1:0\n", "")},
	"nested ifs":                    {5000, repeated("", "if 1:\n if 1:\n  if 1:\n   x%d=1\n", "")},
	"undefined names":               {10_000, repeated("", "y%d=x%d\n", "")},
	"one undefined name":            {10_000, repeated("", "y%d=x\n", "")},
	"bound twice":                   {10_000, repeated("x=1\n", "y%d=1\nx=1\n", "")},
	"functions":                     {5000, repeated("", "def f%d(): return f%d\n", "")},
	"lambdas in one call":           {5000, repeated("x=[", "lambda: x,", "]\n")},
	"calls":                         {5000, repeated("def f(*a): return f\n", "x%d=f(f(1),f)(2)\n", "")},
	"chains of calls":               {300, repeated("def f(*a): return f\n", "x%d=f"+strings.Repeat("()", 70)+"\n", "")},
	"mentions":                      {5000, repeated("s=struct(a=1)\n", "def f%d(): return [s.a, s.a, s.b]\n", "")},
	"closures":                      {5000, repeated("def m(t):\n return lambda: t()\ne=task_environment(name='e')\nt=task(command=['x'],env=e)\n", "f%d=task(m(t),env=e)\n", "")},
	"orchestrators of one function": {5000, repeated("e=task_environment(name='e')\nt=task(command=['x'],env=e)\ndef h(): t()\n", "f%d=task(h,env=e)\n", "")},
	"environments":                  {2000, repeated("l=[]\ndef add(e):\n l.append(e)\n return e\n", "e%d=add(task_environment(name='e%d'))\n", "x=task_environment(name='x',depends_on=l)\n")},
	"placeholders":                  {3000, repeated("e=task_environment(name='e')\ni={}\n", "i['x%d']=str\n", "t=task(command=['{{.inputs.%s}}' % k for k in i],env=e,inputs=i)\n")},
	"docstring":                     {5000, repeated("e=task_environment(name='e')\ndef _f(x):\n  \"\"\"F.\n\n  Args:\n    x: y\n", "      more%d\n", "  \"\"\"\nf=task(_f,env=e,inputs={'x':str})\n")},
	"defaults":                      {4000, repeated("e=task_environment(name='e')\ndef h(", "x%d=1,", "): return x0\ndef _f(): return h()\nf=task(_f,env=e)\n")},
	"wrong calls": {4000, func(n int) modules {
		head := fmt.Sprintf("e=task_environment(name='e')\nt=task(command=['x'],env=e,inputs={'x%%d' %% i: str for i in range(%d)})\ndef _f():\n", n)
		return repeated(head, " t(1,y=2)\n", "f=task(_f,env=e)\n")(n)
	}},
	"names loaded": {5000, func(n int) modules {
		var main, lib strings.Builder
		main.WriteString("load('lib.star'")
		for i := range n {
			fmt.Fprintf(&main, ",'x%d'", i)
			fmt.Fprintf(&lib, "x%d=1\n", i)
		}
		return modules{"f.star": main.String() + ")\n", "lib.star": lib.String()}
	}},
	"names missing": {5000, func(n int) modules {
		var main, lib strings.Builder
		main.WriteString("load('lib.star'")
		for i := range n {
			fmt.Fprintf(&main, ",'x%d'", i)
			fmt.Fprintf(&lib, "y%d=1\n", i)
		}
		return modules{"f.star": main.String() + ")\n", "lib.star": lib.String()}
	}},
	"load statements": {3000, func(n int) modules {
		m := repeated("", "load('lib.star',x%d='x')\n", "")(n)
		m["lib.star"] = "x=1\n"
		return m
	}},
}

// TestLinear makes sources eight times as large. If the time grew with the square, they would take
// 64 times as much processor time. In one of several attempts they must take less than 32 times as
// much, besides the time for a collection of garbage.
func TestLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const attempts = 6
	const collection = 50 * time.Millisecond
	for name, g := range growing {
		t.Run(name, func(t *testing.T) {
			small, big := time.Hour, time.Hour
			for range attempts {
				small = min(small, took(t, g.make(g.n/4)))
				big = min(big, took(t, g.make(2*g.n)))
				if big <= 32*small+collection {
					return
				}
			}
			t.Errorf("takes %s, and %s for eight times as much", small, big)
		})
	}
}

// processorTime returns how much this process has used so far. It doesn't depend on what else runs.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// took returns how much processor time a load and its graph take, with or without findings.
func took(t *testing.T, source modules) time.Duration {
	t.Helper()
	start := processorTime(t)
	lang := language.New(interp.Limits{}.Defaults())
	p, err := interp.Loader{Language: lang, Limits: interp.Limits{Source: 16 << 20, Wall: time.Hour}}.Load(source, "f.star")
	var g *plan.Graph
	if err == nil {
		g, err = p.Graph()
	}
	if err == nil {
		resolve.Check(g, fstest.MapFS{}, "linux/amd64")
	}
	if list, ok := err.(diag.List); err != nil && (!ok || list[0].Class != diag.Source) {
		t.Fatal(err)
	}
	return processorTime(t) - start
}

// TestWork: if many orchestrators reach many functions, the search is bounded, and the error says
// so.
func TestWork(t *testing.T) {
	const n = 5000
	var b strings.Builder
	b.WriteString("e = task_environment(name = 'e')\nt = task(command = ['x'], env = e)\ndef h0(): return t()\n")
	for i := range n {
		fmt.Fprintf(&b, "def h%d(): return h%d()\n", i+1, i)
	}
	for i := range n {
		fmt.Fprintf(&b, "def _f%d(): return h%d()\nf%d = task(_f%d, env = e)\n", i, n, i, i)
	}
	source := modules{"f.star": b.String()}
	_, err := graphOf(source, "f.star")
	if d, ok := err.(*diag.Error); !ok || d.Class != diag.Limit || !strings.Contains(d.Msg, "takes more than") {
		t.Errorf("got %v", err)
	}
}
