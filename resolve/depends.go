package resolve

import (
	"fmt"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/finding"
	"github.com/flytestar/flytestar/plan"
)

// dependencies is FS101: a task calls into an environment that its own doesn't reach through
// depends_on.
func (c *checker) dependencies() {
	missing, transitive := c.indirect()
	c.transitive = transitive
	c.suggestDependencies(finding.Dependency, missing, func(e edge) *diag.Error { return finding.MissingDependency(c.graph, e.call) })
}

// suggestDependencies reports findings that another dependency mends. about begins one.
func (c *checker) suggestDependencies(rule diag.Rule, edges []edge, about func(edge) *diag.Error) {
	if len(edges) == 0 {
		return
	}
	shown := edges[:min(len(edges), maxFindings)]
	backward := make([]pair, len(shown))
	for i, e := range shown {
		backward[i] = pair{e.to, e.from}
	}
	cyclic := reaches(len(c.graph.Environments), c.dependsOn, backward)
	loads := c.loadsBack(shown)
	for i, e := range shown {
		from, to := &c.graph.Environments[e.from], &c.graph.Environments[e.to]
		f := about(e)
		f.Severity = e.severityOf(rule)
		var fixable bool
		f.Hint, fixable = c.dependsHint(e, cyclic[i], loads[i])
		if fixable {
			f.Fix = dependencyFix(diag.FixAddDependency, from, to)
		}
		c.findings.report(f)
	}
	for _, e := range edges[len(shown):] {
		c.findings.skip(rule.Code, e.severityOf(rule))
	}
}

// dependencyFix returns an edit of from's depends_on.
func dependencyFix(kind diag.FixKind, from, to *plan.Environment) *diag.Fix {
	f := &diag.Fix{Kind: kind, Pos: from.Pos, Symbol: to.Global, Module: moduleOf(to)}
	if from.DependsOnPos != from.Pos {
		f.List = from.DependsOnPos
	}
	return f
}

// indirect returns the edges whose target isn't in the source's depends_on. Those in missing aren't
// in its closure either; those in transitive are.
func (c *checker) indirect() (missing, transitive []edge) {
	direct := make([]int, len(c.graph.Environments)) // direct[e] == from+1: from depends on e itself
	marked := -1
	indirect, pairs := make([]edge, 0, len(c.edges)), make([]pair, 0, len(c.edges))
	for _, e := range c.edges {
		if e.from != marked {
			marked = e.from
			for _, d := range c.dependsOn(e.from) {
				direct[d] = e.from + 1
			}
		}
		if direct[e.to] != e.from+1 {
			indirect = append(indirect, e)
			pairs = append(pairs, pair{e.from, e.to})
		}
	}
	for i, reached := range reaches(len(c.graph.Environments), c.dependsOn, pairs) {
		if reached {
			transitive = append(transitive, indirect[i])
		} else {
			missing = append(missing, indirect[i])
		}
	}
	return missing, transitive
}

// dependsHint says which edit mends a missing dependency, and whether lint --fix can make it.
func (c *checker) dependsHint(e edge, cyclic, loadsBack bool) (hint string, fixable bool) {
	from, to := &c.graph.Environments[e.from], &c.graph.Environments[e.to]
	edit := fmt.Sprintf("add %s to depends_on of %q", to.Global, from.Name)
	if from.DependsOnPos == from.Pos {
		edit = fmt.Sprintf("give %q depends_on = [%s]", from.Name, to.Global)
	}
	here, there := moduleOf(from), moduleOf(to)
	elsewhere := here != there
	switch {
	case cyclic:
		return fmt.Sprintf("%q depends on %q already, and the other way round would be a cycle: put both tasks in one environment", to.Name, from.Name), false
	case to.Global == "" || elsewhere && strings.HasPrefix(to.Global, "_"):
		return fmt.Sprintf("bind environment %q to a global without a leading underscore, and add that to depends_on of %q", to.Name, from.Name), false
	case elsewhere && loadsBack:
		return fmt.Sprintf("%s, which needs a module that both can load, since %s loads %s already; or put both tasks in one environment", edit, there, here), false
	case elsewhere:
		return fmt.Sprintf("%s, with load(%q, %q)", edit, plan.LoadPath(here, there), to.Global), true
	}
	return edit, true
}

// moduleOf returns the module that an environment's global is in. If a macro made the environment,
// that isn't the module of the constructor's call.
func moduleOf(e *plan.Environment) string {
	if e.Module != "" {
		return e.Module
	}
	return e.Pos.File
}

// loadsBack reports for each edge whether the module of its target loads the module of its source,
// directly or not. If so, a load the other way would be FS105.
func (c *checker) loadsBack(edges []edge) []bool {
	index := map[string]int{}
	for i, m := range c.graph.Modules {
		index[m.Path] = i
	}
	next := make([][]int32, len(c.graph.Modules))
	for i, m := range c.graph.Modules {
		for _, l := range m.Loads {
			if to, ok := index[l.Path]; ok {
				next[i] = append(next[i], int32(to))
			}
		}
	}
	answers := make([]bool, len(edges))
	var pairs []pair
	var asked []int
	for i, e := range edges {
		from, ok1 := index[moduleOf(&c.graph.Environments[e.from])]
		to, ok2 := index[moduleOf(&c.graph.Environments[e.to])]
		if ok1 && ok2 {
			pairs, asked = append(pairs, pair{to, from}), append(asked, i)
		}
	}
	for i, yes := range reaches(len(next), func(m int) []int32 { return next[m] }, pairs) {
		answers[asked[i]] = yes
	}
	return answers
}
