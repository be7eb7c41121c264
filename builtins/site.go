package builtins

import (
	"iter"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
)

// Source is what the registry asks of a module's syntax. Calls are found by the
// position of their opening parenthesis; where there is no such thing as is asked for, a position is zero.
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

// Site is where a call was made, in Starlark's own terms: by its opening parenthesis.
type Site struct {
	At   syntax.Position
	From syntax.Position // of the top-level call that led there, where At is in a function; else zero
}

// siteOf returns where the builtin that th runs was called.
func siteOf(th *starlark.Thread) Site {
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

// positionOf translates a position.
func positionOf(p syntax.Position) diag.Position {
	return diag.Position{File: p.Filename(), Line: int(p.Line), Col: int(p.Col)}
}

// Position returns the start of the call at s.
func (r *Registry) Position(s Site) diag.Position {
	return r.place(s, Source.CallStart)
}

// MethodPosition returns where the method's name stands in the call at s, or
// the call's start if it isn't written as one.
func (r *Registry) MethodPosition(s Site) diag.Position {
	return r.place(s, Source.CallMethod)
}

// ArgumentPosition returns where the named argument's value starts in the call at s,
// or the call's start if it isn't written there.
func (r *Registry) ArgumentPosition(s Site, name string) diag.Position {
	return r.place(s, func(source Source, call syntax.Position) syntax.Position { return source.CallArgument(call, name) })
}

// place returns the position that ask gives, else that of the call's start, else the site's own.
func (r *Registry) place(s Site, ask func(Source, syntax.Position) syntax.Position) diag.Position {
	source := r.sources.of(s.At)
	if source == nil {
		return positionOf(s.At)
	}
	for _, pos := range []syntax.Position{ask(source, s.At), source.CallStart(s.At)} {
		if pos.Line != 0 {
			return positionOf(pos)
		}
	}
	return positionOf(s.At)
}

// sources are the finished modules' by path. Bodies ask from several goroutines.
type sources struct {
	mu     sync.RWMutex
	byPath map[string]Source
}

func (x *sources) add(path string, s Source) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byPath[path] = s
}

func (x *sources) of(pos syntax.Position) Source {
	if pos.Line == 0 {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.byPath[pos.Filename()]
}
