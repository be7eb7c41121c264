// Package summary keeps of a module's syntax what is used once the module has been compiled.
//
//   - [Of] makes the [Summary] of a module from its syntax (summarize.go).
//   - [Summary] answers what the module loads and binds, where its calls and their arguments
//     stand, and what its functions' code names (summary.go).
//   - [Summary.Encode] and [Decode] are its written form, which a compiled module is kept with
//     (codec.go). Decode trusts nothing: the indices of what it returns are within bounds.
package summary

import (
	"iter"
	"slices"
	"sort"

	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/plan"
)

// Summary is what is kept of a module's syntax once it has been compiled: what
// it loads and binds, where its calls and their arguments stand, and what its
// functions' code names. It is plain data, which a compiled module is kept
// with; summarize.go makes it, once, and codec.go writes and reads it.
//
// Positions are as in starlark's call stacks: a call's is that of its opening parenthesis, a function's that of def or lambda.
type Summary struct {
	path      string   // the module's, and so every position's file
	names     []string // to which the others refer
	loads     []Load
	globals   []bound    // the first binding of each, in source order
	calls     []callSite // in source order
	arguments []argument
	functions []function // in source order; one within another comes after it
	defaults  []argument // of parameters; all are named
	free      []int32    // for a function's free variable: which of the function around it that is, or notFree
	mentions  []mention  // those of a function together, in source order
	fields    []int32    // names, of mentions
}

// point is a position in the module.
type point struct{ line, col int32 }

func (p point) compare(q point) int {
	if p.line != q.line {
		return int(p.line) - int(q.line)
	}
	return int(p.col) - int(q.col)
}

// Load is a load statement at the top level.
type Load struct {
	Module string          // as written
	Pos    syntax.Position // of the module's name
	Names  []LoadedName
}

// LoadedName is a name that a load statement binds.
type LoadedName struct {
	From, To string // the name there, the name here
	Pos      syntax.Position
}

// Loads returns the load statements at the top level, in source order. The caller doesn't change them.
func (s *Summary) Loads() []Load { return s.loads }

type bound struct {
	name string
	pos  point
}

type callSite struct {
	paren, start point
	method       point // of the name, in x.name(…); else zero
	arguments    span
	unused       bool // it is a statement of its own
}

// span is a part of one of Summary's slices.
type span struct{ from, to int32 }

type argument struct {
	form    form
	name    int32 // of a named one
	literal literal
	pos     point // of the value
}

type function struct {
	pos                      point
	defaults, free, mentions span
}

// notFree is a free variable that the function around binds itself.
const notFree = -1

// mention is a place in a function's code, outside of the functions within it,
// that names a variable whose value is known before the code runs; or one of these functions.
type mention struct {
	kind    mentionKind
	index   int32 // of the global's name, the free variable or the function
	fields  span  // the attributes that follow, as in x.a.b
	pos     point
	call    int32 // the call whose function this is, or whose first argument if that is attempt; or notCall
	attempt bool
}

type mentionKind uint8

const (
	mentionsGlobal mentionKind = iota
	mentionsFree
	mentionsFunction
)

const notCall = -1

// form tells a call's arguments apart.
type form uint8

const (
	positional form = iota
	named
	unpacked // *x or **x
	forms
)

// position returns p as the interpreter writes it.
func (s *Summary) position(p point) syntax.Position {
	if p.line == 0 {
		return syntax.Position{}
	}
	return syntax.MakePosition(&s.path, p.line, p.col)
}

// Globals returns the module's globals and where each is bound first, in source order.
func (s *Summary) Globals() iter.Seq2[string, syntax.Position] {
	return func(yield func(string, syntax.Position) bool) {
		for _, g := range s.globals {
			if !yield(g.name, s.position(g.pos)) {
				return
			}
		}
	}
}

// find returns the index of the call at a position, or notCall.
func (s *Summary) find(paren syntax.Position) int {
	at := point{paren.Line, paren.Col}
	i, ok := slices.BinarySearchFunc(s.calls, at, func(c callSite, p point) int { return c.paren.compare(p) })
	if !ok {
		return notCall
	}
	return i
}

// CallStart returns where the call at a position begins; a zero position if there is none.
func (s *Summary) CallStart(paren syntax.Position) syntax.Position {
	if i := s.find(paren); i != notCall {
		return s.position(s.calls[i].start)
	}
	return syntax.Position{}
}

// CallMethod returns where the method's name stands in the call at a position,
// a zero position if it isn't written as one.
func (s *Summary) CallMethod(paren syntax.Position) syntax.Position {
	if i := s.find(paren); i != notCall {
		return s.position(s.calls[i].method)
	}
	return syntax.Position{}
}

// CallArgument returns where the named argument's value begins in the call at a
// position, a zero position if it isn't written there.
func (s *Summary) CallArgument(paren syntax.Position, name string) syntax.Position {
	i := s.find(paren)
	if i == notCall {
		return syntax.Position{}
	}
	span := s.calls[i].arguments
	for _, a := range s.arguments[span.from:span.to] {
		if a.form == named && s.names[a.name] == name {
			return s.position(a.pos)
		}
	}
	return syntax.Position{}
}

// Mention is a place in a function's code that names a variable whose value is
// known before the code runs, and its attributes.
type Mention struct {
	Global string // the global's name; or empty:
	Free   int    // the index of the function's free variable
	Fields []string
	Pos    syntax.Position
	// Call is the call whose function this is, or with Attempt one of the
	// predeclared attempt whose first argument this is; for [Summary.Call]. It is negative if there is none.
	Call    int
	Attempt bool
}

// Call is a call in a module's source.
type Call struct {
	Start     syntax.Position
	Arguments []Argument
	Unused    bool // it is a statement
}

// Argument is an argument of a call.
type Argument struct {
	Name     string          // of a named one
	Unpacked bool            // *x or **x
	Literal  plan.Kind       // as in [plan.Argument]
	Pos      syntax.Position // where the value begins
}

// Call returns a call by a [Mention]'s index.
func (s *Summary) Call(i int) Call {
	c := &s.calls[i]
	out := Call{Start: s.position(c.start), Unused: c.unused}
	for _, a := range s.arguments[c.arguments.from:c.arguments.to] {
		arg := Argument{Unpacked: a.form == unpacked, Literal: literalKinds[a.literal], Pos: s.position(a.pos)}
		if a.form == named {
			arg.Name = s.names[a.name]
		}
		out.Arguments = append(out.Arguments, arg)
	}
	return out
}

// function returns the index of the function at a position, or -1.
func (s *Summary) function(at syntax.Position) int {
	p := point{at.Line, at.Col}
	i := sort.Search(len(s.functions), func(i int) bool { return s.functions[i].pos.compare(p) >= 0 })
	if i == len(s.functions) || s.functions[i].pos != p {
		return -1
	}
	return i
}

// Defaults returns where the defaults of parameters begin, by their names, of the function at a position.
func (s *Summary) Defaults(function syntax.Position) map[string]syntax.Position {
	i := s.function(function)
	if i < 0 {
		return nil
	}
	out := map[string]syntax.Position{}
	span := s.functions[i].defaults
	for _, d := range s.defaults[span.from:span.to] {
		out[s.names[d.name]] = s.position(d.pos)
	}
	return out
}

// Mentions returns what the code of the function at a position names, in source
// order, the functions within it included. Free variables are the outer one's own.
func (s *Summary) Mentions(function syntax.Position) iter.Seq[Mention] {
	return func(yield func(Mention) bool) {
		if i := s.function(function); i >= 0 {
			s.walk(i, yield)
		}
	}
}

// within is a function on the way from the one that is asked about to one within it.
type within struct {
	mentions span
	free     []int32 // for its free variables: which of the outer function's it is, or notFree; nil: its own
}

// walk yields the mentions of a function. It has a stack of its own, as deep as functions nest.
func (s *Summary) walk(i int, yield func(Mention) bool) {
	way := []within{{mentions: s.functions[i].mentions}}
	for len(way) > 0 {
		in := &way[len(way)-1]
		if in.mentions.from == in.mentions.to {
			way = way[:len(way)-1]
			continue
		}
		m := &s.mentions[in.mentions.from]
		in.mentions.from++
		if m.kind == mentionsFunction {
			f := &s.functions[m.index]
			way = append(way, within{f.mentions, outer(s.free[f.free.from:f.free.to], in.free)})
			continue
		}
		free := m.index
		if m.kind == mentionsFree && in.free != nil {
			free = in.free[m.index]
		}
		if free != notFree && !yield(s.mention(m, int(free))) {
			return
		}
	}
}

// outer returns for free variables of a function what they are to the
// outermost one, given what those of the function around it are to that.
func outer(free, around []int32) []int32 {
	out := make([]int32, len(free))
	for i, f := range free {
		out[i] = f
		if f != notFree && around != nil {
			out[i] = around[f]
		}
	}
	return out
}

func (s *Summary) mention(m *mention, free int) Mention {
	out := Mention{Pos: s.position(m.pos), Free: free, Call: int(m.call), Attempt: m.attempt}
	if m.kind == mentionsGlobal {
		out.Global = s.names[m.index]
	}
	for _, f := range s.fields[m.fields.from:m.fields.to] {
		out.Fields = append(out.Fields, s.names[f])
	}
	return out
}
