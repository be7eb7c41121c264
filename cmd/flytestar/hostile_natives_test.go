//go:build linux

package main

import (
	"io"
	"strings"
)

// natives are single calls, of Starlark's functions, methods and operators and of flytestar's own
// functions.
func natives() []attack {
	const head = `
def dag(n):
    x = []
    for _ in range(n):
        x = [x, x]
    return x
def tuples(n):
    x = ()
    for _ in range(n):
        x = (x, x)
    return x
def names(n):
    return {"n%d" % i: str for i in range(n)}
e = task_environment(name = "e", image = image.from_scratch())
`
	const big = "big = 'a' * 100000000\n" // only for those who use it: it takes a while
	var attacks []attack
	for _, c := range []struct{ name, want, source string }{
		{"extend", "max-memory", "[].extend(range(100000000))"},
		{"arguments", "max-memory", "max(*range(100000000))"},
		{"intersection", "max-wall", "[set([1]).intersection(range(100000000)) for _ in range(10)]"},
		{"union", "max-memory|max-wall", "set().union(range(100000000))"},
		{"update", "max-memory|max-steps|max-wall", "{}.update([(i, i) for i in range(1000000)] * 100)"},
		{"percent", "tree", "'%s' % [dag(40)]"},
		{"format", "tree", "'{}'.format(dag(40))"},
		{"index_error", "max-wall", "{}[tuples(60)]"},
		{"compare", "max-wall|finding", "dag(40) == dag(40)"},
		{"in", "max-wall|finding", "dag(40) in [dag(40)]"},
		{"index", "max-wall|finding", "[dag(40)].index(dag(40))"},
		{"sorted", "max-wall|finding", "sorted([tuples(60), tuples(60)])"},
		{"set", "max-wall", "set([tuples(60)])"},
		{"float", "finding|max-memory", "float('9' * 100000000)"},
		{"replace", "max-memory", "big.replace('a', 'b' * 100)"},
		{"join", "max-memory", "big.join([big] * 10)"},
		{"upper", "ok|max-memory|max-wall", "big.upper().lower().title()"},
		{"repeat", "max-memory", "x = [0] * (1 << 29)"},
		{"keywords", "finding|max-memory|max-wall", "fail(**{'k%d' % i: i for i in range(500000)})"},
		{"json_encode", "tree", "json.encode(dag(40))"},
		{"json_range", "tree", "json.encode(range(100000000))"},
		{"json_array", "max-memory|max-wall", "json.decode('[' + '0,' * 20000000 + '0]')"},
		{"json_indent", "max-memory|max-wall", "json.encode_indent([0] * 1000000, indent = 'a' * 100000)"},
		{"struct", "ok|finding|max-steps|max-wall|max-memory", "struct(**names(500000))"},
		{"record", "ok|finding|max-memory|max-wall", "record(**names(500000))"},
		{"inputs", "ok|finding|max-memory|max-message|max-wall", "t = task(env = e, command = ['true'], inputs = names(300000))"},
		{"type", "finding", "def f():\n  t = str\n  for _ in range(100000): t = list[t]\nf()"},
		{"command", "finding|max-memory|max-message", "t = task(env = e, command = ['true'] * 30000000)"},
		{"command_text", "finding|max-memory|max-message", "t = task(env = e, command = [big])"},
		{"placeholders", "ok|finding|max-memory|max-message|max-wall", "t = task(env = e, command = ['{{.inputs.x}}' * 1000000], inputs = {'x': int})"},
		{"doc", "finding|max-memory|max-message", "t = task(env = e, command = ['true'], doc = big)"},
		{"name", "finding|max-memory", "task_environment(name = big)"},
		{"packages", "ok|finding|max-memory|max-message|max-wall", "task_environment(name = 'p', image = image.from_debian_base().with_pip_packages(*['p%d' % i for i in range(300000)]))"},
		{"packages_1M", "ok|finding|max-memory|max-wall", "task_environment(name = 'p', image = image.from_debian_base().with_pip_packages(*['a'] * 1000000))"},
		{"env_vars", "finding|max-memory|max-message", "task_environment(name = 'v', env_vars = {'A': big})"},
		{"image_steps", "ok|finding|max-steps|max-memory|max-message|max-wall", "def f():\n  i = image.from_scratch()\n  for _ in range(500000): i = i.with_workdir('/a')\n  return i\nx = task_environment(name = 'i', image = f())"},
		{"image_shared", "ok|finding|max-memory|max-message|max-wall", "i = image.from_scratch().with_commands(['true'] * 100000)\nl = [task_environment(name = 'i%d' % n, image = i.with_workdir('/%d' % n)) for n in range(2000)]"},
		{"image_amplified", "max-message", "i = image.from_scratch().with_commands(['a'] * 1000000)\nl = [task_environment(name = 'i%d' % n, image = i.with_workdir('/%d' % n)) for n in range(25)]"},
		{"tasks", "ok|finding|max-steps|max-wall", "def f(): pass\nl = [task(f, env = e, name = 't%d' % n) for n in range(99000)]"},
		{"depends_on", "ok|finding|max-memory|max-message|max-wall|max-steps", "l = []\nfor n in range(5000): l.append(task_environment(name = 'd%d' % n, depends_on = l))"},
		{"docstring", "ok|finding|max-wall", "def f(x): \"\"\"A.\n\nArgs:\n" + strings.Repeat("  x: y\n", 100_000) + "\"\"\"\nt = task(f, env = e, inputs = {'x': int})"},
		{"print", "ok|tree", "print(big)"},
		{"prints", "ok|max-wall|max-steps", "for i in range(200000): print('a' * 1000)"},
		{"fail", "tree", "fail(big)"},
		{"path", "ok|finding|max-memory", "image.from_scratch().with_source_file(big, '/a')"},
		{"attribute", "finding|max-wall|max-memory", "getattr(struct(**{big: 1}), big[1:4000])"},
		{"recursion", "ok|finding|max-wall|max-steps", "def g(n): return None if n == 0 else g(n - 1)\n[g(900) for _ in range(1000)]"},
	} {
		source := head + c.source + "\n"
		if strings.Contains(c.source, "big") {
			source = head + big + c.source + "\n"
		}
		attacks = append(attacks, attack{
			name: "native_" + c.name, want: c.want, long: strings.Contains(c.want, "max-wall"),
			write: wrote(func() io.Reader { return strings.NewReader(source) }),
		})
	}
	return attacks
}
