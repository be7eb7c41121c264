package reach

import (
	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/interp/summary"
	"github.com/flytestar/flytestar/plan"
)

// sites collects the places where code calls a task outright, each once.
type sites struct {
	index map[*builtins.Task]int
	all   []plan.Site
	known map[siteKey]int // the index in all
	work  *work
}

// siteKey identifies a site: a call in a module, and the task. A function that is made several
// times may call another task from the same place each time.
type siteKey struct {
	module *interp.Module
	call   int
	task   *builtins.Task
}

// of returns the index of the site where the code calls a task that it mentions. rest are the
// attributes of the task that the code names. If the code doesn't call the task there, of returns
// noSite.
func (s *sites) of(t *builtins.Task, m *interp.Module, at summary.Mention, rest []string) int {
	how, ok := siteKind(at, rest)
	if !ok {
		return noSite
	}
	key := siteKey{m, at.Call, t}
	i, again := s.known[key]
	if !again {
		call := m.Summary.Call(at.Call)
		if !s.work.spend(reading * (1 + len(call.Arguments))) {
			return noSite
		}
		i = len(s.all)
		s.known[key] = i
		s.all = append(s.all, s.site(t, how, call))
	}
	return i
}

func siteKind(at summary.Mention, rest []string) (plan.SiteKind, bool) {
	switch {
	case at.Call < 0 || len(rest) > 1:
		return "", false
	case at.Attempt:
		return plan.SiteAttempt, len(rest) == 0
	case len(rest) == 0:
		return plan.SiteCall, true
	case rest[0] == "start":
		return plan.SiteStart, true
	}
	return plan.SiteMap, rest[0] == "map"
}

func (s *sites) site(t *builtins.Task, how plan.SiteKind, c summary.Call) plan.Site {
	out := plan.Site{Task: s.index[t], How: how, Pos: position(c.Start), Unused: c.Unused}
	if how == plan.SiteAttempt {
		c.Arguments = c.Arguments[1:] // the task itself
	}
	for _, a := range c.Arguments {
		if a.Unpacked {
			out.Open = true
		} else {
			out.Arguments = append(out.Arguments, plan.Argument{Name: a.Name, Literal: a.Literal, Pos: position(a.Pos)})
		}
	}
	return out
}
