package resolve

import (
	"github.com/flytestar/flytestar/diag"
)

// unreachedTasks is FS208. It looks at the tasks of the entry file: a library's tasks are there for
// other workflows.
func (c *checker) unreachedTasks() {
	g := c.graph
	var roots []int
	for i := range g.Tasks {
		if g.Tasks[i].Listed {
			roots = append(roots, i)
		}
	}
	reached := callable(g, roots...)
	for i := range g.Tasks {
		t := &g.Tasks[i]
		if reached[i] || t.Pos.File != g.Entry {
			continue
		}
		c.findings.reportLater(unreachedTask.Code, unreachedTask.Severity, func() *diag.Error {
			return unreachedTask.Finding(t.Pos, "nothing reaches task %s: no global is bound to it, and no task that one is bound to calls it", g.FullName(i)).
				WithHint("bind it to a global, or remove it")
		})
	}
}

// missingTimeouts is FS209. It is a warning for a task that waits for others.
func (c *checker) missingTimeouts() {
	for i := range c.graph.Tasks {
		t := &c.graph.Tasks[i]
		if !t.InContainer() || t.Timeout > 0 {
			continue
		}
		severity, why := missingTimeout.Severity, ""
		if c.graph.Environments[t.Env].Network {
			severity, why = diag.SeverityWarning, " and waits for the network as long as it takes"
		}
		c.findings.reportLater(missingTimeout.Code, severity, func() *diag.Error {
			f := missingTimeout.Finding(t.Pos, "task %s has no timeout%s", c.graph.FullName(i), why).
				WithHint(`give it the time that an attempt may take: timeout = "10m"`)
			f.Severity = severity
			return f
		})
	}
}

// unusedNetworks is FS210, for environments without container tasks, and for commands that only
// handle files.
func (c *checker) unusedNetworks() {
	g := c.graph
	tasks := make([]bool, len(g.Environments))
	for i := range g.Tasks {
		tasks[g.Tasks[i].Env] = true
	}
	for i := range g.Environments {
		if e := &g.Environments[i]; e.Network && tasks[i] && !c.containers[i] {
			c.findings.report(unusedNetwork.Finding(e.Pos, "%q has network, but none of its tasks runs in a container", e.Name).
				WithHint("leave network out: orchestrators have none"))
		}
	}
	for i := range g.Images {
		for n := range g.Images[i].Steps {
			if s := &g.Images[i].Steps[n]; s.Network && len(s.Commands) > 0 && local(s.Commands) {
				c.findings.report(unusedNetwork.Finding(s.Pos, "the commands have network, but only handle files").
					WithHint("leave network out"))
			}
		}
	}
}
