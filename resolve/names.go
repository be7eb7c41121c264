package resolve

import (
	"github.com/flytestar/flytestar/internal/finding"
	"github.com/flytestar/flytestar/plan"
)

// duplicateNames is FS106. The evaluator reports it first. But its graph is untrusted, and
// everything after this takes names for identities.
func (c *checker) duplicateNames() {
	environments := make(map[string]int, len(c.graph.Environments))
	for i := range c.graph.Environments {
		e := &c.graph.Environments[i]
		if !c.scope.environments[i] {
			continue
		}
		if first, dup := environments[e.Name]; dup {
			c.findings.report(finding.DuplicateName("environments", e.Name, e.Pos, c.graph.Environments[first].Pos))
			continue
		}
		environments[e.Name] = i
	}
	type name struct {
		env  int
		task string
	}
	count := make([]int, len(c.graph.Environments))
	for i := range c.graph.Tasks {
		count[c.graph.Tasks[i].Env]++
	}
	tasks := map[name]int{}
	for i := range c.graph.Tasks {
		t := &c.graph.Tasks[i]
		if !c.scope.tasks[i] || count[t.Env] == 1 {
			continue
		}
		if first, dup := tasks[name{t.Env, t.Name}]; dup {
			c.findings.report(finding.DuplicateName("tasks", c.graph.FullName(i), t.Pos, c.graph.Tasks[first].Pos))
			continue
		}
		tasks[name{t.Env, t.Name}] = i
	}
}

// missingImages is FS108: a container task has no image to run in.
func (c *checker) missingImages() {
	for i := range c.graph.Tasks {
		t := &c.graph.Tasks[i]
		env := &c.graph.Environments[t.Env]
		if !c.scope.tasks[i] || !t.InContainer() || env.Image != plan.NoImage {
			continue
		}
		c.findings.report(finding.MissingImage(c.graph, i))
	}
}
