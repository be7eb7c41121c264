//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// expected has what must come of each file of testdata/hostile, whose first line says how it attacks.
// Those that begin with _ are for others to load.
var expected = map[string]string{
	"cpu01_while_true":           "finding",
	"cpu02_for_huge_range":       "range",
	"cpu05_ycombinator":          "max-calls",
	"cpu06_fib_recursion":        "max-steps",
	"cpu10_all_range":            "range",
	"cpu13_bigint_square":        "max-wall",
	"cpu14_bigint_str":           "max-wall|digits",
	"cpu15_bigint_parse":         "digits",
	"cpu18_pow_operator":         "finding",
	"cpu19_dag_eq":               "max-wall",
	"cpu20_dag_hash":             "max-wall",
	"cpu23_hash_collide_builtin": "max-wall",
	"cpu24_hash_collide_set":     "max-wall",
	"cpu25_strip_cutset":         "max-wall",
	"cpu28_in_list":              "max-wall",
	"cpu29_sort_key_lambda":      "max-steps",
	"cpu30_sorted_native":        "max-steps",
	"cpu33_sort_dag":             "max-wall",
	"cpu34_json_err_quadratic":   "tree",
	"cpu35_fnv_short_collide":    "max-steps|max-wall",
	"load01_self":                "finding",
	"load02_mutual":              "finding",
	"load03_traversal":           "finding",
	"load06_nul":                 "finding",
	"load08_dev_zero":            "finding",
	"load11_budget_reset":        "range",
	"load12_directory":           "finding",
	"load13_stdin":               "finding",
	"mem02_tuple_repeat":         "max-memory",
	"mem03_list_repeat":          "max-memory",
	"mem04_str_repeat":           "max-memory",
	"mem07_str_double":           "max-memory",
	"mem08_format_double":        "tree",
	"mem09_strformat_double":     "tree",
	"mem12_split":                "max-memory",
	"mem13_elems":                "max-memory",
	"mem14_list_double":          "max-memory",
	"mem17_append_growth":        "max-memory|max-steps|max-wall",
	"mem18_slices_retained":      "max-memory|max-wall",
	"mem19_dag_str":              "tree",
	"mem22_enumerate":            "range",
	"mem23_zip":                  "range",
	"mem24_reversed":             "range",
	"mem27_print_sep":            "tree",
	"mem28_fail_big":             "max-memory",
	"mem29_err_dag":              "tree",
	"mem32_splitlines":           "max-memory",
	"mem33_codepoints_join":      "max-memory|max-wall",
	"mem34_tuple_concat":         "max-memory|max-wall",
	"sem01_mutate_iter":          "finding",
	"sem02_mutate_frozen":        "finding",
	"sem03_key_error":            "finding",
	"sem06_dict_mutate_iter":     "finding",
	"sem07_sort_uncomparable":    "finding",
	"sem08_getattr_long":         "name",
	"sem11_now":                  "finding",
	"sem12_tz_probe":             "finding",
	"sem13_setkey_dict_eq":       "max-wall",
	"src31_nul_truncates":        "finding",
	"src32_deep_small":           "max-nesting",
	"src33_elif_quadratic":       "max-nesting",
	"stk02_tuple_hash":           "stack|max-memory|max-wall",
	"stk03_tuple_freeze":         "stack|max-memory|max-wall",
	"stk04_list_freeze":          "stack|max-memory|max-wall",
	"stk07_json_decode":          "tree",
	"stk08_json_decode_obj":      "tree",
	"stk09_closure_freeze":       "ok|stack",
	"stk12_nested_calls":         "max-calls",
	"stk13_recursion_frames":     "max-calls",
	"stk14_cyclic":               "finding",
}

// corpus are the files of testdata/hostile, in a workspace that has them all, and links and pipes
// besides.
func corpus(t *testing.T) []attack {
	const from = "testdata/hostile"
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	var attacks []attack
	seen := 0
	for _, e := range entries {
		name, isFile := strings.CutSuffix(e.Name(), ".star")
		if !isFile || strings.HasPrefix(name, "_") {
			continue
		}
		want, ok := expected[name]
		if !ok {
			t.Errorf("%s: say in expected what must come of it", e.Name())
		}
		seen++
		attacks = append(attacks, attack{name: name, want: want, long: strings.Contains(want, "max-wall"), write: func(dir string) (string, error) {
			return name + ".star", os.CopyFS(dir, os.DirFS(from))
		}})
	}
	if seen != len(expected) {
		t.Errorf("%d files in %s, %d expected outcomes", seen, from, len(expected))
	}
	return attacks
}

// A mebibyte is what a module may have by default.
const mebibyte = 1 << 20

// generated are files that are too big to keep: deep and long source.
func generated() []attack {
	var attacks []attack
	add := func(name, want, head, unit string, n int, tail string) {
		attacks = append(attacks, attack{name: name, want: want, write: wrote(repeated(head, unit, n, tail))})
	}
	// raise lets the attack before have a module of up to 48 MiB.
	raise := func() {
		last := &attacks[len(attacks)-1]
		last.name, last.flag, last.long = last.name+"_raised", "--max-source=48Mi", true
	}
	// Chains that the parser reads in a loop, and that overflow the stack of what recurses over
	// their tree: as many as a module may have, and a million terms.
	for _, c := range []struct{ name, head, unit string }{
		{"minus", "x=1", "-1"},
		{"call", "f=lambda:f\nx=f", "()"},
		{"dot", "x=a", ".b"},
		{"index", "x=[[]]\ny=x", "[0]"},
		{"slice", "x=[]\ny=x", "[:]"},
		{"or", "x=0", " or 0"},
		{"string", "x='a'", "+'a'"},
		{"compare", "x=1", "==(1)"},
		{"conditional", "x=1", " if 1 else 1"},
	} {
		add("chain_"+c.name, "max-nesting|finding", c.head, c.unit, (mebibyte-len(c.head)-1)/len(c.unit), "\n")
		add("chain_"+c.name+"_1M", "max-nesting|finding|max-wall|max-memory", c.head, c.unit, 1_000_000, "\n")
		raise()
	}
	// Nestings to the right, which the parser's own recursion meets first.
	for _, c := range []struct{ name, head, open string }{
		{"paren", "x=", "("},
		{"list", "x=", "["},
		{"dict", "x=", "{0:"},
		{"minus", "x=", "-"},
		{"not", "x=", "not "},
		{"lambda", "x=", "lambda:"},
		{"call", "x=", "len("},
		{"conditional", "x=", "1 if 1 else "},
		{"comprehension", "x=", "[0 for _ in "},
	} {
		add("nest_"+c.name, "max-nesting|finding", c.head, c.open, (mebibyte-8)/len(c.open), "0\n")
	}
	deep := func(line string) func() io.Reader {
		var b strings.Builder
		for i := 0; b.Len() < mebibyte-2000; i++ {
			b.WriteString(strings.Repeat(" ", i) + line + "\n")
		}
		return func() io.Reader { return strings.NewReader(b.String()) }
	}
	attacks = append(attacks,
		attack{name: "nest_def", want: "max-nesting|finding", write: wrote(deep("def f():"))},
		attack{name: "nest_if", want: "max-nesting|finding", write: wrote(deep("if 1:"))},
		attack{name: "nest_for", want: "max-nesting|finding", write: wrote(deep("for x in y:"))},
	)
	add("elif_100k", "max-nesting", "def f(x):\n if x:pass\n", " elif x:pass\n", 100_000, "")
	raise()
	add("elif_30k", "max-nesting", "def f(x):\n if x:pass\n", " elif x:pass\n", 30_000, "")
	add("if_150k", "ok|max-wall", "", "if 1:0\n", mebibyte/7, "")
	add("def_60k", "finding|max-wall", "", "def f():pass\n", 60_000, "")
	add("pass_1MiB", "ok", "def f():\n", " pass\n", mebibyte/6-2, "")
	add("int_20MB", "max-source", "x=", "9", 20_000_000, "\n")
	add("int_20MB", "digits", "x=", "9", 20_000_000, "\n")
	raise()
	add("int_900kB", "digits", "x=", "9", 900_000, "\n")
	add("list_10M", "max-source", "x=[", "0,", 10_000_000, "]\n")
	add("list_10M", "max-wall|max-memory|finding|max-message", "x=[", "0,", 10_000_000, "]\n")
	raise()
	add("dict_10M", "max-source", "x={", "0:0,", 10_000_000, "}\n")
	add("dict_10M", "max-wall|max-memory|finding|max-message", "x={", "0:0,", 10_000_000, "}\n")
	raise()
	add("tuple_10M", "max-source", "x=(", "0,", 10_000_000, ")\n")
	add("tuple_10M", "max-wall|max-memory|finding|max-message", "x=(", "0,", 10_000_000, ")\n")
	raise()
	add("list_1MiB", "ok", "x=[", "0,", mebibyte/2-8, "]\n")
	add("dict_1MiB", "finding", "x={", "0:0,", mebibyte/4-8, "}\n")
	add("tuple_1MiB", "ok", "x=(", "0,", mebibyte/2-8, ")\n")
	add("call_1MiB", "finding", "x=len(", "0,", mebibyte/2-8, ")\n")
	add("calls_1MiB", "ok", "", "len('')\n", mebibyte/8, "")
	add("lambda_1MiB", "ok", "x=[", "lambda:0,", mebibyte/9-2, "]\n")
	add("nul", "finding", "x=1\n", "\x00", 1, "\nfail('not reached')\n")
	add("invalid_utf8", "finding", "x='", "\xff", 1, "'\n")
	add("bidi", "finding", "x=1 # ", "\u202e", 1, "\n")
	add("identifier_1MiB", "ok", "", "a", mebibyte-4, "=1\n")
	add("identifier_undefined_1MiB", "finding", "x=", "a", mebibyte-4, "\n")
	add("string_1MiB", "ok", "x='", "a", mebibyte-6, "'\n")
	add("string_open_1MiB", "finding", "x='", "a", mebibyte-6, "\n")
	add("escapes_1MiB", "ok", "x='", `\x41`, mebibyte/4-2, "'\n")
	add("newlines_1MiB", "ok", "", "\n", mebibyte, "")
	add("comment_1MiB", "ok", "#", "#", mebibyte-2, "\n")
	add("indents", "finding", "if 1:\n", strings.Repeat(" ", 1000)+"1\n"+strings.Repeat(" ", 999)+"1\n", 500, "")
	add("star_20MB", "max-source", "", "x=1 #\n", 20_000_000/6, "")
	lines := func(format string, n int) func() io.Reader {
		return func() io.Reader {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, format, i)
			}
			return strings.NewReader(b.String())
		}
	}
	return append(attacks,
		attack{name: "undefined_100k", want: "finding|max-wall", write: wrote(lines("u%d\n", 100_000))},
		attack{name: "undefined_like_bound_50k", want: "finding|max-wall", write: wrote(lines("val%[1]d=vbl%[1]d\n", 45_000))},
		attack{name: "bound_twice_40k", want: "finding|max-wall", write: wrote(lines("b%[1]d=1\nb%[1]d=2\n", 40_000))},
		attack{name: "globals_100k", want: "ok", write: wrote(lines("g%d=1\n", 90_000))},
		attack{name: "chain_of_globals", want: "ok", write: wrote(func() io.Reader {
			return io.MultiReader(strings.NewReader("g0=1\n"), lines2("g%d=g%d\n", 40_000))
		})},
		attack{name: "parameters_100k", want: "ok|finding", write: wrote(func() io.Reader {
			return io.MultiReader(strings.NewReader("def f("), lines("p%d,", 100_000)(), strings.NewReader("): pass\n"))
		})},
		attack{name: "keywords_80k", want: "finding", write: wrote(func() io.Reader {
			return io.MultiReader(strings.NewReader("len("), lines("p%d=0,", 80_000)(), strings.NewReader(")\n"))
		})},
		attack{name: "keywords_same_80k", want: "finding", write: wrote(repeated("len(", "p=0,", 80_000, ")\n"))},
		attack{name: "locals_nested_defs", want: "ok", write: wrote(lines("def f%[1]d(a):\n def g(b):\n  return a+b\n return g\n", 15_000))},
		attack{name: "tasks_10k", want: "ok|finding|max-steps", write: wrote(func() io.Reader {
			return io.MultiReader(strings.NewReader("e=task_environment(name='e',image=image.from_debian_base())\n"),
				lines("t%d=task(env=e,command=['true'])\n", 20_000)())
		})},
		attack{name: "environments_20k", want: "ok|finding|max-steps", write: wrote(func() io.Reader {
			return io.MultiReader(strings.NewReader("e=None\ndef f():\n  l=[]\n  for i in range(20000): l.append(task_environment(name='e%d'%i,depends_on=l[-20:]))\nf()\n"))
		})},
		attack{name: "steps_of_images", want: "ok|finding|max-steps|max-memory", write: wrote(func() io.Reader {
			return strings.NewReader("def f():\n  i=image.from_scratch()\n  for _ in range(100000): i=i.with_env_vars({'a':'b'})\n  return i\ne=task_environment(name='e',image=f())\n")
		})},
		attack{name: "load_50k_names", want: "ok|max-wall", write: func(dir string) (string, error) {
			if _, err := wrote(lines("n%d=1\n", 50_000))(dir); err != nil {
				return "", err
			}
			if err := os.Rename(filepath.Join(dir, "main.star"), filepath.Join(dir, "lib.star")); err != nil {
				return "", err
			}
			return wrote(func() io.Reader {
				return io.MultiReader(strings.NewReader("load('lib.star'"), lines(",'n%d'", 50_000)(), strings.NewReader(")\n"))
			})(dir)
		}},
		attack{name: "load_50k_missing_names", want: "finding", write: func(dir string) (string, error) {
			if err := os.WriteFile(filepath.Join(dir, "lib.star"), []byte(strings.Repeat("x=1\n", 1)), 0o666); err != nil {
				return "", err
			}
			return wrote(func() io.Reader {
				return io.MultiReader(strings.NewReader("load('lib.star'"), lines(",'n%d'", 50_000)(), strings.NewReader(")\n"))
			})(dir)
		}},
		attack{name: "load_1001", want: "max-modules", write: func(dir string) (string, error) {
			for i := range 1001 {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("m%d.star", i)), []byte("x=1\n"), 0o666); err != nil {
					return "", err
				}
			}
			return wrote(lines("load('m%[1]d.star',x%[1]d='x')\n", 1001))(dir)
		}},
		attack{name: "load_chain_1000", want: "ok", write: func(dir string) (string, error) { return chainOfLoads(dir, 1000) }},
		attack{name: "load_chain_1001", want: "max-modules", write: func(dir string) (string, error) { return chainOfLoads(dir, 1001) }},
		attack{name: "load_missing_40k", want: "finding|max-modules|max-wall", write: wrote(lines("load('m%d.star','x')\n", 40_000))},
		attack{name: "load_bad_paths_35k", want: "finding|max-wall", write: wrote(lines("load('../m%d.star','x')\n", 35_000))},
	)
}

// parsed are generated sources that lint and fmt read as well, with parsers of their own.
func parsed() []attack {
	var attacks []attack
	shape := regexp.MustCompile(`^(chain_[a-z]+|nest_[a-z]+|elif_30k|if_150k|nul|invalid_utf8|bidi|list_1MiB|string_1MiB|int_900kB|star_20MB)$`)
	for _, a := range generated() {
		if !shape.MatchString(a.name) {
			continue
		}
		for _, verb := range []string{"lint", "fmt"} {
			b := a
			b.name, b.verb, b.long = verb+"_"+a.name, verb, true
			if b.want == "ok" || strings.Contains(b.want, "|") { // laying it out anew, and what lint says of it, may be too much
				b.want = "ok|finding|max-wall|max-memory|max-source|max-nesting"
			}
			if verb == "fmt" && a.name == "star_20MB" {
				b.want = "usage" // it has a bound of its own
			}
			attacks = append(attacks, b)
		}
	}
	return attacks
}

// lines2 is a line for each of 1 to n, of the number and the one before.
func lines2(format string, n int) io.Reader {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i+1, i)
	}
	return strings.NewReader(b.String())
}

// chainOfLoads writes n modules of which each but the last loads the next.
func chainOfLoads(dir string, n int) (string, error) {
	for i := range n {
		text := "x=1\n"
		if i < n-1 {
			text = fmt.Sprintf("load('m%d.star',y='x')\nx=y\n", i+1)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("m%d.star", i)), []byte(text), 0o666); err != nil {
			return "", err
		}
	}
	return "m0.star", nil
}

// refused are loads of what is no regular file of the workspace.
func refused() []attack {
	var attacks []attack
	// load adds an attack whose entry loads path, which make puts into the workspace; outside is a
	// directory beside it.
	load := func(name, path string, make func(dir, outside string) error) {
		attacks = append(attacks, attack{name: name, want: "finding", write: func(dir string) (string, error) {
			workspace, outside := filepath.Join(dir, "workspace"), filepath.Join(dir, "outside")
			for _, d := range []string{workspace, outside} {
				if err := os.Mkdir(d, 0o777); err != nil {
					return "", err
				}
			}
			secret := secretOutside + " = undefined_" + secretOutside + "\n"
			if err := os.WriteFile(filepath.Join(outside, "secret.star"), []byte(secret), 0o666); err != nil {
				return "", err
			}
			if err := make(workspace, outside); err != nil {
				return "", err
			}
			source := fmt.Sprintf("load(%q, \"x\")\n", strings.ReplaceAll(path, "OUTSIDE", outside))
			return "workspace/main.star", os.WriteFile(filepath.Join(workspace, "main.star"), []byte(source), 0o666)
		}})
	}
	nothing := func(string, string) error { return nil }
	link := func(to string) func(dir, outside string) error {
		return func(dir, outside string) error {
			return os.Symlink(strings.ReplaceAll(to, "OUTSIDE", outside), filepath.Join(dir, "x.star"))
		}
	}
	load("load_link_hostname", "_link_hostname.star", func(dir, outside string) error {
		return os.Symlink(filepath.Join(outside, "secret.star"), filepath.Join(dir, "_link_hostname.star"))
	})
	load("load_link_relative", "x.star", link("../outside/secret.star"))
	load("load_link_to_device", "x.star", link("/dev/zero"))
	load("load_link_to_proc", "x.star", link("/proc/self/environ"))
	load("load_link_dangling", "x.star", link("nowhere"))
	load("load_link_to_itself", "x.star", link("x.star"))
	load("load_link_directory", "d/secret.star", func(dir, outside string) error {
		return os.Symlink(outside, filepath.Join(dir, "d"))
	})
	load("load_parent", "../outside/secret.star", nothing)
	load("load_parent_of_root", "//../outside/secret.star", nothing)
	load("load_absolute", "OUTSIDE/secret.star", nothing)
	load("load_fifo", "_fifo.star", func(dir, _ string) error { return syscall.Mkfifo(filepath.Join(dir, "_fifo.star"), 0o666) })
	load("load_fifo_without_suffix", "_fifo", func(dir, _ string) error { return syscall.Mkfifo(filepath.Join(dir, "_fifo"), 0o666) })
	load("load_directory", "x.star", func(dir, _ string) error { return os.Mkdir(filepath.Join(dir, "x.star"), 0o777) })
	load("load_socket", "x.star", func(dir, _ string) error {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "x.star"), Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		return l.Close()
	})
	load("load_device", "x.star", func(dir, _ string) error {
		return syscall.Mknod(filepath.Join(dir, "x.star"), syscall.S_IFCHR|0o666, 1<<8|5) // zero
	})
	if os.Geteuid() != 0 {
		attacks[len(attacks)-1].skip = "only root may make devices"
	}
	load("load_sparse_64GiB", "x.star", func(dir, _ string) error {
		f, err := os.Create(filepath.Join(dir, "x.star"))
		if err != nil {
			return err
		}
		if err := f.Truncate(64 << 30); err != nil {
			return err
		}
		return f.Close()
	})
	attacks[len(attacks)-1].want = "max-source"
	return append(attacks, attack{name: "entry_fifo", want: "usage", write: func(dir string) (string, error) {
		return "main.star", syscall.Mkfifo(filepath.Join(dir, "main.star"), 0o666)
	}})
}

// bodies are tasks whose body is what attacks.
func bodies() []attack {
	const dag = `
def same():
    x = [1]
    for i in range(8):
        x = [x] * 1000
    return x
def spin():
    return same() == same()
`
	var attacks []attack
	body := func(name, want, source string) {
		source = "top = task_environment(name = 'top')\n" + source + "\nmain = task(_main, env = top)\n"
		attacks = append(attacks, attack{name: "body_" + name, want: want, verb: "run", write: wrote(func() io.Reader { return strings.NewReader(source) })})
	}
	body("loop", "max-steps", "def _main():\n  for i in range(1<<26):\n    for j in range(1<<26): pass")
	body("recursion", "max-calls", "def f(): return f()\ndef _main():\n  return f()")
	body("memory", "max-memory", "def _main():\n  l = [0]\n  for i in range(40): l += l")
	body("spin", "max-wall", dag+"def _main():\n  spin()")
	body("spin_with_future", "max-wall", dag+`
def _quick(): pass
quick = task(_quick, env = top)
def _main():
    f = quick.start()
    spin()
    f.result()`)
	body("spin_in_future", "max-wall", dag+`
def _slow(): spin()
slow = task(_slow, env = top)
def _main():
    f = slow.start()
    spin()
    f.result()`)
	body("spin_many", "max-wall", dag+`
def _slow(i): spin()
slow = task(_slow, env = top, inputs = {"i": int})
def _main():
    slow.map(list(range(100)))`)
	body("itself", "finding", "def _main(): main()")
	body("tree_of_tasks", "max-steps", `
def _leaf(n):
    if n == 0: return
    leaf.map([n - 1] * 30)
leaf = task(_leaf, env = top, inputs = {"n": int}, name = "leaf")
def _main():
    for i in range(1 << 26):
        for j in range(1 << 26): pass`)
	body("huge_result", "max-value", "def _main():\n  return 'a' * (1 << 26)")
	body("huge_text", "max-value", "def _main():\n  File.from_text('a', 'a' * (1 << 25))")
	body("prints", "ok|max-steps|max-wall", "def _main():\n  for i in range(100000): print('a' * 1000)")
	body("error_of_a_dag", "tree", "def _main():\n  x = [0]\n  for i in range(40): x = [x, x]\n  fail(x)")
	body("result_of_a_dag", "max-value|max-memory|max-wall", "def _main():\n  x = [0]\n  for i in range(40): x = [x, x]\n  return x")
	return attacks
}
