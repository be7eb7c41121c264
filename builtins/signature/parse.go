package signature

import "strings"

// This file finds what a file's top level binds.

// File is a Python file.
type File struct {
	bound map[string][]*binding // by name, in the order of the source
	star  bool                  // it imports with *
}

// binding is a name of the top level.
type binding struct {
	kind        bindingKind
	line        int
	conditional bool // within an if, try, for, with or while

	decorators [][]token // function, class
	params     []token   // function: within the parentheses
	returns    []token   // function
	doc        string    // function, class: the docstring as written
	bases      []token   // class: within the parentheses
	fields     []line    // class: the lines directly in its body
	from       string    // imported: what the name stands for, "typing.List"
	value      []token   // assigned
}

type bindingKind byte

const (
	function bindingKind = iota
	class
	imported
	assigned
)

// block is a block that the parser is in.
type block struct {
	indent int      // of its header
	def    *binding // of a function or class; nil for other blocks
	first  bool     // the next line is the first of its body
}

// Parse reads a file. Its error says which line it can't read.
func Parse(source []byte) (*File, error) {
	lines, err := scan(string(source))
	if err != nil {
		return nil, err
	}
	p := &parser{file: &File{bound: map[string][]*binding{}}}
	for _, l := range lines {
		p.line(l)
	}
	return p.file, nil
}

type parser struct {
	file       *File
	open       []block
	decorators [][]token
}

// line takes a logical line.
func (p *parser) line(l line) {
	for len(p.open) > 0 && l.indent <= p.open[len(p.open)-1].indent {
		p.open = p.open[:len(p.open)-1]
	}
	for i := range p.open {
		if p.open[i].def != nil {
			p.within(&p.open[i], i == len(p.open)-1, l)
			p.enter(l, nil)
			return
		}
	}
	p.statement(l)
}

// within takes a line of a function's or a class's body, which may be nested further.
func (p *parser) within(b *block, direct bool, l line) {
	if !direct {
		return
	}
	if b.first {
		b.def.doc = docstring(l.tokens)
		b.first = false
	}
	if b.def.kind == class {
		b.def.fields = append(b.def.fields, l)
	}
}

func docstring(tokens []token) string {
	if len(tokens) == 0 || tokens[0].kind != text {
		return ""
	}
	s, err := unquote(tokens)
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// enter notes the block that a line begins, if it begins one.
func (p *parser) enter(l line, def *binding) {
	if l.tokens[len(l.tokens)-1].is(":") {
		p.open = append(p.open, block{l.indent, def, true})
	}
}

// statement takes a line of the top level.
func (p *parser) statement(l line) {
	t := l.tokens
	if t[0].is("@") {
		p.decorators = append(p.decorators, t[1:])
		return
	}
	decorators := p.decorators
	p.decorators = nil
	if t[0].is("async") && len(t) > 1 && t[1].is("def") {
		t = t[1:]
	}
	var def *binding
	switch {
	case len(t) > 1 && t[1].kind == name && t[0].is("def"):
		def = p.def(t, decorators)
	case len(t) > 1 && t[1].kind == name && t[0].is("class"):
		def = p.class(t, decorators, l)
	case compound[t[0].text] && t[0].kind == name:
		if _, body, _ := cut(t, ":"); len(body) > 0 { // on the same line
			p.open = append(p.open, block{indent: l.indent})
			p.simples(body)
		}
	default:
		p.simples(t)
	}
	p.enter(l, def)
}

// compound are the words that begin a block which isn't a function or a class.
var compound = map[string]bool{"if": true, "elif": true, "else": true, "try": true, "except": true, "finally": true, "for": true, "while": true, "with": true}

// simples takes simple statements on one line.
func (p *parser) simples(t []token) {
	for _, s := range split(t, ";") {
		p.simple(s)
	}
}

func (p *parser) bind(n string, b *binding) *binding {
	b.conditional = len(p.open) > 0
	p.file.bound[n] = append(p.file.bound[n], b)
	return b
}

// def reads the header of a function.
func (p *parser) def(t []token, decorators [][]token) *binding {
	b := &binding{kind: function, line: t[0].line, decorators: decorators}
	rest := t[2:]
	if _, after := bracketed(rest, "["); len(after) > 0 { // type parameters
		rest = after
	}
	b.params, rest = bracketed(rest, "(")
	head, body, _ := cut(rest, ":")
	if len(head) > 0 && head[0].is("->") {
		b.returns = head[1:]
	}
	b.doc = docstring(body)
	if p.overload(decorators) {
		return b
	}
	return p.bind(t[1].text, b)
}

// overload reports whether a function only declares how another one may be called.
func (p *parser) overload(decorators [][]token) bool {
	for _, d := range decorators {
		switch p.file.canonical(joined(d)) {
		case "typing.overload", "typing_extensions.overload", "overload":
			return true
		}
	}
	return false
}

// class reads the header of a class.
func (p *parser) class(t []token, decorators [][]token, l line) *binding {
	b := &binding{kind: class, line: t[0].line, decorators: decorators}
	rest := t[2:]
	if _, after := bracketed(rest, "["); len(after) > 0 {
		rest = after
	}
	if len(rest) > 0 && rest[0].is("(") {
		b.bases, rest = bracketed(rest, "(")
	}
	if len(rest) > 1 { // on the same line
		for _, s := range split(rest[1:], ";") {
			b.fields = append(b.fields, line{l.indent + 1, s})
		}
	}
	return p.bind(t[1].text, b)
}

// bracketed returns what is in the brackets at the beginning, and what follows them.
func bracketed(t []token, open string) (in, after []token) {
	if len(t) == 0 || !t[0].is(open) {
		return nil, nil
	}
	depth := 0
	for i, x := range t {
		switch {
		case x.kind == op && strings.Contains("([{", x.text):
			depth++
		case x.kind == op && strings.Contains(")]}", x.text):
			if depth--; depth == 0 {
				return t[1:i], t[i+1:]
			}
		}
	}
	return nil, nil
}

// simple takes a simple statement.
func (p *parser) simple(t []token) {
	switch {
	case t[0].is("import"):
		for _, part := range split(t[1:], ",") {
			p.imports(part)
		}
	case t[0].is("from"):
		p.importsFrom(t)
	case len(t) > 3 && t[0].is("type") && t[1].kind == name: // type X = …
		if _, value, ok := cut(t[2:], "="); ok {
			p.bind(t[1].text, &binding{kind: assigned, line: t[0].line, value: value})
		}
	case t[0].kind == name && len(t) > 2 && t[1].is("="):
		p.bind(t[0].text, &binding{kind: assigned, line: t[0].line, value: t[2:]})
	case t[0].kind == name && len(t) > 2 && t[1].is(":"):
		if _, value, ok := cut(t[2:], "="); ok {
			p.bind(t[0].text, &binding{kind: assigned, line: t[0].line, value: value})
		}
	case t[0].kind == name && len(t) > 1 && t[1].kind == op && strings.HasSuffix(t[1].text, "=") && len(t[1].text) > 1 && !strings.Contains("==!=<=>=", t[1].text):
		p.bind(t[0].text, &binding{kind: assigned, line: t[0].line})
	default:
		p.targets(t)
	}
}

// targets binds the names of "a, b = …" to what isn't known.
func (p *parser) targets(t []token) {
	left, _, ok := cut(t, "=")
	if !ok {
		return
	}
	for _, x := range left {
		if x.kind == name {
			p.bind(x.text, &binding{kind: assigned, line: x.line})
		}
	}
}

// imports takes "a.b" or "a.b as c" of an import statement.
func (p *parser) imports(t []token) {
	module, as := t, ""
	if n := len(t); n > 2 && t[n-2].is("as") {
		module, as = t[:n-2], t[n-1].text
	}
	from := joined(module)
	if as == "" {
		as, _, _ = strings.Cut(from, ".")
		from = as
	}
	p.bind(as, &binding{kind: imported, line: t[0].line, from: from})
}

// importsFrom takes "from a import b as c, d".
func (p *parser) importsFrom(t []token) {
	for i, x := range t {
		if !x.is("import") {
			continue
		}
		module, names := joined(t[1:i]), t[i+1:]
		if in, _ := bracketed(names, "("); len(in) > 0 {
			names = in
		}
		for _, n := range split(names, ",") {
			if n[0].is("*") {
				p.file.star = true
				continue
			}
			p.bind(n[len(n)-1].text, &binding{kind: imported, line: t[0].line, from: module + "." + n[0].text})
		}
		return
	}
}

// canonical returns the full name of a dotted name, by what the file imports. A name that it doesn't
// import is returned as it is.
func (f *File) canonical(dotted string) string {
	first, rest, more := strings.Cut(dotted, ".")
	all := f.bound[first]
	if len(all) == 0 || all[len(all)-1].kind != imported {
		return dotted
	}
	if from := all[len(all)-1].from; more {
		return from + "." + rest
	} else {
		return from
	}
}
