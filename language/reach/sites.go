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
		s.all = append(s.all, s.site(t, how, at, call))
	}
	return i
}

func siteKind(at summary.Mention, rest []string) (plan.SiteKind, bool) {
	method := ""
	switch {
	case at.Call < 0 || len(rest) > 1:
		return "", false
	case at.Over == summary.NotOver:
		if len(rest) == 1 {
			method = rest[0]
		}
	case len(rest) == 0 || rest[0] != "override":
		return "", false
	default:
		var ok bool
		if method, ok = overMethods[at.Over]; !ok {
			return "", false
		}
	}
	switch at.Via {
	case summary.ViaAttempt:
		return plan.SiteAttempt, method == ""
	case summary.ViaStart:
		return plan.SiteStart, method == ""
	}
	how, ok := siteKinds[method]
	return how, ok
}

// overMethods are the methods that are called of what override returns; "" is a call of it.
var overMethods = map[summary.Over]string{summary.OverCall: "", summary.OverStart: "start", summary.OverMap: "map"}

// siteKinds are the kinds of calls by a task's method; "" is a call of the task.
var siteKinds = map[string]plan.SiteKind{"": plan.SiteCall, "start": plan.SiteStart, "map": plan.SiteMap}

func (s *sites) site(t *builtins.Task, how plan.SiteKind, at summary.Mention, c summary.Call) plan.Site {
	out := plan.Site{Task: s.index[t], How: how, Pos: position(c.Start), Unused: c.Unused}
	if at.Via != summary.Direct {
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
