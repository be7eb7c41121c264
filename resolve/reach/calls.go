package reach

import (
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// findCalls returns the calls of every orchestrator, by caller. index has the tasks' indices.
func findCalls(tasks []*builtins.Task, index map[*builtins.Task]int, all []*interp.Module) []plan.Call {
	mentions := newMentioner(all)
	var calls []plan.Call
	for _, t := range tasks {
		if t.Func == nil {
			continue
		}
		s := newSearch(mentions)
		s.run(t.Func)
		for _, callee := range s.order {
			c := s.calls[callee]
			c.Caller, c.Callee = index[t], index[callee]
			calls = append(calls, c)
		}
	}
	return calls
}

// search finds what one function can call. First it follows what code
// names outright, then what lies in the containers met on the way: their
// elements, and all that only these lead to, may be called.
type search struct {
	mentions  *mentioner
	functions map[*starlark.Function]bool // those that have been queued
	inside    map[any]bool                // containers that have been opened, by identity
	queue     []mention                   // functions to follow, from the first pass
	later     []mention                   // what the second pass starts from
	order     []*builtins.Task            // keys of calls, in the order in which they were found
	calls     map[*builtins.Task]plan.Call
}

func newSearch(m *mentioner) *search {
	return &search{
		mentions:  m,
		functions: map[*starlark.Function]bool{},
		inside:    map[any]bool{},
		calls:     map[*builtins.Task]plan.Call{},
	}
}

func (s *search) run(fn *starlark.Function) {
	s.follow(mention{value: fn})
	for i := 0; i < len(s.queue); i++ {
		for _, m := range s.mentions.of(s.queue[i].value.(*starlark.Function)) {
			s.follow(m)
		}
	}
	for i := 0; i < len(s.later); i++ {
		s.suppose(s.later[i])
	}
}

// follow takes what code names outright.
func (s *search) follow(m mention) {
	switch v := m.value.(type) {
	case *builtins.Task:
		s.found(v, m.pos, false)
	case *starlark.Function:
		if !s.functions[v] {
			s.functions[v] = true
			s.queue = append(s.queue, m)
		}
	case *starlark.Builtin:
		if v.Receiver() != nil {
			s.follow(mention{v.Receiver(), m.pos})
		}
	default:
		s.later = append(s.later, m)
	}
}

// suppose takes what a container's look-up could give.
func (s *search) suppose(m mention) {
	switch v := m.value.(type) {
	case *builtins.Task:
		s.found(v, m.pos, true)
	case *starlark.Function:
		if !s.functions[v] {
			s.functions[v] = true
			s.later = append(s.later, s.mentions.of(v)...)
		}
	case *starlark.Builtin:
		if v.Receiver() != nil {
			s.later = append(s.later, mention{v.Receiver(), m.pos})
		}
	default:
		id := identity(v)
		if id == nil || s.inside[id] {
			return
		}
		s.inside[id] = true
		for _, child := range contents(v) {
			if leads(child) {
				s.later = append(s.later, mention{child, m.pos})
			}
		}
	}
}

// found notes a call, unless it is known. The first pass has been before the second.
func (s *search) found(t *builtins.Task, pos diag.Position, possible bool) {
	if _, ok := s.calls[t]; !ok {
		s.order = append(s.order, t)
		s.calls[t] = plan.Call{Pos: pos, Possible: possible}
	}
}

// identity returns a key for a container that holds something, else nil.
func identity(v starlark.Value) any {
	switch v := v.(type) {
	case starlark.Tuple:
		if len(v) == 0 {
			return nil
		}
		return [2]any{&v[0], len(v)}
	case *starlark.List, *starlark.Dict, *starlark.Set, *starlarkstruct.Struct, *starlarkstruct.Module:
		return v
	}
	return nil
}

// contents returns what a container holds, a dict's keys included.
func contents(v starlark.Value) []starlark.Value {
	var out []starlark.Value
	switch v := v.(type) {
	case *starlark.Dict:
		for k, x := range v.Entries() {
			out = append(out, k, x)
		}
	case starlark.Sequence:
		for x := range starlark.Elements(v) {
			out = append(out, x)
		}
	case *starlarkstruct.Module:
		for _, name := range v.Members.Keys() {
			out = append(out, v.Members[name])
		}
	case *starlarkstruct.Struct:
		for _, name := range v.AttrNames() {
			if x, err := v.Attr(name); err == nil {
				out = append(out, x)
			}
		}
	}
	return out
}
