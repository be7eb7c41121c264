package resolve

import (
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Task returns the index in g.Tasks of the task that a user means by its full or short name. A
// short name means a task that the entry file lists rather than one of another module. An unknown
// or ambiguous name is a *diag.Error of class Usage.
func Task(g *plan.Graph, name string) (int, error) {
	var listed, others []int
	for i := range g.Tasks {
		switch t := &g.Tasks[i]; {
		case g.FullName(i) == name:
			return i, nil
		case t.Name != name:
		case t.Listed:
			listed = append(listed, i)
		default:
			others = append(others, i)
		}
	}
	if len(listed) == 0 {
		listed = others
	}
	switch len(listed) {
	case 0:
		return 0, unknownTask(g, name)
	case 1:
		return listed[0], nil
	}
	return 0, diag.Errorf(diag.Position{}, diag.Usage, "several tasks are called %q", name).
		WithHint("name one in full: %s", strings.Join(fullNames(g, listed), ", "))
}

func fullNames(g *plan.Graph, tasks []int) []string {
	names := make([]string, len(tasks))
	for i, t := range tasks {
		names[i] = g.FullName(t)
	}
	return names
}

func unknownTask(g *plan.Graph, name string) error {
	e := diag.Errorf(diag.Position{}, diag.Usage, "%s has no task %q", g.Entry, name)
	var short, listed, full []string
	seen := map[string]bool{}
	for i := range g.Tasks {
		t := &g.Tasks[i]
		full, short = append(full, g.FullName(i)), append(short, t.Name)
		if t.Listed && !seen[t.Name] {
			seen[t.Name] = true
			listed = append(listed, t.Name)
		}
	}
	candidates := short
	if strings.Contains(name, ".") {
		candidates = full
	}
	near := diag.Suggest(name, candidates)
	switch {
	case near != "":
		return e.WithHint("did you mean %q?", near)
	case len(listed) == 0:
		return e.WithHint("the file has no tasks: bind one to a global, or load one")
	case len(listed) > maxNamed:
		return e.WithHint("its tasks are %s and %d more", strings.Join(listed[:maxNamed], ", "), len(listed)-maxNamed)
	}
	return e.WithHint("its tasks are %s", strings.Join(listed, ", "))
}
