// Package reach finds out which tasks an orchestrator can call, before any body runs.
//
// [Calls] decides it from values: an orchestrator calls every task that its function can reach,
// whichever branch is taken.
//
//   - mention.go lists the values that the code of one function names.
//   - calls.go follows these from function to function.
//   - sites.go notes where the code calls a task outright, with which arguments.
package reach

import (
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/plan"
)

// Calls returns the calls of every orchestrator, by caller, and the sites of these calls. index has
// the indices of the tasks, and all are the program's modules. Its error is a *diag.Error of class
// Limit.
func Calls(tasks []*builtins.Task, index map[*builtins.Task]int, all []*interp.Module) ([]plan.Call, []plan.Site, error) {
	w := &work{left: maxWork}
	s := search{mentions: newMentioner(all, index, w), work: w, index: index, callers: make([]foundCall, len(tasks))}
	known := map[*starlark.Function]span{}
	for _, t := range tasks {
		if t.Func == nil {
			continue
		}
		at, again := known[t.Func]
		if !again {
			at.from = len(s.calls)
			s.run(t.Func)
			at.to = len(s.calls)
			known[t.Func] = at
		}
		if again && w.spend(at.to-at.from) {
			s.calls = append(s.calls, s.calls[at.from:at.to]...)
			at = span{len(s.calls) - (at.to - at.from), len(s.calls)}
		}
		for i := at.from; i < at.to; i++ {
			s.calls[i].Caller = index[t]
		}
	}
	return s.calls, s.mentions.sites.all, w.err()
}

// span is a part of a slice.
type span struct{ from, to int }

// work bounds what finding the calls takes. A short file can have many orchestrators that each
// reach the same many functions or tasks.
type work struct{ left int }

// Following a mention takes 1. Reading one takes more, because it is kept.
const (
	maxWork = 20_000_000
	reading = 10
)

// spend reports whether there is work left to spend.
func (w *work) spend(n int) bool {
	w.left -= n
	return w.left >= 0
}

func (w *work) err() error {
	if w.left >= 0 {
		return nil
	}
	return diag.Errorf(diag.Position{}, diag.Limit, "finding what orchestrators can call takes more than %d steps", maxWork).
		WithHint("let fewer orchestrators share so many functions, or keep tasks out of large lists and dicts that they name")
}

// search finds what functions can call, one function after the other. Its first pass follows what
// code names outright. Its second pass follows the elements of containers that the first pass met:
// these, and everything that only these lead to, may be called.
type search struct {
	mentions *mentioner
	work     *work
	index    map[*builtins.Task]int
	calls    []plan.Call // of all functions

	number  int         // of this search, from 1
	callers []foundCall // by task: the last search that found it called
	sited   []int       // by site: the last search that came by
	queue   []*function // what the first pass has to follow
	later   []mention   // what the second pass starts from
}

// run appends the calls of fn.
func (s *search) run(fn *starlark.Function) {
	s.number++
	s.queue, s.later = s.queue[:0], s.later[:0]
	s.follow(mention{function: s.mentions.function(fn)})
	for i := 0; i < len(s.queue); i++ {
		for _, m := range s.mentions.of(s.queue[i]) {
			if !s.work.spend(1) {
				return
			}
			s.follow(m)
		}
	}
	for i := 0; i < len(s.later); i++ {
		if !s.work.spend(1) {
			return
		}
		s.suppose(s.later[i])
	}
}

// follow takes a mention in the first pass.
func (s *search) follow(m mention) {
	switch {
	case m.task != nil:
		s.found(m, false)
	case m.container != nil:
		s.later = append(s.later, m)
	case m.function.search != s.number:
		m.function.search = s.number
		s.queue = append(s.queue, m.function)
	}
}

// suppose takes a mention in the second pass.
func (s *search) suppose(m mention) {
	switch {
	case m.task != nil:
		s.found(m, true)
	case m.container != nil:
		s.open(m)
	case m.function.search != s.number:
		m.function.search = s.number
		s.later = append(s.later, s.mentions.of(m.function)...)
	}
}

// open takes what a container holds. The position is that of the container's mention.
func (s *search) open(m mention) {
	if m.container.search == s.number {
		return
	}
	m.container.search = s.number
	for _, held := range s.mentions.in(m.container) {
		held.pos = m.pos
		s.later = append(s.later, held)
	}
}

// found notes a call, unless it is known, and its site. So a call that the first pass found isn't
// only possible.
func (s *search) found(m mention, possible bool) {
	callee := s.index[m.task]
	known := &s.callers[callee]
	if known.search != s.number {
		*known = foundCall{s.number, len(s.calls)}
		s.calls = append(s.calls, plan.Call{Callee: callee, Pos: position(m.pos), Possible: possible})
	}
	if m.site == noSite {
		return
	}
	for len(s.sited) <= m.site {
		s.sited = append(s.sited, 0)
	}
	if s.sited[m.site] != s.number {
		s.sited[m.site] = s.number
		call := &s.calls[known.call]
		call.Sites = append(call.Sites, m.site)
	}
}

// foundCall is a call that a search has found, as an index of calls.
type foundCall struct{ search, call int }

// position translates a position.
func position(p syntax.Position) diag.Position {
	return diag.Position{File: p.Filename(), Line: int(p.Line), Col: int(p.Col)}
}
