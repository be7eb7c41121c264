package resolve

import (
	"fmt"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/finding"
	"github.com/flytestar/flytestar/plan"
)

// differentBases is FS201: the callee may use what comes with its base. That isn't declared, so
// nothing shows that the caller's image has it.
func (c *checker) differentBases() {
	seen := map[[2]int]bool{} // pairs of images
	for _, e := range c.edges {
		pair := [2]int{c.graph.Environments[e.from].Image, c.graph.Environments[e.to].Image}
		if pair[0] == plan.NoImage || pair[1] == plan.NoImage || e.call.Possible {
			continue
		}
		from, to := c.graph.Images[pair[0]].Base, c.graph.Images[pair[1]].Base
		if sameBase(from, to) || seen[pair] {
			continue
		}
		seen[pair] = true
		c.findings.reportLater(differentBases.Code, differentBases.Severity, func() *diag.Error {
			f := c.finding(e, differentBases)
			f.Msg += fmt.Sprintf(", but their images start from %s and %s", describeBase(from), describeBase(to))
			f.Notes = []diag.Note{
				{Pos: from.Pos, Msg: fmt.Sprintf("the base of %q", c.graph.Environments[e.from].Name)},
				{Pos: to.Pos, Msg: fmt.Sprintf("the base of %q", c.graph.Environments[e.to].Name)},
			}
			return f.WithHint("start both from one base, or %s", c.withoutImage(e))
		})
	}
}

// sameBase reports whether the base from has everything that the base to has.
func sameBase(from, to plan.Base) bool {
	if to.Kind == plan.BaseScratch {
		return true
	}
	return from.Kind == to.Kind && from.Ref == to.Ref && from.Suite == to.Suite && (from.Python || !to.Python)
}

// transitiveDependencies is FS202: the call works only as long as another environment depends on
// the callee's.
func (c *checker) transitiveDependencies() {
	var certain []edge
	for _, e := range c.transitive {
		if !e.call.Possible {
			certain = append(certain, e)
		}
	}
	c.suggestDependencies(transitiveDependency, certain, func(e edge) *diag.Error {
		from, to := &c.graph.Environments[e.from], &c.graph.Environments[e.to]
		f := c.finding(e, transitiveDependency)
		f.Msg += fmt.Sprintf(", but %q depends on %q only through others", from.Name, to.Name)
		f.Notes = []diag.Note{finding.DependsOn(from)}
		return f
	})
}

// dependency is one element of a depends_on list as it is written: clones share their original's.
type dependency struct {
	list diag.Position
	to   int
}

// unusedDependencies is FS203. A dependency counts as used if a call into an environment that is
// only reached through others may go through it. All of a list counts as used if its environment
// has no tasks: that one groups others.
func (c *checker) unusedDependencies() {
	unused := map[dependency]edge{}
	var order []dependency
	c.dependencyUses(func(from, index int, used bool) {
		d := dependency{c.graph.Environments[from].DependsOnPos, int(c.dependsOn(from)[index])}
		if _, ok := unused[d]; !used && !ok {
			unused[d] = edge{from: from, to: index}
			order = append(order, d)
		}
	})
	if len(order) == 0 {
		return
	}
	c.dependencyUses(func(from, index int, used bool) { // of all environments with the same list
		if used {
			delete(unused, dependency{c.graph.Environments[from].DependsOnPos, int(c.dependsOn(from)[index])})
		}
	})
	for _, d := range order {
		if e, ok := unused[d]; ok {
			c.findings.reportLater(unusedDependency.Code, unusedDependency.Severity, func() *diag.Error { return c.unusedFinding(e.from, e.to) })
		}
	}
}

// unusedFinding is about an element of from's depends_on.
func (c *checker) unusedFinding(from, index int) *diag.Error {
	a, b := &c.graph.Environments[from], &c.graph.Environments[c.dependsOn(from)[index]]
	f := unusedDependency.Finding(a.DependsOnPos, "%q depends on %q, but none of its tasks calls a task of it", a.Name, b.Name).
		WithHint("take it out of depends_on, all of which gets built")
	f.Notes = []diag.Note{{Pos: b.Pos, Msg: fmt.Sprintf("environment %q", b.Name)}}
	f.Fix = dependencyFix(diag.FixRemoveDependency, a, b)
	f.Fix.Index = index
	return f
}

// dependencyUses calls do for each element of each depends_on.
func (c *checker) dependencyUses(do func(from, index int, used bool)) {
	g := c.graph
	after, before := c.aroundTransitive()
	tasks, called := make([]bool, len(g.Environments)), make([]int, len(g.Environments))
	for i := range g.Tasks {
		tasks[g.Tasks[i].Env] = true
	}
	edges := c.edges
	for from := range g.Environments {
		for ; len(edges) > 0 && edges[0].from == from; edges = edges[1:] {
			called[edges[0].to] = from + 1
		}
		for index, to := range c.dependsOn(from) {
			do(from, index, !tasks[from] || called[to] == from+1 || after[from] && before[to])
		}
	}
}

// aroundTransitive returns the environments that a call through others may pass on its way: after
// has those that its caller's environment reaches, before those that reach its callee's.
func (c *checker) aroundTransitive() (after, before []bool) {
	after, before = make([]bool, len(c.graph.Environments)), make([]bool, len(c.graph.Environments))
	for _, e := range c.transitive {
		after[e.from], before[e.to] = true, true
	}
	if len(c.transitive) == 0 {
		return after, before
	}
	order := successorsFirst(len(c.graph.Environments), c.dependsOn)
	for _, e := range order {
		for _, d := range c.dependsOn(e) {
			before[e] = before[e] || before[d]
		}
	}
	for i := range order {
		if e := order[len(order)-1-i]; after[e] {
			for _, d := range c.dependsOn(e) {
				after[d] = true
			}
		}
	}
	return after, before
}

// possibleCalls is FS207, once for each place in a task.
func (c *checker) possibleCalls() {
	type place struct {
		caller int
		pos    diag.Position
	}
	callees := map[place][]int{}
	var order []place
	for i := range c.graph.Calls {
		if call := &c.graph.Calls[i]; call.Possible {
			p := place{call.Caller, call.Pos}
			if callees[p] == nil {
				order = append(order, p)
			}
			callees[p] = append(callees[p], call.Callee)
		}
	}
	for _, p := range order {
		c.findings.reportLater(possibleCall.Code, possibleCall.Severity, func() *diag.Error {
			var names []string
			for _, t := range callees[p][:min(len(callees[p]), maxNamed)] {
				names = append(names, c.graph.FullName(t))
			}
			return possibleCall.Finding(p.pos, "task %s may call %s here: what a container or getattr gives isn't known before it runs",
				c.graph.FullName(p.caller), named(names, len(callees[p]))).
				WithHint("call tasks by name where you can; calls like this are checked when they are made")
		})
	}
}

// describeBase says what an image starts from, for messages.
func describeBase(b plan.Base) string {
	switch b.Kind {
	case plan.BaseRef:
		return b.Ref
	case plan.BaseScratch:
		return "nothing"
	}
	name := strings.TrimSpace("Debian " + b.Suite)
	if !b.Python {
		name += " without Python"
	}
	return name
}
