package resolve

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/source"
	"github.com/flytestar/flytestar/plan"
)

// pkg is a package that an image declares.
type pkg struct {
	manager plan.StepKind // StepPip, also for those of a requirements file; StepApt
	name    string        // normalised; an extra is a package of its own: "requests[socks]"
	text    string        // as declared: "Requests[socks]>=2"
	step    *plan.Step
}

func comparePkg(a, b pkg) int {
	return cmp.Or(cmp.Compare(a.manager, b.manager), cmp.Compare(a.name, b.name))
}

// packages is FS102: the image of a task's environment includes what the images of
// its direct callees' environments declare. An environment without an image imports nothing.
func (c *checker) packages() {
	for _, e := range c.edges {
		if lacks := c.lacks(e); len(lacks) > 0 {
			c.report(c.lackingFinding(e, lacks))
		}
	}
}

// CallCheck returns the check of FS102 for calls as they are made, for exec.Engine: of those that were
// only possible before, and were warnings. It may be called from several goroutines.
func CallCheck(g *plan.Graph, files fs.FS) func(plan.Call) error {
	c := newChecker(g, files)
	var mu sync.Mutex
	return func(call plan.Call) error {
		mu.Lock()
		defer mu.Unlock()
		e := edge{g.Tasks[call.Caller].Env, g.Tasks[call.Callee].Env, &call}
		if lacks := c.lacks(e); len(lacks) > 0 {
			return c.lackingFinding(e, lacks)
		}
		return nil
	}
}

// lacks returns what the image of e's caller lacks. Many environments share few
// images, so it is kept by pair of images.
func (c *checker) lacks(e edge) []pkg {
	from, to := c.graph.Environments[e.from].Image, c.graph.Environments[e.to].Image
	if from == plan.NoImage || to == plan.NoImage || from == to {
		return nil
	}
	lacks, ok := c.lacking[[2]int{from, to}]
	if !ok {
		lacks = lacking(c.declaredBy(from), c.declaredBy(to))
		c.lacking[[2]int{from, to}] = lacks
	}
	return lacks
}

// lacking returns what need has and have doesn't, each requirement once. Both are sorted.
func lacking(have, need []pkg) []pkg {
	var out []pkg
	texts := map[[2]string]bool{}
	for _, p := range need {
		text := [2]string{string(p.manager), p.text}
		for len(have) > 0 && comparePkg(have[0], p) < 0 {
			have = have[1:]
		}
		if (len(have) == 0 || comparePkg(have[0], p) != 0) && !texts[text] {
			texts[text] = true
			out = append(out, p)
		}
	}
	return out
}

// declaredBy returns the packages that an image declares, sorted, each name once.
func (c *checker) declaredBy(image int) []pkg {
	if list, ok := c.declared[image]; ok {
		return list
	}
	var list []pkg
	steps := c.graph.Images[image].Steps
	for i := range steps {
		list = append(list, c.declaredStep(&steps[i])...)
	}
	slices.SortStableFunc(list, comparePkg)
	list = slices.CompactFunc(list, func(a, b pkg) bool { return comparePkg(a, b) == 0 })
	c.declared[image] = list
	return list
}

func (c *checker) declaredStep(s *plan.Step) []pkg {
	var list []pkg
	switch s.Kind {
	case plan.StepPip:
		for _, text := range s.Packages {
			if r, ok := source.ParseRequirement(text); ok {
				list = append(list, pipPackages(r, s)...)
			}
		}
	case plan.StepRequirements:
		// A file that can't be read is imageFiles' finding.
		if reqs, err := source.ReadRequirements(c.files, s.Src); err == nil {
			for _, r := range reqs.Packages {
				list = append(list, pipPackages(r, s)...)
			}
		}
	case plan.StepApt:
		for _, text := range s.Packages {
			list = append(list, pkg{plan.StepApt, aptName(text), text, s})
		}
	}
	return list
}

// pipPackages returns a requirement and its extras.
func pipPackages(r source.Requirement, s *plan.Step) []pkg {
	list := []pkg{{plan.StepPip, r.Name, r.Text, s}}
	for _, x := range r.Extras {
		list = append(list, pkg{plan.StepPip, r.Name + "[" + x + "]", r.Text, s})
	}
	return list
}

// aptName drops the version or release from "name=version" and "name/release".
func aptName(text string) string {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, "=/"); i >= 0 {
		text = text[:i]
	}
	return text
}

func (c *checker) lackingFinding(e edge, lacks []pkg) *diag.Error {
	from, to := &c.graph.Environments[e.from], &c.graph.Environments[e.to]
	names := make([]string, len(lacks))
	for i, p := range lacks {
		names[i] = p.name
	}
	f := c.finding(e, "FS102")
	f.Msg += fmt.Sprintf(", but the image of %q lacks %s", from.Name, strings.Join(names, ", "))
	f.Notes = []diag.Note{{Pos: c.graph.Images[from.Image].Pos, Msg: fmt.Sprintf("the image of %q", from.Name)}}
	steps := c.graph.Images[to.Image].Steps
	for i := range steps {
		var texts []string
		for _, p := range lacks {
			if p.step == &steps[i] {
				texts = append(texts, p.text)
			}
		}
		if len(texts) > 0 {
			f.Notes = append(f.Notes, diag.Note{Pos: steps[i].Pos, Msg: fmt.Sprintf("the image of %q has %s", to.Name, strings.Join(texts, ", "))})
		}
	}
	f.Hint = fmt.Sprintf("add %s to the image of %q, or %s", withCalls(lacks), from.Name, c.withoutImage(e))
	return f
}

// withoutImage says how the caller goes without the packages.
func (c *checker) withoutImage(e edge) string {
	if c.containers[e.from] {
		return fmt.Sprintf("put %s in an environment without an image", c.graph.Tasks[e.call.Caller].Name)
	}
	return "leave its image out, since its tasks only call others"
}

// withCalls returns the calls that add packages: `.with_pip_packages("pytest")`.
func withCalls(lacks []pkg) string {
	var pip, files, apt []string
	for _, p := range lacks {
		switch {
		case p.step.Kind == plan.StepApt:
			apt = append(apt, fmt.Sprintf("%q", p.text))
		case p.step.Kind == plan.StepPip:
			pip = append(pip, fmt.Sprintf("%q", p.text))
		default:
			call := fmt.Sprintf(".with_requirements(%q)", "//"+p.step.Src)
			if !slices.Contains(files, call) {
				files = append(files, call)
			}
		}
	}
	calls := files
	if len(pip) > 0 {
		calls = append(calls, ".with_pip_packages("+strings.Join(pip, ", ")+")")
	}
	if len(apt) > 0 {
		calls = append(calls, ".with_apt_packages("+strings.Join(apt, ", ")+")")
	}
	return strings.Join(calls, "")
}
