// Package site says where in the source a call stands. A [Site] is what Starlark knows of it, and
// is cheap to note. [Sources] makes a position of it later, by what a module's syntax says.
package site

import (
	"iter"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
)

// Source says where things stand in a module's syntax. Its methods find a call by the position of
// its opening parenthesis, and return a zero position if there is no such call or part of it.
type Source interface {
	// Globals returns the module's globals and where each is bound first, in source order.
	Globals() iter.Seq2[string, syntax.Position]
	// CallStart returns where a call begins.
	CallStart(call syntax.Position) syntax.Position
	// CallMethod returns where the method's name stands in a call.
	CallMethod(call syntax.Position) syntax.Position
	// CallArgument returns where the value of a named argument begins in a call.
	CallArgument(call syntax.Position, name string) syntax.Position
}

// Site is where a call was made, by its opening parenthesis as Starlark has it.
type Site struct {
	At   syntax.Position
	From syntax.Position // of the top-level call that led there, where At is in a function; else zero
}

// Of returns where the builtin that th runs was called.
func Of(th *starlark.Thread) Site {
	var s Site
	for i := range th.CallStackDepth() {
		pos := th.CallFrame(i).Pos
		if pos.Line == 0 { // a builtin's frame
			continue
		}
		if s.At.Line == 0 {
			s.At = pos
		} else {
			s.From = pos
		}
	}
	return s
}

// Position translates a position.
func Position(p syntax.Position) diag.Position {
	return diag.Position{File: p.Filename(), Line: int(p.Line), Col: int(p.Col)}
}

// Start returns the start of the call at s.
func (x *Sources) Start(s Site) diag.Position {
	return x.place(s, Source.CallStart)
}

// Method returns where the method's name stands in the call at s, or the call's start if the call
// isn't of the form x.name(…).
func (x *Sources) Method(s Site) diag.Position {
	return x.place(s, Source.CallMethod)
}

// Argument returns where the value of the named argument starts in the call at s, or the call's
// start if the call doesn't spell that argument out.
func (x *Sources) Argument(s Site, name string) diag.Position {
	return x.place(s, func(source Source, call syntax.Position) syntax.Position { return source.CallArgument(call, name) })
}

// place returns the position that ask gives, or else the call's start, or else the site's own
// position.
func (x *Sources) place(s Site, ask func(Source, syntax.Position) syntax.Position) diag.Position {
	source := x.of(s.At)
	if source == nil {
		return Position(s.At)
	}
	for _, pos := range []syntax.Position{ask(source, s.At), source.CallStart(s.At)} {
		if pos.Line != 0 {
			return Position(pos)
		}
	}
	return Position(s.At)
}

// Sources holds the sources of the modules that have finished, by path. Several goroutines may use
// it.
type Sources struct {
	mu     sync.RWMutex
	byPath map[string]Source
}

// Add adds the module at path.
func (x *Sources) Add(path string, s Source) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byPath == nil {
		x.byPath = map[string]Source{}
	}
	x.byPath[path] = s
}

func (x *Sources) of(pos syntax.Position) Source {
	if pos.Line == 0 {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.byPath[pos.Filename()]
}
