// Package signature reads the signatures of Python functions from their source. It imports and
// executes nothing, and knows no more of Python than this needs.
//
//   - [Parse] reads a file: what its top level binds (parse.go), from tokens (scan.go).
//   - [File.Function] returns a function's signature. Annotations become types (types.go), literal
//     defaults become values (literal.go).
//
// The source is untrusted. Time and memory are linear in its size.
package signature

import (
	"fmt"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

// Function is a function as its source declares it.
type Function struct {
	Line   int // of its def, from 1
	Params []Param
	// Keywords says that the function takes every keyword (**kwargs).
	Keywords bool
	// Decorated says that a decorator may have changed what the function takes and returns.
	Decorated bool
	Returns   Annotation
	Doc       string // the docstring, as written
}

// Param is a parameter, except for *args and **kwargs.
type Param struct {
	Name           string
	Type           Annotation
	Optional       bool       // it has a default
	Default        plan.Value // if DefaultErr is nil
	DefaultErr     error      // why the default isn't known
	PositionalOnly bool
}

// Annotation is an annotation as a type.
type Annotation struct {
	Given bool
	Type  plan.Type // if Err is nil
	Err   error     // why it has no type
}

// Unknown is the error of a name whose signature the file doesn't show.
type Unknown struct {
	why, hint string
	unbound   bool
}

// Unbound reports whether the file's top level doesn't bind the name.
func (u *Unknown) Unbound() bool { return u.unbound }

// Error says why.
func (u *Unknown) Error() string { return u.why }

// Hint says what to do about it.
func (u *Unknown) Hint() string { return u.hint }

// Function returns the signature of a function of the file's top level. Its error is an [*Unknown].
func (f *File) Function(name string) (*Function, error) {
	all := f.bound[name]
	if len(all) == 0 {
		return nil, &Unknown{why: fmt.Sprintf("its top level binds no %q", name), unbound: true}
	}
	last := all[len(all)-1]
	if last.conditional {
		for _, b := range all {
			if b.kind != last.kind || b.kind != function || header(b) != header(last) {
				return nil, &Unknown{why: fmt.Sprintf("%s is bound more than once, in lines %s, under conditions", name, places(all))}
			}
		}
	}
	switch last.kind {
	case function:
		return f.function(last), nil
	case class:
		return nil, &Unknown{why: fmt.Sprintf("%s is a class (line %d)", name, last.line), hint: "write a function that makes what it needs"}
	case imported:
		return nil, &Unknown{why: fmt.Sprintf("%s is imported from %s (line %d)", name, last.from, last.line), hint: "name the file that defines it"}
	}
	if len(last.value) > 0 && last.value[0].is("lambda") {
		return f.lambda(last), nil
	}
	return nil, &Unknown{why: fmt.Sprintf("%s is assigned, not defined with def (line %d)", name, last.line)}
}

// header is what decides a function's signature.
func header(b *binding) string {
	var s strings.Builder
	for _, part := range [][]token{b.params, b.returns} {
		for _, t := range part {
			s.WriteString(t.text + " ")
		}
		s.WriteString("->")
	}
	return s.String()
}

func places(all []*binding) string {
	var lines []string
	for i, b := range all {
		if i == 5 {
			lines = append(lines, "…")
			break
		}
		lines = append(lines, fmt.Sprint(b.line))
	}
	return strings.Join(lines, ", ")
}

func (f *File) lambda(b *binding) *Function {
	fn := &Function{Line: b.line}
	depth := 0
	for i, t := range b.value {
		switch {
		case t.kind == op && strings.Contains("([{", t.text):
			depth++
		case t.kind == op && strings.Contains(")]}", t.text):
			depth--
		case depth == 0 && t.is(":"):
			f.params(fn, b.value[1:i])
			return fn
		}
	}
	return fn
}

func (f *File) function(b *binding) *Function {
	fn := &Function{Line: b.line, Doc: b.doc}
	for _, d := range b.decorators {
		fn.Decorated = fn.Decorated || !f.transparent(d)
	}
	f.params(fn, b.params)
	if len(b.returns) > 0 {
		fn.Returns = f.annotation(b.returns)
	}
	return fn
}

// transparent reports whether a decorator leaves a function's signature as it is.
func (f *File) transparent(d []token) bool {
	for i, t := range d {
		if t.is("(") {
			d = d[:i]
			break
		}
	}
	switch f.canonical(joined(d)) {
	case "functools.cache", "functools.lru_cache", "functools.wraps", "typing.no_type_check", "typing.final", "typing.override",
		"typing_extensions.override", "typing_extensions.deprecated", "warnings.deprecated":
		return true
	}
	return false
}

// params reads parameters, without their parentheses.
func (f *File) params(fn *Function, tokens []token) {
	for _, p := range split(tokens, ",") {
		switch {
		case p[0].is("/"):
			for i := range fn.Params {
				fn.Params[i].PositionalOnly = true
			}
		case p[0].is("**"):
			fn.Keywords = true
		case p[0].is("*"), p[0].kind != name:
		default:
			fn.Params = append(fn.Params, f.param(p))
		}
	}
}

func (f *File) param(tokens []token) Param {
	p := Param{Name: tokens[0].text}
	rest, value, _ := cut(tokens[1:], "=")
	if len(rest) > 0 && rest[0].is(":") {
		p.Type = f.annotation(rest[1:])
	}
	if len(value) > 0 {
		p.Optional = true
		p.Default, p.DefaultErr = f.literal(value, 0)
	}
	return p
}

// split splits tokens at a separator outside of brackets, and leaves out what is empty. The body of
// a lambda isn't recognised, since its commas are within brackets or end it.
func split(tokens []token, sep string) [][]token {
	var out [][]token
	for len(tokens) > 0 {
		var part []token
		part, tokens, _ = cut(tokens, sep)
		if len(part) > 0 {
			out = append(out, part)
		}
	}
	return out
}

// cut cuts tokens at the first separator outside of brackets and of a lambda's parameters.
func cut(tokens []token, sep string) (before, after []token, found bool) {
	depth, lambdas := 0, 0
	for i, t := range tokens {
		switch {
		case t.kind == op && strings.Contains("([{", t.text):
			depth++
		case t.kind == op && strings.Contains(")]}", t.text):
			depth--
		case depth > 0:
		case t.is("lambda"):
			lambdas++
		case lambdas > 0 && t.is(":"):
			lambdas--
		case lambdas == 0 && t.is(sep):
			return tokens[:i], tokens[i+1:], true
		}
	}
	return tokens, nil, false
}

// joined returns tokens as text, without space.
func joined(tokens []token) string {
	var s strings.Builder
	for _, t := range tokens {
		s.WriteString(t.text)
	}
	return s.String()
}
