package reach_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/language"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// sites returns the sites of a task's calls, as "callee.how(arguments)@line:col".
func sites(g *plan.Graph, task string) []string {
	var out []string
	for _, c := range g.Calls {
		if g.Tasks[c.Caller].Name != task {
			continue
		}
		for _, i := range c.Sites {
			s := g.Sites[i]
			var args []string
			for _, a := range s.Arguments {
				args = append(args, strings.TrimPrefix(a.Name+"=", "=")+string(a.Literal)+fmt.Sprintf("@%d", a.Pos.Col))
			}
			if s.Open {
				args = append(args, "…")
			}
			text := fmt.Sprintf("%s.%s(%s)@%d:%d", g.Tasks[s.Task].Name, s.How, strings.Join(args, ","), s.Pos.Line, s.Pos.Col)
			if s.Unused {
				text += "!"
			}
			out = append(out, text)
		}
	}
	return out
}

func TestSites(t *testing.T) {
	for source, want := range map[string]string{
		"def _f(): return a(1, x = 'y')":                                                                       "a.call(int@20,x=str@27)@3:18",
		"def _f():\n    a()":                                                                                   "a.call()@4:5!",
		"def _f(): return [a.start(y = None, *x) for x in []]":                                                 "a.start(y=None@31,…)@3:19",
		"def _f(): return ns.sub.c.map([])":                                                                    "c.map(list@31)@3:18",
		"def _f(): return attempt(ns.a, (1, 2), **{})":                                                         "a.attempt(list@32,…)@3:18",
		"def _f(): return attempt(a, -1, +2.5, True, b'', a)":                                                  "a.attempt(int@29,float@33,bool@39,@45,@50)@3:18",
		"def _f():\n    attempt(a)\n    a(a)()":                                                                "a.attempt()@4:5! a.call(@7)@5:5",
		"def _f(): return start(a, 1, x = 'y')":                                                                "a.start(int@27,x=str@34)@3:18",
		"def _f(): return start(a.map, [1])":                                                                   "",
		"def _f(): return start(lambda: a(1), 2)":                                                              "a.call(int@34)@3:32",
		"def _f(): return a.override(label = 'x')(1)":                                                          "a.call(int@42)@3:18",
		"def _f(): return ns.sub.c.override(label = 'x').start(1)":                                             "c.start(int@55)@3:18",
		"def _f(): return ns.a.override(l = 1).override(l = 2).map([])":                                        "a.map(list@59)@3:18",
		"def _f(): return attempt(a.override(label = 'x'), 1)":                                                 "a.attempt(int@51)@3:18",
		"def _f(): return start(a.override(label = 'x'), 1)":                                                   "a.start(int@49)@3:18",
		"def _f(): return a.override(label = b.name)":                                                          "",
		"def _f(): return a.override(1).x(2)":                                                                  "",
		"def _f(): return a.start(1).override(2)(3)":                                                           "a.start(int@26)@3:18",
		"def _f(): return gather(a, b.start())":                                                                "b.start()@3:28",
		"def attempt_(t): return t()\ndef _f(): return attempt_(a)":                                            "",
		"def h(): return a(1)\ndef _f(): return (h(), h(), (lambda: a(2))())":                                  "a.call(int@40)@4:38 a.call(int@19)@3:17",
		"def m(t):\n    def g(): return t('x')\n    return g\ng = m(a)\nh = m(b)\ndef _f(): return (g(), h())": "a.call(str@23)@4:21 b.call(str@23)@4:21",
		"def _f(): return a.start.x()":                                                                         "",
		"def _f(): return (a)(1)":                                                                              "",
		"def _f(): return table['a'](1)":                                                                       "d.call()@6:47",
		"def _f(): return [a(not x) for x in [] if a]":                                                         "a.call(@21)@3:19",
	} {
		g, err := graphOf(modules{
			"lib.star": callsLibrary,
			"f.star": "load('lib.star', 'a', 'b', 'c', 'through', 'ns', 'table', 'closure', 'bound')\n" +
				"e = task_environment(name = 'e')\n" + source + "\nf = task(_f, env = e)\n",
		}, "f.star")
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Validate(); err != nil {
			t.Error(err)
		}
		if got := strings.Join(sites(g, "f"), " "); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", source, got, want)
		}
	}
}

// oneCall answers calls of tasks.
type oneCall struct{ plan.BodyHost }

func (oneCall) Await(done <-chan struct{}) { <-done }

func (oneCall) Call(context.Context, plan.Invocation) (plan.Value, error) { return nil, nil }

// TestArguments compares findings about a call in source with the error when a body makes the call.
// If all values are literals, both are the same.
func TestArguments(t *testing.T) {
	inputs := []string{"int", "float", "str", "bool", "list[int]", "dict[str, int]", "int | None", "any", "record(a = int)", "input(int, default = 1)", "input(str, default = 's')"}
	values := []string{"1", "-1", "1.5", "'s'", "True", "None", "[]", "()", "{}", "[1]", "{'a': 1}"}
	counts := map[bool]int{}
	rapid.Check(t, func(rt *rapid.T) {
		types := rapid.SliceOfN(rapid.SampledFrom(inputs), 0, 3).Draw(rt, "types")
		var declared []string
		for i, of := range types {
			declared = append(declared, fmt.Sprintf("'x%d': %s", i, of))
		}
		args := rapid.SliceOfN(rapid.SampledFrom(values), 0, 2).Draw(rt, "positional")
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x0", "x1", "x2", "y"}), 0, 3, rapid.ID).Draw(rt, "names") {
			args = append(args, name+" = "+rapid.SampledFrom(values).Draw(rt, "value"))
		}
		how := rapid.SampledFrom([]string{"t(%s)", "t.start(%s)", "attempt(t, %s)"}).Draw(rt, "how")
		source := fmt.Sprintf("e = task_environment(name = 'e')\nt = task(command = ['x'], env = e, inputs = {%s})\ndef _f():\n    return %s and None\nf = task(_f, env = e)\n",
			strings.Join(declared, ", "), fmt.Sprintf(how, strings.Join(args, ", ")))
		lang := language.New(interp.Limits{}.Defaults())
		p, err := interp.Loader{Language: lang}.Load(modules{"f.star": source}, "f.star")
		if err != nil {
			rt.Fatal(err)
		}
		g, err := p.Graph()
		if err != nil {
			rt.Fatal(err)
		}
		var found []string
		for _, e := range resolve.Check(g, fstest.MapFS{}, "linux/amd64") {
			if e.Code == "FS107" {
				found = append(found, e.Msg)
			}
		}
		_, err = p.Body("e.f", nil, func() {}).Run(nil, oneCall{})
		var d *diag.Error
		wrong := errors.As(err, &d) && d.Code == "FS107"
		counts[wrong]++
		if err != nil && !wrong {
			rt.Fatal(err)
		}
		// The types of elements and fields are only seen when the call is made.
		inner := wrong && (strings.Contains(d.Msg, "[0]") || strings.Contains(d.Msg, "[\"") || strings.Contains(d.Msg, ".a:") || strings.Contains(d.Msg, "field"))
		if wrong != (len(found) > 0) && !inner {
			rt.Errorf("%s\nin source: %q\nin the body: %v", source, found, err)
		}
		if wrong && !inner && len(found) > 0 {
			for _, msg := range found {
				if strings.ReplaceAll(msg, " | None", "") == d.Msg { // which Conform leaves out
					return
				}
			}
			rt.Errorf("%s\nin source: %q\nin the body: %v", source, found, err)
		}
	})
	if counts[true] == 0 || counts[false] == 0 {
		t.Errorf("calls that are wrong: %v", counts)
	}
}
