package resolve

import (
	"fmt"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// duplicateNames is FS106. The evaluator reports it first; its graph is
// untrusted, and everything after this takes names for identities.
func (c *checker) duplicateNames() {
	environments := make(map[string]int, len(c.graph.Environments))
	for i := range c.graph.Environments {
		e := &c.graph.Environments[i]
		if !c.scope.environments[i] {
			continue
		}
		if first, dup := environments[e.Name]; dup {
			c.duplicate(fmt.Sprintf("two environments have the name %q", e.Name), e.Pos, c.graph.Environments[first].Pos)
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
			c.duplicate(fmt.Sprintf("two tasks have the name %q", c.graph.FullName(i)), t.Pos, c.graph.Tasks[first].Pos)
			continue
		}
		tasks[name{t.Env, t.Name}] = i
	}
}

func (c *checker) duplicate(msg string, pos, first diag.Position) {
	f := duplicateName.Finding(pos, "%s", msg).WithHint("give one of them another name")
	f.Notes = []diag.Note{{Pos: first, Msg: "the first"}}
	c.findings.report(f)
}

// missingImages is FS108: a container task has nothing to run in.
func (c *checker) missingImages() {
	for i := range c.graph.Tasks {
		t := &c.graph.Tasks[i]
		env := &c.graph.Environments[t.Env]
		if !c.scope.tasks[i] || !t.InContainer() || env.Image != plan.NoImage {
			continue
		}
		f := missingImage.Finding(t.Pos, "task %s runs in a container, but its environment has no image", c.graph.FullName(i)).
			WithHint("give the environment one: task_environment(name = %q, image = image.from_debian_base(), …)", env.Name)
		f.Notes = []diag.Note{{Pos: env.Pos, Msg: fmt.Sprintf("environment %q", env.Name)}}
		c.findings.report(f)
	}
}
