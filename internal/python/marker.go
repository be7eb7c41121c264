package python

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Marker is the condition of a requirement, such as "python_version < '3.12'". The zero value
// always holds.
type Marker struct {
	Text  string
	terms []term // in postfix order
	// Unknown is set if the text isn't a marker of PEP 508. The condition may hold or not.
	Unknown bool
}

// term is a comparison of two operands, or "and" or "or" of the two terms before it.
type term struct {
	op          string
	left, right operand
	versions    Specifiers // op and right, where right is a string and left isn't
}

// operand is a string, or a variable of the target.
type operand struct {
	variable bool
	text     string
}

// Truth says whether a condition holds, as far as that is known.
type Truth int

// The truths are in an order in which "and" is the minimum and "or" the maximum.
const (
	No Truth = iota
	Maybe
	Yes
)

// Target is where a requirement would be installed. An empty field means that the value isn't
// known.
type Target struct {
	Python         string // "3.11"
	Machine        string // as uname -m has it: "x86_64"
	Implementation string // "cpython"
}

// Bounds of a marker: its bytes, and how many parentheses are open at once. One that exceeds them
// is Unknown.
const (
	maxMarker = 4096
	maxDepth  = 50
)

var markerToken = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\s*(?:("[^"]*"|'[^']*')|(===|==|!=|<=|>=|~=|<|>|\(|\))|([A-Za-z_][A-Za-z0-9_.]*))\s*`)
})

// variables are the names that a marker may use, with their old spellings.
var variables = map[string]string{
	"python_version": "", "python_full_version": "", "os_name": "", "sys_platform": "", "platform_release": "",
	"platform_system": "", "platform_version": "", "platform_machine": "", "platform_python_implementation": "",
	"implementation_name": "", "implementation_version": "", "extra": "",
	"os.name": "os_name", "sys.platform": "sys_platform", "platform.version": "platform_version", "platform.machine": "platform_machine",
	"platform.python_implementation": "platform_python_implementation", "python_implementation": "platform_python_implementation",
}

// ParseMarker reads a marker.
func ParseMarker(text string) Marker {
	m := Marker{Text: text}
	if len(text) > maxMarker {
		m.Unknown = true
		return m
	}
	p := markerParser{rest: text}
	p.next()
	p.or(0)
	m.terms, m.Unknown = p.out, p.failed || p.kind != tokenEnd
	return m
}

// The kinds of token of a marker.
const (
	tokenEnd = iota
	tokenString
	tokenOp // comparisons and parentheses
	tokenWord
	tokenBad
)

type markerParser struct {
	rest   string
	kind   int
	text   string // of the current token, a string's without its quotes
	out    []term
	failed bool
}

func (p *markerParser) next() {
	m := markerToken().FindStringSubmatch(p.rest)
	switch {
	case strings.TrimSpace(p.rest) == "":
		p.kind, p.text = tokenEnd, ""
		return
	case m == nil:
		p.kind, p.text = tokenBad, ""
		return
	case m[1] != "":
		p.kind, p.text = tokenString, m[1][1:len(m[1])-1]
	case m[2] != "":
		p.kind, p.text = tokenOp, m[2]
	default:
		p.kind, p.text = tokenWord, m[3]
	}
	p.rest = p.rest[len(m[0]):]
}

// take goes to the next token if the current one is a given operator or word.
func (p *markerParser) take(kind int, text string) bool {
	if p.kind != kind || p.text != text {
		return false
	}
	p.next()
	return true
}

func (p *markerParser) or(depth int) {
	p.and(depth)
	for p.take(tokenWord, "or") {
		p.and(depth)
		p.out = append(p.out, term{op: "or"})
	}
}

func (p *markerParser) and(depth int) {
	p.atom(depth)
	for p.take(tokenWord, "and") {
		p.atom(depth)
		p.out = append(p.out, term{op: "and"})
	}
}

func (p *markerParser) atom(depth int) {
	if p.take(tokenOp, "(") {
		if depth == maxDepth {
			p.failed = true
			return
		}
		p.or(depth + 1)
		p.failed = p.failed || !p.take(tokenOp, ")")
		return
	}
	t := term{left: p.operand()}
	t.op = p.operator()
	t.right = p.operand()
	if flipped, ok := flip[t.op]; ok && !t.left.variable && t.right.variable {
		t.left, t.op, t.right = t.right, flipped, t.left
	}
	if t.op != "in" && t.op != "not in" && !t.right.variable {
		t.versions = ParseSpecifiers(t.op + t.right.text)
	}
	p.out = append(p.out, t)
}

// flip has each comparison that can be read from right to left, and what it is then.
var flip = map[string]string{"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

func (p *markerParser) operand() operand {
	o := operand{p.kind == tokenWord, p.text}
	if o.variable {
		modern, ok := variables[o.text]
		p.failed = p.failed || !ok
		if modern != "" {
			o.text = modern
		}
	} else if p.kind != tokenString {
		p.failed = true
	}
	p.next()
	return o
}

func (p *markerParser) operator() string {
	switch {
	case p.take(tokenWord, "in"):
		return "in"
	case p.take(tokenWord, "not"):
		p.failed = p.failed || !p.take(tokenWord, "in")
		return "not in"
	case p.kind == tokenOp && p.text != "(" && p.text != ")":
		op := p.text
		p.next()
		return op
	}
	p.failed = true
	return ""
}

// Eval decides a marker on Linux with some Python 3. The target says what is known of it. If the
// version isn't known, the marker is decided if it holds for all versions, or for none.
func (m *Marker) Eval(t Target) Truth {
	if m.Unknown {
		return Maybe
	}
	if len(m.terms) == 0 {
		return Yes
	}
	tries := pythons()
	if t.Python != "" {
		tries = []python{newPython(t.Python, ".0"), newPython(t.Python, ".99")}
	}
	if !m.asks("python_version", "python_full_version") {
		tries = tries[:1]
	}
	variables := t.variables()
	first := m.eval(variables, &tries[0])
	for i := range tries[1:] {
		if m.eval(variables, &tries[i+1]) != first {
			return Maybe
		}
	}
	return first
}

// python is a version of Python that a marker is tried with.
type python struct{ version, full value }

// value is the value of a variable.
type value struct {
	text      string // "" if it isn't known, but for extra
	version   Version
	isVersion bool
}

func newValue(text string) value {
	v, ok := ParseVersion(text)
	return value{text, v, ok}
}

func newPython(version, micro string) python {
	return python{newValue(version), newValue(version + micro)}
}

// pythons are the versions that an unknown Python 3 is tried with: an early and a late micro
// version of each minor one.
var pythons = sync.OnceValue(func() (all []python) {
	for minor := 4; minor < 40; minor++ {
		version := fmt.Sprintf("3.%d", minor)
		all = append(all, newPython(version, ".0"), newPython(version, ".99"))
	}
	return all
})

// variables returns the values that don't depend on the version of Python. No extra is asked for.
func (t Target) variables() map[string]value {
	v := map[string]value{
		"os_name": {text: "posix"}, "sys_platform": {text: "linux"}, "platform_system": {text: "Linux"}, "extra": {},
		"platform_machine": {text: t.Machine}, "implementation_name": {text: t.Implementation},
	}
	if t.Implementation == "cpython" {
		v["platform_python_implementation"] = value{text: "CPython"}
	}
	return v
}

// eval is Eval for one version of Python.
func (m *Marker) eval(variables map[string]value, p *python) Truth {
	var stack []Truth
	for i := range m.terms {
		t := &m.terms[i]
		if t.op == "and" || t.op == "or" {
			a, b := stack[len(stack)-2], stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			stack[len(stack)-1] = max(a, b)
			if t.op == "and" {
				stack[len(stack)-1] = min(a, b)
			}
			continue
		}
		left, known := t.left.value(variables, p)
		right, known2 := t.right.value(variables, p)
		truth := Maybe
		if known && known2 {
			truth = t.compare(left, right.text)
		}
		stack = append(stack, truth)
	}
	return stack[0]
}

// value returns what an operand stands for, and whether that is known.
func (o *operand) value(variables map[string]value, p *python) (value, bool) {
	if !o.variable {
		return value{text: o.text}, true
	}
	switch o.text {
	case "python_version":
		return p.version, true
	case "python_full_version":
		return p.full, true
	}
	v := variables[o.text]
	return v, v.text != "" || o.text == "extra"
}

// compare compares two values as versions if both are versions, else as text.
func (t *term) compare(left value, right string) Truth {
	holds := false
	switch cmp := strings.Compare(left.text, right); {
	case t.op == "in":
		holds = strings.Contains(right, left.text)
	case t.op == "not in":
		holds = !strings.Contains(right, left.text)
	case left.isVersion && len(t.versions.clauses) == 1 && t.op != "===":
		holds = t.versions.clauses[0].contains(left.version)
	case t.op == "==", t.op == "===":
		holds = cmp == 0
	case t.op == "!=":
		holds = cmp != 0
	case t.op == "<=":
		holds = cmp <= 0
	case t.op == ">=":
		holds = cmp >= 0
	case t.op == "<":
		holds = cmp < 0
	case t.op == ">":
		holds = cmp > 0
	default: // "~=" of what isn't a version
		return Maybe
	}
	if holds {
		return Yes
	}
	return No
}

// asks reports whether the marker uses one of the variables.
func (m *Marker) asks(names ...string) bool {
	return slices.ContainsFunc(m.terms, func(t term) bool {
		return t.left.variable && slices.Contains(names, t.left.text) || t.right.variable && slices.Contains(names, t.right.text)
	})
}
