package interp

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/flytestar/flytestar/diag"
)

// This file says how to write here what people write in Python. Each hint is for code that is wrong
// anyhow: a syntax error, or a name that isn't defined.

// foreign is a form of Python that Starlark's parser refuses.
type foreign struct {
	code string // matches the line without comments and what is in strings; group 1 is what to point at
	msg  string // replaces the parser's message; empty: that stays
	hint string
	said string // if set, the parser's message must contain it
}

// foreignForms are tried in order.
var foreignForms = []foreign{
	{code: `^\s*(try)\s*:`, msg: "there is no try", hint: "attempt(t, …) returns struct(ok, value, error) of a task's call, attempt(start(fn, …)) of a function's"},
	{code: `^\s*(except|finally)\b`, msg: "there is no try", hint: "attempt(t, …) returns struct(ok, value, error) of a task's call, attempt(start(fn, …)) of a function's"},
	{code: `^\s*(raise)\b`, msg: "there is no raise", hint: `fail("message") fails the action; where the message comes from an error, fail(error.message)`},
	{code: `^\s*(import|from)\s+flyte\b`, msg: "there is no import", hint: "image, task_environment, task and the rest of the language are predeclared: leave the line out"},
	{code: `^\s*(import|from)\s+(?:json|math)\b`, msg: "there is no import", hint: "json and math are predeclared: leave the line out"},
	{code: `^\s*(import|from)\b`, msg: "there is no import", hint: `load("file.star", "name") loads names of another module; Python code runs in a task: task(python = "file.py:function", …)`},
	{code: `^\s*(async)\b`, msg: "there is no async", hint: "write def; t.start(…) and start(fn, …) return futures, and gather(*futures) waits for them"},
	{code: `\b(await)\b`, msg: "there is no await", hint: "a call waits by itself; t.start(…) and start(fn, …) return futures, and gather(*futures) waits for them"},
	{code: `^\s*(with)\b`, msg: "there is no with", hint: `group("name", fn, …) groups calls; files are read by f.read(), or in a task that is written in Python`},
	{code: `^\s*(class)\b`, msg: "there is no class", hint: "record(name = type, …) makes a type with fields, and struct(name = value, …) a value; classes belong into a task that is written in Python"},
	{code: `^\s*(assert)\b`, msg: "there is no assert", hint: `write if not condition: fail("message")`},
	{code: `^\s*(global|nonlocal)\b`, msg: "there is no global and no nonlocal", hint: "globals are bound once and then frozen: return the value instead"},
	{code: `\b(yield)\b`, msg: "there is no yield", hint: "return a list"},
	{code: `^\s*(del)\b`, msg: "there is no del", hint: "d.pop(key) removes a key of a dict, and l.pop(index) an element of a list"},
	{code: `^\s*(@)`, msg: "there are no decorators", hint: `declare the task below its function: main = task(_main, env = env, inputs = {"x": int}, output = str)`},
	{code: `^\s*(load)\s*=`, msg: "load is a keyword, and can't be bound", hint: "use another name, such as load_data"},
	{code: `^\s*(match)\s+\S.*:\s*$`, msg: "there is no match", hint: "use if and elif, or look the value up in a dict"},
	{code: `(?:^|\W)((?:[fF][rR]?|[rR][fF])["'])`, msg: "there are no f-strings", hint: `write "… {} …".format(x), or "… %s …" % x`},
	{code: `(?:^|\W)([uU]["'])`, msg: `a string has no prefix "u"`, hint: "leave it out: every string is Unicode"},
	{code: `(:=)`, msg: "there is no :=", hint: "assign in a statement of its own"},
	{code: `^\s*\w+\s*(:)\s*[A-Za-z]`, msg: "parameters have no types here", hint: `give them where the task is declared: inputs = {"x": int}, output = str`, said: "got ':', want ')'"},
	{code: `^\s*def\s+\w+\s*\([^()]*?\w\s*(:)`, msg: "parameters have no types here", hint: `give them where the task is declared: inputs = {"x": int}, output = str`},
	{code: `^\s*def\s+\w+\s*\(.*\)\s*(->)`, msg: "functions have no types here", hint: `give it where the task is declared: inputs = {"x": int}, output = str`},
	{code: `^\s*[\w.]+\s*(:)\s*[A-Za-z_"'][^=]*(?:=[^=]|$)`, msg: "variables have no types", hint: "leave the type out: x = 1", said: "got ':'"},
	{code: `\{[^{}]*(\*\*)`, msg: "a dict isn't made of others by **", hint: "write a | b, or dict(a, key = value)", said: "'**'"},
	{code: `(\*\*)`, msg: "there is no **", hint: "math.pow(x, y) returns a float; for an int write x * x", said: "'**'"},
	{code: `[\[({,]\s*(\*)\s*[A-Za-z_(\[]`, msg: "a list, set or tuple isn't made of others by *", hint: "write list(a) + [b]; take several apart by index, as in c[0] and c[1:]", said: "got '*'"},
	{code: `\b(is)\s+not\b`, msg: "there is no is", hint: "write !="},
	{code: `\b(is)\b`, msg: "there is no is", hint: "write =="},
	{code: `()`, msg: "comparisons can't be chained", hint: "write a < b and b < c", said: "does not associate with"},
	{code: `\blambda\b[^:]*:\s*(return|raise|if|for|while|try|with|assert|print\s+\w)\b`, msg: "a lambda is one expression", hint: "write a function with def"},
	{code: `()`, msg: "an if in an expression needs an else", hint: "write x if condition else None", said: "conditional expression without else"},
	{code: `(&&)`, msg: "there is no &&", hint: "write and"},
	{code: `(\|\|)`, msg: "there is no ||", hint: "write or"},
	{code: `(<>)`, msg: "there is no <>", hint: "write !="},
	{code: `(!)(?:[^=]|$)`, msg: "there is no !", hint: "write not", said: "'!'"},
	{code: `\w\s*(\+\+|--)\s*(?:$|;)`, msg: "there is no ++ and no --", hint: "write x += 1"},
	{code: `\b(\d+_[\d_]+)`, msg: "a number has no _", hint: "write it without"},
	{code: `\b(\d+(?:\.\d*)?[jJ])\b`, msg: "there are no complex numbers", hint: "leave it to a task that is written in Python"},
	{code: `^\s*(print)\s+["'\w]`, msg: "print is a function", hint: "write print(x)"},
	{code: `^\s*def\s+\w+\s*\(.*(/)`, msg: "parameters can't be positional only", hint: "leave the / out"},
	{code: `(\.\.\.)`, msg: "there is no ...", hint: "write pass"},
	{code: `^\s*(else)\s*:`, msg: "this else belongs to no if", hint: "for has no else: set a variable before break, and look at it after the loop", said: "got else"},
	{code: `\b(for)\b`, msg: "there are no generators", hint: "write a list: [f(x) for x in items]", said: "got for, want"},
	{code: `^\s*[\w.\[\]]+\s*=[^=].*[^=!<>](=)[^=]`, msg: "an assignment has one =", hint: "write two statements", said: "got '=', want newline"},
	{code: `^\s*(?:if|elif)\b.*[^=!<>](=)[^=]`, msg: "= assigns", hint: "write == to compare", said: "got '=', want ':'"},
	{code: `(\{)`, msg: "a set has no braces", hint: "write set([1, 2])", said: "', want ':'"},
	{code: `()`, hint: `write \n in it, or put it between """ and """`, said: "unexpected newline in string"},
}

var compiledForms = sync.OnceValue(func() []*regexp.Regexp {
	out := make([]*regexp.Regexp, len(foreignForms))
	for i, f := range foreignForms {
		out[i] = regexp.MustCompile(f.code)
	}
	return out
})

// maxHintLine bounds the line that is searched for forms of Python, in bytes.
const maxHintLine = 1000

// explain rewords a syntax error at a form of Python, and points at it. source is the module's.
func explain(e *diag.Error, source []byte) {
	if !e.Pos.IsValid() {
		return
	}
	at := e.Pos.Line
	if strings.HasSuffix(e.Msg, "want ':'") && strings.HasPrefix(e.Msg, "got newline") && at > 1 {
		at-- // the scanner is on the next line by then
		line := codeOf(source, at)
		e.Pos = diag.Position{File: e.Pos.File, Line: at, Col: utf8.RuneCountInString(strings.TrimRight(line, " ")) + 1}
		e.Msg = "a : is missing at the end of the line"
		return
	}
	line := codeOf(source, at)
	if len(line) > maxHintLine {
		return
	}
	for i, re := range compiledForms() {
		f := foreignForms[i]
		m := re.FindStringSubmatchIndex(line)
		if m == nil || f.said != "" && !strings.Contains(e.Msg, f.said) {
			continue
		}
		if f.msg != "" {
			e.Msg = f.msg
		}
		if m[3] > m[2] {
			e.Pos.Col = utf8.RuneCountInString(line[:m[2]]) + 1
		}
		e.WithHint("%s", f.hint)
		return
	}
}

// codeOf returns a line of source. Comments and what is in strings are blank, except for the quotes.
func codeOf(source []byte, line int) string {
	n := 1
	var out []byte
	for i := 0; i < len(source) && n <= line; {
		switch c := source[i]; {
		case c == '\n':
			i++
			if n == line {
				return string(out)
			}
			n, out = n+1, out[:0]
		case c == '#':
			i = endOfLine(source, i)
		case c == '"' || c == '\'':
			end := endOfString(source, i)
			if end < 0 {
				end = endOfLine(source, i)
			}
			for ; i < end; i++ {
				switch {
				case source[i] == '\n':
					if n == line {
						return string(out)
					}
					n, out = n+1, out[:0]
				case source[i] == '"' || source[i] == '\'':
					out = append(out, source[i])
				case source[i] < utf8.RuneSelf || utf8.RuneStart(source[i]):
					out = append(out, ' ') // one for each character
				}
			}
		default:
			out = append(out, c)
			i++
		}
	}
	if n == line {
		return string(out)
	}
	return ""
}

// foreignNames are names of Python that people use, with what to use here.
var foreignNames = map[string]string{
	"map": "write [f(x) for x in items], or t.map(items) for a task", "filter": "write [x for x in items if condition]", "reduce": "write a loop",
	"open": "f.read() reads a File, and File.from_text(name, text) makes one", "Path": "a File or Dir has .name; paths are for tasks that are written in Python",
	"pathlib": "a File or Dir has .name; paths are for tasks that are written in Python",
	"os":      "a body has no files and no environment: give what it needs as inputs, or leave it to a task that is written in Python",
	"sys":     "a body has no process of its own: leave it to a task that is written in Python", "subprocess": `write task(command = ["program", "argument"], …)`,
	"shutil":   "leave it to a task that is written in Python",
	"datetime": "a body has no clock: give the time as an input, or leave it to a task that is written in Python",
	"time":     "a body has no clock: leave waiting and measuring to a task that is written in Python",
	"random":   "a body has no randomness: give a seed as an input to a task that is written in Python", "uuid": "a body has no randomness: leave it to a task that is written in Python",
	"asyncio": "t.start(…) and start(fn, …) return futures, and gather(*futures) waits for them", "concurrent": "t.start(…) and start(fn, …) return futures, and gather(*futures) waits for them",
	"flyte":    "image, task_environment, task and the rest of the language are predeclared: write task(…), not flyte.task(…)",
	"Optional": "write T | None", "Union": "write T | U", "List": "write list[T]", "Dict": "write dict[str, T]", "Tuple": "write outputs = {\"name\": type, …} for several values, or list[T]",
	"Set": "write list[T]: sets don't pass between tasks", "Any": "write any", "Literal": `write enum("a", "b")`, "Enum": `write enum("a", "b")`, "typing": "types are list[T], dict[str, T], T | None",
	"dataclass": "write record(name = type, …)", "dataclasses": "write record(name = type, …)", "BaseModel": "write record(name = type, …)", "NamedTuple": "write record(name = type, …)",
	"TypedDict": "write record(name = type, …)", "namedtuple": "write struct(name = value, …)", "collections": "use a dict, or a list", "defaultdict": "write d.setdefault(key, [])",
	"re": "strings have find, split, replace, startswith; leave regular expressions to a task that is written in Python", "itertools": "write loops or comprehensions", "functools": "write a function",
	"isinstance": `write type(x) == "list"`, "issubclass": "there are no classes", "callable": `write type(x) == "function"`, "super": "there are no classes", "object": "write struct(name = value, …)",
	"next": "write a loop, or items[0]", "iter": "write a loop", "input": "", "pow": "math.pow(x, y) returns a float", "divmod": "write x // y and x % y", "hex": `write "%x" % n`, "oct": `write "%o" % n`,
	"format": `write "{}".format(x)`, "ascii": "write repr(x)", "frozenset": "write set(items)", "eval": "there is no eval", "exec": "there is no exec", "globals": "name what you need", "locals": "name what you need",
	"Exception": `fail("message") fails the action`, "ValueError": `fail("message") fails the action`, "RuntimeError": `fail("message") fails the action`, "KeyError": `fail("message") fails the action`,
	"TypeError": `fail("message") fails the action`, "true": "write True", "false": "write False", "null": "write None", "none": "write None", "nil": "write None", "self": "there are no classes",
	"np": "leave it to a task that is written in Python", "numpy": "leave it to a task that is written in Python", "pd": "leave it to a task that is written in Python", "pandas": "leave it to a task that is written in Python",
	"logging": "print(x) writes to the run's log", "logger": "print(x) writes to the run's log", "log": "print(x) writes to the run's log", "json5": "",
	"Resources": "write resources(cpu = 1, memory = \"1Gi\")", "TaskEnvironment": "write task_environment(name = \"…\")", "Image": "write image.from_debian_base()",
	"workflow": "an orchestrator is a task whose function is written here: task(_main, env = env)", "string": "write str", "integer": "write int", "boolean": "write bool", "double": "write float",
	"FlyteFile": "write File", "FlyteDirectory": "write Dir",
}
