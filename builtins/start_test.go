package builtins_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// started declares functions that bodies start. Tests add to module.
const started = `
def chain(x, more = 0):
    return one(one(x)) + more
def fails(x):
    fail("no", x)
def lets(x):
    return bad(x)
def tree(n):
    return [n] if n == 0 else gather(start(tree, n - 1), one.start(n), start(tree, n - 1))
def grows(l):
    l.append(1)
def looks(f):
    return f.result() + 1
def outer(x):
    return start(fails, x).result()
`

func TestStart(t *testing.T) {
	type list = []plan.Value
	tests := []struct {
		body string
		want plan.Value
		err  string // of the error's text, or "" for none
	}{
		{"return start(chain, 1).result()", int64(100), ""},
		{"return start(chain, 1, more = 5).result()", int64(105), ""},
		{"return gather(*[start(chain, x) for x in range(3)])", list{int64(0), int64(100), int64(200)}, ""},
		{"return gather(start(chain, 1), one.start(2))", list{int64(100), int64(20)}, ""},
		{"return start(one, 1).result()", int64(10), ""},
		{"return start(one.map, [1, 2]).result()", list{int64(10), int64(20)}, ""},
		{"return start(len, 'abc').result()", int64(3), ""},
		{"return start(lambda: None).result()", nil, ""},
		{"f = start(chain, 1)\nreturn start(looks, f).result() + start(looks, one.start(2)).result()", int64(122), ""},
		{"return start(tree, 2).result()", list{list{list{int64(0)}, int64(10), list{int64(0)}}, int64(20), list{list{int64(0)}, int64(10), list{int64(0)}}}, ""},
		{"start(chain, 1)\nreturn 1", int64(1), ""},
		{"ref = one(1)\ndef local(x): return one(x) + ref\nreturn gather(*[start(local, i) for i in range(2)])", list{int64(10), int64(20)}, ""},
		{"return [start(chain, 1).result(), repr(start(chain, 2))]", list{int64(100), "<future of chain>"}, ""},
		{"def recursive(n): return 0 if n == 0 else recursive(n - 1) + 1\nreturn start(recursive, 3).result()", int64(3), ""},

		{"a = attempt(start(fails, 7))\nreturn [a.ok, a.value, a.error.kind, a.error.message, a.error.task, a.error.action]", list{false, nil, "user", "no 7", "e.f", nil}, ""},
		{"a = attempt(start(lets, 7))\nreturn [a.error.message, a.error.task, a.error.action]", list{"bad 7", "e.bad", "a0"}, ""},
		{"return [a.ok for a in [attempt(f) for f in [start(chain, 1), start(fails, 2), start(lets, 3)]]]", list{true, false, false}, ""},
		{"return attempt(start(outer, 1)).error.message", "no 1", ""},
		{"return attempt(start(lambda: [][0])).error.message", "index 0 out of range: empty list", ""},
		{"start(fails, 7)\nreturn 1", nil, "no 7"},
		{"start(lets, 7)\nstart(fails, 8)\nreturn 1", nil, "bad 7"},
		{"return gather(start(fails, 1), start(fails, 2))", nil, "no 1"},
		{"return start(lets, 1).result()", nil, "bad 1"},
		{"def sub(): bad.start(1)\nstart(sub).result()\nreturn 1", nil, "bad 1"},
		{"return attempt(start(lambda: one('x')))", nil, "want int, got str [FS107]"},

		{"l = []\nstart(grows, l).result()", nil, "cannot append to frozen list"},
		{"l = []\nstart(chain, 1, more = len(l))\nl.append(1)\nreturn l", list{int64(1)}, ""},
		{"l = []\ndef local(): return len(l)\nstart(local)\nl.append(1)", nil, "cannot append to frozen list"},
		{"def local(): return [1]\nl = start(local).result()\nl.append(2)", nil, "cannot append to frozen list"},
		{"fs = []\nfor i in range(2):\n    def local(): return i\n    fs.append(start(local))\nreturn gather(*fs)", nil, "local uses i of the function around it, which changes after the start"},
		{"n = 1\ndef local(): return n\nf = start(local)\nn = 2\nreturn 1", nil, "local uses n of the function around it, which changes"},
		{"n = 1\ndef local(): return n\ng = lambda: local()\nf = start(g)\nn = 2\nreturn 1", nil, "local uses n"},
		{"n = 1\ndef local(): return n\nf = start(chain, 1)\nstart(lambda g: g(), local)\nn = 2\nreturn attempt(f)", nil, "local uses n"},
		{"def local(): return f.result()\nf = start(local)\nreturn f.result()", nil, "local uses f of the function around it"},
		{"n = float('nan')\ndef local(): return n != n\nreturn start(local).result()", false, ""},

		{"start()", nil, "start wants a function or a task"},
		{"start(chain(1))", nil, "start wants a function or a task, got int; hint: write start(fn, arguments…)"},
		{"start(one.start(1))", nil, "got a future; hint: it has been started already"},
		{"start(chain).result()", nil, "function chain missing 1 argument (x)"},
		{"attempt(chain, 1)", nil, "got a function; hint: write attempt(start(fn, arguments…))"},
		{"def down(): return start(down).result()\nreturn down()", nil, "started functions nest deeper than 100"},
	}
	for _, tt := range tests {
		t.Run(tt.body, func(t *testing.T) {
			got, err := runStarted(t, tt.body, &host{})
			if tt.err != "" {
				if text := withHint(err); !strings.Contains(text, tt.err) {
					t.Errorf("got %.200v, %.300s; want the error %q", got, text, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, %.200v; want %#v", got, err, tt.want)
			}
		})
	}
}

func withHint(err error) string {
	var e *diag.Error
	if errors.As(err, &e) && e.Hint != "" {
		return err.Error() + "; hint: " + e.Hint
	}
	return fmt.Sprint(err)
}

func runStarted(t testing.TB, body string, h *host) (plan.Value, error) {
	t.Helper()
	r := load(t, module+started+"def _f():\n    "+strings.ReplaceAll(body, "\n", "\n    ")+"\nf = task(_f, env = env, output = any)\n")
	if h.call == nil {
		h.call = answer
	}
	return builtins.RunBody(&threads{}, r.Task("e.f"), nil, h)
}

// TestStartedOrder: whatever the order in which calls end, the same calls have the same numbers, and
// the body has the same result.
func TestStartedOrder(t *testing.T) {
	const body = `
out = start(tree, 3)
fs = [start(chain, x) for x in range(4)]
a = [attempt(start(lets, x)) for x in range(2)]
return [gather(*fs), out.result(), [x.error.message for x in a], start(chain, 9).result()]`
	of := func(t testing.TB, call func(plan.Invocation) (plan.Value, error)) (string, map[string]string) {
		h := &host{call: call}
		v, err := runStarted(t, strings.TrimSpace(body), h)
		calls := map[string]string{}
		for _, c := range h.calls {
			path := ""
			for _, s := range c.Within {
				path += fmt.Sprint(s.Ordinal, s.Function, s.Pos.Line, "/")
			}
			calls[path+fmt.Sprint(c.Ordinal)] = fmt.Sprint(c.Task, c.Inputs, c.Pos)
		}
		if len(calls) != len(h.calls) {
			t.Errorf("%d calls have %d numbers", len(h.calls), len(calls))
		}
		return fmt.Sprint(v, err), calls
	}
	result, calls := of(t, answer)
	rapid.Check(t, func(rt *rapid.T) {
		pauses := rapid.SliceOfN(rapid.IntRange(0, 3), 8, 8).Draw(rt, "pauses")
		var mu sync.Mutex
		n := 0
		got, numbered := of(t, func(c plan.Invocation) (plan.Value, error) {
			mu.Lock()
			d := pauses[n%len(pauses)]
			n++
			mu.Unlock()
			time.Sleep(time.Duration(d) * 100 * time.Microsecond)
			return answer(c)
		})
		if got != result || !reflect.DeepEqual(numbered, calls) {
			rt.Errorf("got %s\n%v\nwant %s\n%v", got, numbered, result, calls)
		}
	})
}

// TestStartedParallel: the calls of functions that were started are under way at once, also if there
// are more functions than may have begun, some of which wait for others.
func TestStartedParallel(t *testing.T) {
	const n = 900
	all := make(chan struct{})
	var mu sync.Mutex
	now := 0
	call := func(c plan.Invocation) (plan.Value, error) {
		if c.Inputs["x"] != int64(1) {
			return int64(1), nil
		}
		mu.Lock()
		if now++; now == n {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
			return int64(1), nil
		case <-time.After(2 * time.Minute):
			return nil, errors.New("the calls aren't under way at once")
		}
	}
	if v, err := runStarted(t, fmt.Sprintf("return len(gather(*[start(one, 1) for _ in range(%d)]))", n), &host{call: call}); err != nil || v != int64(n) {
		t.Errorf("got %v, %v", v, err)
	}
	now, all = 0, make(chan struct{})
	if v, err := runStarted(t, fmt.Sprintf("return len(gather(*[start(lambda: one(1)) for _ in range(%d)]))", n), &host{call: call}); err != nil || v != int64(n) {
		t.Errorf("got %v, %v", v, err)
	}
	// Each waits for the one that was started before it, or after it.
	for _, body := range []string{
		"f = one.start(0)\nfor i in range(5000): f = start(looks, f)\nreturn f.result()",
		"def waits(n): return one(0) if n == 0 else gather(*[start(waits, n - 1) for _ in range(17)])[0] + 1\nreturn waits(3)",
	} {
		if v, err := runStarted(t, body, &host{}); err != nil {
			t.Errorf("%s: %v, %v", body, v, err)
		}
	}
}
