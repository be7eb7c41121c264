package resolve

import (
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve/packages"
)

// inclusion is FS102 and FS103 for calls: the caller's image lacks packages that the callee's image
// declares, or no version of one satisfies both. Callers in an environment without an image import
// nothing, so they need none.
func (c *checker) inclusion() {
	for _, e := range c.edges {
		diff := c.packages.Between(c.graph.Environments[e.from].Image, c.graph.Environments[e.to].Image)
		if len(diff.Lacks) > 0 {
			c.findings.reportLater(missingPackages.Code, e.severityOf(missingPackages), func() *diag.Error { return c.lackFinding(e, diff) })
		} else if len(diff.Doubts) > 0 {
			c.findings.reportLater(missingPackages.Code, diag.SeverityWarning, func() *diag.Error { return c.lackFinding(e, diff) })
		}
		if len(diff.Conflicts) > 0 {
			c.findings.reportLater(contradiction.Code, e.severityOf(contradiction), func() *diag.Error { return c.conflictFinding(e, diff) })
		}
	}
}

// exhaustion reports that the images declare more than is compared. What wasn't looked at may have
// findings.
func (c *checker) exhaustion() {
	if c.packages.Exhausted() {
		e := limitPackages.Errorf("the images declare too many packages: more than %d that differ, %d in all, %d bytes of requirements files, %d comparisons, or %d versions and extras",
			packages.MaxParsed, packages.MaxDeclared, packages.MaxRead, packages.MaxCompared, packages.MaxParts).At(diag.Position{File: c.graph.Entry})
		c.findings.report(e.WithHint("let environments share images, or orchestrate in environments without one"))
	}
}

// limitPackages is a limit that no flag raises.
const limitPackages = diag.LimitName("packages")

// CallCheck returns a function that checks a call for FS102 and FS103 when it is made. The engine
// uses it for calls that were only possible before, and so gave warnings. The function may be
// called from several goroutines.
func CallCheck(g *plan.Graph, files fs.FS, platform string) func(plan.Call) error {
	c := newChecker(g, files, platform)
	var mu sync.Mutex
	return func(call plan.Call) error {
		mu.Lock()
		defer mu.Unlock()
		e := edge{g.Tasks[call.Caller].Env, g.Tasks[call.Callee].Env, &call}
		diff := c.packages.Between(g.Environments[e.from].Image, g.Environments[e.to].Image)
		switch {
		case len(diff.Lacks) > 0:
			return c.lackFinding(e, diff)
		case len(diff.Conflicts) > 0:
			return c.conflictFinding(e, diff)
		}
		return nil
	}
}

// lackFinding returns FS102 for an edge.
func (c *checker) lackFinding(e edge, diff *packages.Difference) *diag.Error {
	lacks, total, doubtful := diff.Lacks, diff.Lacking, diff.Lacking == 0
	if doubtful {
		lacks, total = diff.Doubts, diff.Doubtful
	}
	from, to := &c.graph.Environments[e.from], &c.graph.Environments[e.to]
	var names []string
	for _, p := range lacks {
		names = append(names, p.Name)
	}
	f := c.finding(e, missingPackages)
	lack := "lacks"
	if doubtful {
		lack, f.Severity = "may lack", diag.SeverityWarning
	}
	f.Msg += fmt.Sprintf(", but the image of %q %s %s", from.Name, lack, named(names, total))
	f.Notes = append(f.Notes, diag.Note{Pos: c.graph.Images[from.Image].Pos, Msg: fmt.Sprintf("the image of %q", from.Name)})
	f.Notes = append(f.Notes, declaredNotes(to.Name, lacks)...)
	f.Notes = append(f.Notes, c.blindNotes(from)...)
	if doubtful {
		f.Notes = append(f.Notes, diag.Note{Pos: lacks[0].Step.Pos, Msg: "whether the marker holds isn't known for both images"})
	}
	f.Hint = fmt.Sprintf("add %s to the image of %q, or %s", packages.DescribeCalls(packages.WithCalls(lacks[:min(len(lacks), maxNamed)])), from.Name, c.withoutImage(e))
	if len(lacks) == total {
		f.Fix = &diag.Fix{Kind: diag.FixAddPackages, Pos: from.Pos, Image: c.graph.Images[from.Image].Pos, Calls: packages.WithCalls(lacks)}
	}
	return f
}

// declaredNotes says where an image declares packages, step by step.
func declaredNotes(env string, list []packages.Declaration) []diag.Note {
	texts := map[*plan.Step][]string{}
	var steps []*plan.Step
	for _, p := range list {
		if texts[p.Step] == nil {
			steps = append(steps, p.Step)
		}
		texts[p.Step] = append(texts[p.Step], p.Text)
	}
	slices.SortFunc(steps, func(a, b *plan.Step) int { return a.Pos.Compare(b.Pos) })
	var notes []diag.Note
	for _, s := range steps[:min(len(steps), maxNamed)] {
		notes = append(notes, diag.Note{Pos: s.Pos, Msg: fmt.Sprintf("the image of %q has %s", env, named(texts[s], len(texts[s])))})
	}
	return notes
}

// blindNotes says what the checks don't see of an image: what its commands install, and what comes
// with a base that isn't known.
func (c *checker) blindNotes(env *plan.Environment) []diag.Note {
	image := &c.graph.Images[env.Image]
	for i := range image.Steps {
		if s := &image.Steps[i]; s.Kind == plan.StepCommands && slices.ContainsFunc(s.Commands, func(cmd string) bool { return installer(cmd) != "" }) {
			return []diag.Note{{Pos: s.Pos, Msg: "what commands install isn't seen"}}
		}
	}
	if image.Base.Kind == plan.BaseRef {
		return []diag.Note{{Pos: image.Base.Pos, Msg: "what comes with " + image.Base.Ref + " isn't seen"}}
	}
	return nil
}

// withoutImage says how the caller can do without the packages.
func (c *checker) withoutImage(e edge) string {
	if c.containers[e.from] {
		return fmt.Sprintf("put %s in an environment without an image", c.graph.Tasks[e.call.Caller].Name)
	}
	return fmt.Sprintf("leave %q without an image, since its tasks only call others", c.graph.Environments[e.from].Name)
}

// conflictFinding returns FS103 for an edge.
func (c *checker) conflictFinding(e edge, diff *packages.Difference) *diag.Error {
	from, to := &c.graph.Environments[e.from], &c.graph.Environments[e.to]
	f := c.finding(e, contradiction)
	var texts []string
	for _, x := range diff.Conflicts {
		texts = append(texts, fmt.Sprintf("%s and %s", x.One.Bare, x.Other.Bare))
	}
	f.Msg += fmt.Sprintf(", but no version satisfies both images' %s", named(texts, diff.Conflicting))
	for _, x := range diff.Conflicts[:min(len(diff.Conflicts), maxNamed/2)] {
		f.Notes = append(f.Notes,
			diag.Note{Pos: x.One.Step.Pos, Msg: fmt.Sprintf("the image of %q has %s", from.Name, x.One.Text)},
			diag.Note{Pos: x.Other.Step.Pos, Msg: fmt.Sprintf("the image of %q has %s", to.Name, x.Other.Text)})
	}
	f.Hint = fmt.Sprintf("let both admit one version, or %s", c.withoutImage(e))
	return f
}

// contradictions is FS103 for one image: no version of a package satisfies all that the image
// declares, so it can't be built.
func (c *checker) contradictions() {
	for i := range c.graph.Images {
		if !c.scope.images[i] {
			continue
		}
		for list := c.packages.Of(i); len(list) > 0; {
			n := packages.SameName(list, list[0])
			if n > 1 && !packages.Satisfiable(list[:n]) {
				c.findings.report(selfContradiction(list[:n]))
			}
			list = list[n:]
		}
	}
}

// selfContradiction is FS103 for declarations of one package in one image that contradict one
// another.
func selfContradiction(list []packages.Declaration) *diag.Error {
	end := sort.Search(len(list), func(n int) bool { return !packages.Satisfiable(list[:n+1]) })
	last := list[end] // the first that contradicts those before it
	var texts []string
	var notes []diag.Note
	for _, p := range list[:end] {
		if (p.Bare != p.Name || p.Manager == plan.StepApt) && !slices.Contains(texts, p.Text) && len(texts) <= maxNamed {
			texts = append(texts, p.Text)
			notes = append(notes, diag.Note{Pos: p.Step.Pos, Msg: p.Text + " is here"})
		}
	}
	f := contradiction.Finding(last.Step.Pos, "no version satisfies %s and %s, which are in one image", strings.Join(texts, ", "), last.Text)
	f.Notes = notes[:min(len(notes), maxNamed)]
	return f.WithHint("let both admit one version")
}
