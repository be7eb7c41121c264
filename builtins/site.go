package builtins

import (
	"sort"
	"sync"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
)

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
	if call := r.calls.find(s.At); call != nil {
		start, _ := call.Span()
		return positionOf(start)
	}
	return positionOf(s.At)
}

// MethodPosition returns where the method's name stands in the call at s, or
// the call's start if it isn't written as one.
func (r *Registry) MethodPosition(s Site) diag.Position {
	if call := r.calls.find(s.At); call != nil {
		if dot, ok := call.Fn.(*syntax.DotExpr); ok {
			return positionOf(dot.Name.NamePos)
		}
	}
	return r.Position(s)
}

// ArgumentPosition returns where the named argument's value starts in the call at s,
// or the call's start if it isn't written there.
func (r *Registry) ArgumentPosition(s Site, name string) diag.Position {
	if call := r.calls.find(s.At); call != nil {
		for _, arg := range call.Args {
			eq, ok := arg.(*syntax.BinaryExpr)
			if !ok || eq.Op != syntax.EQ {
				continue
			}
			if id, ok := eq.X.(*syntax.Ident); ok && id.Name == name {
				start, _ := eq.Y.Span()
				return positionOf(start)
			}
		}
	}
	return r.Position(s)
}

// callIndex finds a call expression by its opening parenthesis. A module is
// indexed when it is first asked for.
type callIndex struct {
	mu    *sync.Mutex // bodies ask from several goroutines
	files map[string]*syntax.File
	calls map[string]map[[2]int32]*syntax.CallExpr
}

func newCallIndex() callIndex {
	return callIndex{new(sync.Mutex), map[string]*syntax.File{}, map[string]map[[2]int32]*syntax.CallExpr{}}
}

func (x *callIndex) add(path string, file *syntax.File) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.files[path] = file
}

// find returns nil where the position isn't one of a call in a finished module.
func (x *callIndex) find(pos syntax.Position) *syntax.CallExpr {
	x.mu.Lock()
	defer x.mu.Unlock()
	path := pos.Filename()
	calls, ok := x.calls[path]
	if file := x.files[path]; !ok && file != nil {
		calls = map[[2]int32]*syntax.CallExpr{}
		syntax.Walk(file, func(n syntax.Node) bool {
			if call, ok := n.(*syntax.CallExpr); ok {
				calls[[2]int32{call.Lparen.Line, call.Lparen.Col}] = call
			}
			return true
		})
		x.calls[path] = calls
	}
	return calls[[2]int32{pos.Line, pos.Col}]
}

// boundIn returns the first binding of each of the file's globals, in source order.
func boundIn(file *syntax.File) []*syntax.Ident {
	module, ok := file.Module.(*resolve.Module)
	if !ok {
		return nil
	}
	ids := make([]*syntax.Ident, 0, len(module.Globals))
	for _, b := range module.Globals {
		ids = append(ids, b.First)
	}
	sort.Slice(ids, func(i, j int) bool {
		a, b := ids[i].NamePos, ids[j].NamePos
		return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col
	})
	return ids
}
