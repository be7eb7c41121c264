// Package summary keeps what is needed of a module's syntax after the module has been compiled.
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

// Summary says what a module loads and binds, where its calls and their arguments stand, and what
// the code of its functions names. It is plain data.
//
// Positions are as in starlark's call stacks: a call is at its opening parenthesis, a function at
// its def or lambda.
type Summary struct {
	path      string   // the module's path, the file of every position
	names     []string // the other fields refer to these
	loads     []Load
	globals   []bound    // the first binding of each, in source order
	calls     []callSite // in source order
	arguments []argument
	functions []function // in source order; a nested function comes after the one around it
	defaults  []argument // of parameters; all are named
	free      []int32    // for each free variable of a function: which one of the function around it is, or notFree
	mentions  []mention  // by function, in source order
	fields    []int32    // names in mentions
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
	From, To string // its name in the loaded module and in this one
	Pos      syntax.Position
}

// Loads returns the load statements at the top level, in source order. The caller doesn't change
// them.
func (s *Summary) Loads() []Load { return s.loads }

type bound struct {
	name string
	pos  point
}

type callSite struct {
	paren, start point
	method       point // of the name in x.name(…), else zero
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

// notFree stands for a free variable that the function around binds itself.
const notFree = -1

// mention is a place in a function's code that names a variable whose value is known before the
// code runs, or where a nested function stands. What a nested function names is its own.
type mention struct {
	kind   mentionKind
	index  int32 // of the global's name, the free variable or the function
	fields span  // the attributes that follow, as in x.a.b
	pos    point
	call   int32 // the call of this function, or of via with this as its first argument; or notCall
	via    Via
	over   Over
}

type mentionKind uint8

const (
	mentionsGlobal mentionKind = iota
	mentionsFree
	mentionsFunction
)

const notCall = -1

// form is how an argument is written.
type form uint8

const (
	positional form = iota
	named
	unpacked // *x or **x
	forms
)

// position returns p as the interpreter has it.
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

// CallStart returns where the call at a position begins, or a zero position if there is no such
// call.
func (s *Summary) CallStart(paren syntax.Position) syntax.Position {
	if i := s.find(paren); i != notCall {
		return s.position(s.calls[i].start)
	}
	return syntax.Position{}
}

// CallMethod returns where the method's name stands in the call at a position, or a zero position
// if the call isn't of the form x.name(…).
func (s *Summary) CallMethod(paren syntax.Position) syntax.Position {
	if i := s.find(paren); i != notCall {
		return s.position(s.calls[i].method)
	}
	return syntax.Position{}
}

// CallArgument returns where the value of a named argument begins in the call at a position, or a
// zero position if the call doesn't spell that argument out.
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

// Mention is a place in a function's code that names a variable whose value is known before the
// code runs, and attributes of it.
type Mention struct {
	Global string // the global's name; empty for a free variable
	Free   int    // the index of the free variable
	Fields []string
	Pos    syntax.Position
	// Call is the index of the call of this function, for [Summary.Call]; with Via, of the call of
	// that predeclared function that has this as its first argument. It is negative if there is no
	// call. With Over, what is called is what the method override returned, the last of Fields.
	Call int
	Via  Via
	Over Over
}

// Via is a predeclared function that calls its first argument.
type Via uint8

// The functions that call others.
const (
	Direct Via = iota // none
	ViaAttempt
	ViaStart
	vias
)

// callers are the names of the predeclared functions that call their first arguments.
var callers = map[string]Via{"attempt": ViaAttempt, "start": ViaStart}

// Over says what is called of the result of x.override(…).
type Over uint8

// What is called.
const (
	NotOver   Over = iota // there is no override
	OverCall              // the result itself
	OverStart             // its method start
	OverMap               // its method map
	OverOther             // another method
	overs
)

// methods are what may be called of an override's result.
var methods = map[string]Over{"start": OverStart, "map": OverMap}

// Call is a call in a module's source.
type Call struct {
	Start     syntax.Position
	Arguments []Argument
	Unused    bool // it is a statement of its own
}

// Argument is an argument of a call.
type Argument struct {
	Name     string          // of a named argument
	Unpacked bool            // *x or **x
	Literal  plan.Kind       // as in [plan.Argument]
	Pos      syntax.Position // where the value begins
}

// Call returns the call with that index, see [Mention].
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

// Defaults returns where the defaults of a function's parameters begin, by parameter. The function
// is at a position.
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

// Mentions returns what the code of the function at a position names, in source order. It includes
// what nested functions name. Free variables are those of the function at the position.
func (s *Summary) Mentions(function syntax.Position) iter.Seq[Mention] {
	return func(yield func(Mention) bool) {
		if i := s.function(function); i >= 0 {
			s.walk(i, yield)
		}
	}
}

// within is a function on the way from an outer function to a nested one.
type within struct {
	mentions span
	free     []int32 // for each of its free variables: which of the outermost function's it is, or notFree; nil: the same
}

// walk yields the mentions of a function and of those nested in it. It doesn't recurse.
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

// outer returns which free variables of the outermost function the free variables of a nested one
// are. around has the same for the function around the nested one.
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
	out := Mention{Pos: s.position(m.pos), Free: free, Call: int(m.call), Via: m.via, Over: m.over}
	if m.kind == mentionsGlobal {
		out.Global = s.names[m.index]
	}
	for _, f := range s.fields[m.fields.from:m.fields.to] {
		out.Fields = append(out.Fields, s.names[f])
	}
	return out
}
