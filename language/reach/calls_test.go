package reach_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/language"
	"github.com/flytestar/flytestar/plan"
)

// modules is source by path.
type modules map[string]string

func (m modules) ReadModule(path string) ([]byte, error) {
	if s, ok := m[path]; ok {
		return []byte(s), nil
	}
	return nil, fmt.Errorf("no module %q", path)
}

// graphOf loads entry and makes its graph, in this process.
func graphOf(source interp.Source, entry string) (*plan.Graph, error) {
	p, err := interp.Loader{Language: language.New(interp.Limits{}.Defaults()), Limits: interp.Limits{Wall: time.Hour}}.Load(source, entry)
	if err != nil {
		return nil, err
	}
	return p.Graph()
}

// calls returns a task's calls as "callee@line:col", with "?" for possible ones.
func calls(g *plan.Graph, task string) []string {
	var out []string
	for _, c := range g.Calls {
		if g.Tasks[c.Caller].Name == task {
			s := fmt.Sprintf("%s@%d:%d", g.Tasks[c.Callee].Name, c.Pos.Line, c.Pos.Col)
			if c.Possible {
				s += "?"
			}
			out = append(out, s)
		}
	}
	return out
}

const callsLibrary = `
env = task_environment(name = "lib")
a, b, c, d, never = [task(command = ["x"], env = env, name = n) for n in ["a", "b", "c", "d", "never"]]
def through(): return b()
ns = struct(a = a, b = b, sub = struct(c = c))
table = {"a": a, "b": [b, (c,)], "f": lambda: d()}
def closure(t):
    def inner(): return t()
    return inner
bound = d.start
`

// TestCalls has one orchestrator's body for each way to reach a task.
func TestCalls(t *testing.T) {
	tests := []struct{ name, source, want string }{
		{"direct", "def _f(): return a()", "a@3:18"},
		{"start, map", "def _f(): return (a.start(), b.map([]))", "a@3:19 b@3:30"},
		{"gather, attempt", "def _f(): return (attempt(a), gather(b.start()))", "a@3:27 b@3:38"},
		{"each once, first position", "def _f():\n    a()\n    a()", "a@4:5"},
		{"branch not taken", "def _f():\n    if False:\n        a()\n    else: b()", "a@5:9 b@6:11"},
		{"helper of another module", "def _f(): return through()", "b@4:23"},
		{"helper of this module", "def h(): return a()\ndef _f(): return h()", "a@3:17"},
		{"mutual recursion", "def h(n): return g(n) + a()\ndef g(n): return h(n) + b()\ndef _f(): return h(1)", "a@3:25 b@4:25"},
		{"lambda", "def _f(): return (lambda: a())()", "a@3:27"},
		{"nested def", "def _f():\n    def g():\n        def h(): return a()\n        return h\n    return g()()", "a@5:25"},
		{"nested def's default", "def _f():\n    def g(t = a): return t()\n    return g()", "a@4:15"},
		{"helper's default", "def h(t = a): return t()\ndef _f(): return h()", "a@3:11"},
		{"closure", "made = closure(a)\ndef _f(): return made()", "a@8:25"},
		{"own free variable", "def make(t):\n    def g():\n        def deeper(): return t()\n        return deeper()\n    return g\n_f = make(c)", "c@5:30"},
		{"passed on", "def h(t): return t()\ndef _f(): return h(a)", "a@4:20"},
		{"comprehension", "def _f(): return [a(x) for x in []] + [y for y in [] if b()]", "a@3:19 b@3:57"},
		{"struct's field", "def _f(): return ns.a()", "a@3:18"},
		{"nested struct's field", "def _f(): return ns.sub.c.start()", "c@3:18"},
		{"whole struct", "def _f(): return getattr(ns, 'a')()", "a@3:26? b@3:26? c@3:26?"},
		{"field that is a struct", "def _f(): return ns.sub", "c@3:18?"},
		{"look-up", "def _f(k): return table[k]()", "a@3:19? b@3:19? d@6:47? c@3:19?"},
		{"look-up by method", "def _f(k): return table.get(k)()", "a@3:19? b@3:19? d@6:47? c@3:19?"},
		{"definite wins", "def _f(k):\n    table[k]()\n    return b()", "b@5:12 a@4:5? d@6:47? c@4:5?"},
		{"bound method", "def _f(): return bound()", "d@3:18"},
		{"a task's name isn't a call", "def _f(): return a.name", ""},
		{"shadowed", "def _f():\n    a = 1\n    return a", ""},
		{"shadowed by a parameter", "def h(a): return a\ndef _f(): return h(1)", ""},
		{"keyword and field names", "def _f(): return struct(a = 1).a", ""},
		{"itself", "def _f(): return f()", "f@3:18"},
		{"another orchestrator's calls aren't its own", "def _g(): return a()\ng = task(_g, env = e, name = 'g')\ndef _f(): return g()", "g@5:18"},
		{"module function", "def _f(): return json.encode(math.pi)", ""},
		{"global later", "def _f(): return later()\nlater = b", "b@3:18"},
		{"started function", "def h(x): return a(x)\ndef _f(): return gather(*[start(h, x) for x in []])", "a@3:18"},
		{"started task", "def _f(): return start(ns.a, 1)", "a@3:24"},
		{"started lambda", "def _f(): return start(lambda: a())", "a@3:32"},
		{"started from a table", "def _f(k): return start(table[k])", "a@3:25? b@3:25? d@6:47? c@3:25?"},
		{"override", "def _f(): return a.override(label = 'x')()", "a@3:18"},
		{"override that is bound", "def _f():\n    x = a.override(label = 'x')\n    return x.start()", "a@4:9"},
		{"alias", "alias = a\ndef _f(): return alias()", "a@4:18"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inputs := ""
			if strings.Contains(tt.source, "_f(k)") {
				inputs = ", inputs = {'k': str}"
			}
			g, err := graphOf(modules{
				"lib.star": callsLibrary,
				"f.star": "load('lib.star', 'a', 'b', 'c', 'through', 'ns', 'table', 'closure', 'bound')\n" +
					"e = task_environment(name = 'e')\n" + tt.source + "\nf = task(_f, env = e" + inputs + ")\n",
			}, "f.star")
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(calls(g, "f"), " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestSharedStructure: a value that is long, or exponentially large as a tree, is followed once and
// without recursion.
func TestSharedStructure(t *testing.T) {
	g, err := graphOf(modules{"f.star": `
e = task_environment(name = "e")
a = task(command = ["x"], env = e)
def dag(n, x):
    for i in range(n):
        x = [x, x]
    return x
def chain(n, x):
    for i in range(n):
        x = struct(next = x)
    return x
def lambdas(n):
    f = lambda: a()
    for i in range(n):
        f = (lambda g: lambda: g())(f)
    return f
shared = dag(1000, a)
long = chain(10000, a)
call = lambdas(10000)
def _f(): return shared
f = task(_f, env = e)
def _g(): return long
g = task(_g, env = e)
def _h(): return call()
h = task(_h, env = e)
`}, "f.star")
	if err != nil {
		t.Fatal(err)
	}
	for task, want := range map[string]string{"f": "a@20:18?", "g": "a@22:18?", "h": "a@13:17"} {
		if got := calls(g, task); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %v, want %s", task, got, want)
		}
	}
}

// big is a module of n pairs of a helper and an orchestrator that calls a task through it.
func big(n int) string {
	var b strings.Builder
	b.WriteString("env = task_environment(name = 'e')\nt = task(command = ['x'], env = env)\n")
	for i := range n {
		fmt.Fprintf(&b, "def h%d(): return t()\ndef _f%d(): return h%d()\nf%d = task(_f%d, env = env)\n", i, i, i, i, i)
	}
	return b.String()
}

// BenchmarkGraph makes the graphs of modules of 5,000 and of 10,000 tasks. The time is linear.
func BenchmarkGraph(b *testing.B) {
	for _, n := range []int{5000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			source := modules{"f.star": big(n)}
			var tasks int
			start := time.Now()
			for b.Loop() {
				g, err := graphOf(source, "f.star")
				if err != nil {
					b.Fatal(err)
				}
				tasks = len(g.Tasks)
			}
			b.ReportMetric(float64(time.Since(start).Microseconds())/float64(b.N)/float64(tasks), "µs/task")
		})
	}
}
