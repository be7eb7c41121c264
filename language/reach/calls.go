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

// Calls returns the calls of every orchestrator, by caller, and the sites of these calls. index has the tasks' indices.
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

// work bounds what finding the calls takes: that each of many orchestrators
// reaches each of many functions or tasks takes few lines to write.
type work struct{ left int }

// What it takes: following one mention takes 1. Reading takes more, since what is read is kept.
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

// search finds what functions can call, one after the other. First it follows what code
// names outright, then what lies in the containers met on the way: their
// elements, and all that only these lead to, may be called.
type search struct {
	mentions *mentioner
	work     *work
	index    map[*builtins.Task]int
	calls    []plan.Call // of all functions

	number  int         // of this search, from 1
	callers []foundCall // by task: the last search that has found it called
	sited   []int       // by site: the last search that has come by
	queue   []*function // to follow, from the first pass
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

// follow takes what code names outright.
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

// suppose takes what a container's look-up could give.
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

// open takes what a container holds, at the position where that is mentioned.
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

// found notes a call, unless it is known, and its site. The first pass has been before the second.
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

// foundCall is a call that a search has found, as an index of its calls.
type foundCall struct{ search, call int }

// position translates a position.
func position(p syntax.Position) diag.Position {
	return diag.Position{File: p.Filename(), Line: int(p.Line), Col: int(p.Col)}
}
