package language

import (
	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/builtins/site"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/finding"
)

// checkNames returns a diag.List of the environments and tasks with another's name, and of the
// tasks without a name.
func checkNames(r *builtins.Registry) error {
	var found diag.List
	envs := map[string]*builtins.Environment{}
	for _, e := range r.Environments {
		if first := envs[e.Name]; first != nil {
			found = append(found, duplicate(r, "environments", e.Name, e.Site, first.Site))
		} else {
			envs[e.Name] = e
		}
	}
	tasks := map[string]*builtins.Task{}
	for _, t := range r.Tasks {
		name := t.FullName()
		switch first := tasks[name]; {
		case t.Decl.Name == "":
			found = append(found, nameless(r, t))
		case first != nil && first.Env == t.Env: // otherwise the finding is about the environments' names
			found = append(found, duplicate(r, "tasks", name, t.Site, first.Site))
		default:
			tasks[name] = t
		}
	}
	found.Sort()
	return found.Err()
}

func duplicate(r *builtins.Registry, what, name string, at, first site.Site) *diag.Error {
	e := finding.DuplicateName(what, name, r.Sources.Start(at), r.Sources.Start(first))
	e.Notes = append(e.Notes, callers(r, "the first", first)...)
	e.Notes = append(e.Notes, callers(r, "the second", at)...)
	return e
}

// callers returns a note on the top-level call that led to the site. A site at the top level has
// none.
func callers(r *builtins.Registry, what string, s site.Site) []diag.Note {
	if s.From.Line == 0 {
		return nil
	}
	return []diag.Note{{Pos: r.Sources.Start(site.Site{At: s.From}), Msg: what + " is made by this call"}}
}

func nameless(r *builtins.Registry, t *builtins.Task) *diag.Error {
	e := diag.Errorf(r.Sources.Start(t.Site), diag.Source, "the task has no name")
	e.Code = "FS109"
	e.Notes = callers(r, "it", t.Site)
	return e.WithHint(`bind it to a global of a module, or give it name = "..."`)
}
