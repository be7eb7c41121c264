package resolve

import (
	"fmt"
	"path"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// dependencies is FS101: a task calls a task of an environment that its own environment's depends_on doesn't reach.
func (c *checker) dependencies() {
	missing := c.unreached()
	if len(missing) == 0 {
		return
	}
	backward := make([]pair, len(missing))
	for i, e := range missing {
		backward[i] = pair{e.to, e.from}
	}
	cyclic := reaches(len(c.graph.Environments), c.dependsOn, backward)
	loads := c.loadsBack(missing)
	for i, e := range missing {
		from, to := &c.graph.Environments[e.from], &c.graph.Environments[e.to]
		f := c.finding(e, "FS101")
		f.Msg += fmt.Sprintf(", but %q doesn't depend on %q", from.Name, to.Name)
		f.Notes = []diag.Note{{Pos: from.DependsOnPos, Msg: fmt.Sprintf("the depends_on of %q", from.Name)}}
		if from.DependsOnPos == from.Pos {
			f.Notes[0].Msg = fmt.Sprintf("%q depends on nothing", from.Name)
		}
		f.Hint = c.dependsHint(e, cyclic[i], loads[i])
		c.report(f)
	}
}

func (c *checker) dependsOn(env int) []int { return c.graph.Environments[env].DependsOn }

// unreached returns the edges whose target is outside of the source's closure.
func (c *checker) unreached() []edge {
	direct := make([]int, len(c.graph.Environments)) // direct[e] == from+1: from depends on e itself
	marked := -1
	var indirect []edge
	var pairs []pair
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
	reached := reaches(len(c.graph.Environments), c.dependsOn, pairs)
	missing := indirect[:0]
	for i, e := range indirect {
		if !reached[i] {
			missing = append(missing, e)
		}
	}
	return missing
}

// dependsHint says which edit mends a missing dependency.
func (c *checker) dependsHint(e edge, cyclic, loadsBack bool) string {
	from, to := &c.graph.Environments[e.from], &c.graph.Environments[e.to]
	edit := fmt.Sprintf("add %s to depends_on of %q", to.Global, from.Name)
	if from.DependsOnPos == from.Pos {
		edit = fmt.Sprintf("give %q depends_on = [%s]", from.Name, to.Global)
	}
	here, there := moduleOf(from), moduleOf(to)
	elsewhere := here != there
	switch {
	case cyclic:
		return fmt.Sprintf("%q depends on %q already, and the other way round would be a cycle: put both tasks in one environment", to.Name, from.Name)
	case to.Global == "" || elsewhere && strings.HasPrefix(to.Global, "_"):
		return fmt.Sprintf("bind environment %q to a global without a leading underscore, and add that to depends_on of %q", to.Name, from.Name)
	case elsewhere && loadsBack:
		return fmt.Sprintf("%s, which needs a module that both can load, since %s loads %s already; or put both tasks in one environment", edit, there, here)
	case elsewhere:
		return fmt.Sprintf("%s, with load(%q, %q)", edit, loadPath(here, there), to.Global)
	}
	return edit
}

// moduleOf returns the module that an environment's global is in, which isn't
// that of its constructor's call where a macro made it.
func moduleOf(e *plan.Environment) string {
	if e.Module != "" {
		return e.Module
	}
	return e.Pos.File
}

// loadPath returns how a load statement in module from names module to: relative where it lies below.
func loadPath(from, to string) string {
	dir := path.Dir(from)
	if dir == "." {
		return to
	}
	if rel, ok := strings.CutPrefix(to, dir+"/"); ok {
		return rel
	}
	return "//" + to
}

// loadsBack reports for each edge whether the module of its target loads, directly or
// not, the module of its source, so that a load the other way would be FS105.
func (c *checker) loadsBack(edges []edge) []bool {
	index := map[string]int{}
	for i, m := range c.graph.Modules {
		index[m.Path] = i
	}
	next := make([][]int, len(c.graph.Modules))
	for i, m := range c.graph.Modules {
		for _, l := range m.Loads {
			if to, ok := index[l.Path]; ok {
				next[i] = append(next[i], to)
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
	for i, yes := range reaches(len(next), func(m int) []int { return next[m] }, pairs) {
		answers[asked[i]] = yes
	}
	return answers
}
