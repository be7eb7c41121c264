package resolve

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	version "github.com/knqyf263/go-deb-version"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/python"
	"github.com/flytestar/flytestar/internal/source"
	"github.com/flytestar/flytestar/plan"
)

// pkg is a package as an image declares it.
type pkg struct {
	manager    plan.StepKind // StepPip, also for those of a requirements file; StepApt
	name       string        // normalised; an extra is a package of its own: "requests[socks]"
	text       string        // as declared: "Requests[socks]>=2 ; python_version < '3.12'"
	bare       string        // without the marker
	marker     string
	applies    python.Truth      // whether the marker holds in the image: Yes or Maybe
	versions   python.Specifiers // pip
	version    string            // apt: the exact version; "" for any
	constraint bool              // of a file of -c: it only narrows the versions
}

// declaration is a package, and the step that declares it.
type declaration struct {
	*pkg
	step *plan.Step
}

func compareNames(a, b declaration) int {
	return cmp.Or(cmp.Compare(a.manager, b.manager), cmp.Compare(a.name, b.name))
}

// What comparing packages takes at most, whatever the graph.
const (
	maxDeclared = 4_000_000   // packages of all images together
	maxCompared = 100_000_000 // comparisons of names
)

// declarations reads what images declare, and compares it.
type declarations struct {
	graph    *plan.Graph
	files    fs.FS
	platform string
	images   map[int][]declaration               // by image
	parsed   map[python.Target]map[string][]*pkg // pip requirements, by text
	read     map[string]*source.Requirements     // requirements files, by path; nil for what can't be read
	pairs    map[[2]int]*difference              // by image of the caller and of the callee
	declared int                                 // packages in images
	compared int
}

func newDeclarations(g *plan.Graph, files fs.FS, platform string) *declarations {
	return &declarations{
		graph: g, files: files, platform: platform,
		images: map[int][]declaration{}, parsed: map[python.Target]map[string][]*pkg{},
		read: map[string]*source.Requirements{}, pairs: map[[2]int]*difference{},
	}
}

// exhausted reports whether the images declare more than is compared.
func (d *declarations) exhausted() bool { return d.declared > maxDeclared || d.compared > maxCompared }

// of returns what an image declares, sorted by name.
func (d *declarations) of(image int) []declaration {
	list, ok := d.images[image]
	if !ok && !d.exhausted() {
		i := &d.graph.Images[image]
		at := target(i.Base, d.platform)
		for n := range i.Steps {
			for _, p := range d.step(&i.Steps[n], at) {
				list = append(list, declaration{p, &i.Steps[n]})
			}
		}
		slices.SortStableFunc(list, compareNames)
		d.images[image] = list
		d.declared += len(list)
	}
	return list
}

func (d *declarations) step(s *plan.Step, at python.Target) []*pkg {
	var list []*pkg
	switch s.Kind {
	case plan.StepPip:
		for _, text := range s.Packages {
			list = append(list, d.requirement(text, at)...)
		}
	case plan.StepRequirements:
		list = d.requirements(s.Src, at)
	case plan.StepApt:
		for _, text := range s.Packages {
			list = append(list, aptPackage(text))
		}
	}
	return list
}

// requirement returns the packages of a pip requirement: itself and its extras; none if its marker doesn't hold.
func (d *declarations) requirement(text string, at python.Target) []*pkg {
	known := d.parsed[at]
	if known == nil {
		known = map[string][]*pkg{}
		d.parsed[at] = known
	}
	list, ok := known[text]
	if !ok {
		if r, err := python.ParseRequirement(text); err == nil { // otherwise imageFiles' finding
			list = pipPackages(&r, at)
		}
		known[text] = list
	}
	return list
}

func pipPackages(r *python.Requirement, at python.Target) []*pkg {
	applies := r.Marker.Eval(at)
	if applies == python.No {
		return nil
	}
	p := pkg{manager: plan.StepPip, name: r.Name, text: r.Text, bare: r.Bare, marker: r.Marker.Text, applies: applies, versions: r.Specifiers}
	p.versions.Unknown = p.versions.Unknown || r.URL != ""
	list := []*pkg{&p}
	for _, x := range r.Extras {
		extra := p
		extra.name += "[" + x + "]"
		extra.versions = python.Specifiers{} // the package's own
		list = append(list, &extra)
	}
	return list
}

// requirements returns the packages of a file, with those of its constraints that are among them.
func (d *declarations) requirements(name string, at python.Target) []*pkg {
	reqs := d.requirementsFile(name)
	if reqs == nil {
		return nil
	}
	var list []*pkg
	names := map[string]bool{}
	for i := range reqs.Packages {
		list = append(list, d.requirement(reqs.Packages[i].Text, at)...)
		names[reqs.Packages[i].Name] = true
	}
	for i := range reqs.Constraints {
		if r := &reqs.Constraints[i]; names[r.Name] {
			for _, p := range pipPackages(&python.Requirement{Text: r.Text, Bare: r.Bare, Name: r.Name, Specifiers: r.Specifiers, URL: r.URL, Marker: r.Marker}, at) {
				p.constraint = true
				list = append(list, p)
			}
		}
	}
	return list
}

// requirementsFile returns what a file asks for, or nil if it can't be read, which is imageFiles' finding.
func (d *declarations) requirementsFile(name string) *source.Requirements {
	reqs, ok := d.read[name]
	if !ok {
		reqs, _ = source.ReadRequirements(d.files, name)
		d.read[name] = reqs
	}
	return reqs
}

// aptPackage reads "name", "name=version", "name/release".
func aptPackage(text string) *pkg {
	text = strings.TrimSpace(text)
	p := &pkg{manager: plan.StepApt, text: text, bare: text, name: text, applies: python.Yes}
	if i := strings.IndexAny(text, "=/"); i >= 0 {
		p.name = text[:i]
		if text[i] == '=' {
			p.version = text[i+1:]
		}
	}
	return p
}

// difference is what stands between the images of a caller and a callee.
type difference struct {
	lacks     []declaration // what the caller's image doesn't declare, each text once
	doubts    []declaration // what it may declare, or what the callee's may: their markers can't be decided
	conflicts []conflict
}

func (d *difference) empty() bool { return len(d.lacks)+len(d.doubts)+len(d.conflicts) == 0 }

// conflict is a package of which no version satisfies all of its declarations.
type conflict struct{ one, other declaration }

// between compares two images. Many environments share few, so it is kept by pair.
func (d *declarations) between(from, to int) *difference {
	if from == plan.NoImage || to == plan.NoImage || from == to || d.exhausted() {
		return &difference{}
	}
	diff, ok := d.pairs[[2]int{from, to}]
	if !ok {
		diff = d.compare(d.of(from), d.of(to), d.graph.Images[from].Base)
		d.pairs[[2]int{from, to}] = diff
	}
	return diff
}

// compare goes through both lists, name by name. base is what have's image starts from.
func (d *declarations) compare(have, need []declaration, base plan.Base) *difference {
	diff := &difference{}
	listed := map[[2]string]bool{} // by manager and text: a requirement's extras have its text
	for len(need) > 0 {
		name := need[0]
		n := sameName(need, name)
		for len(have) > 0 && compareNames(have[0], name) < 0 {
			have = have[1:]
			d.compared++
		}
		h := 0
		if len(have) > 0 {
			h = sameName(have, name)
		}
		d.compared += n + h
		wants, has := applies(need[:n]), applies(have[:h])
		text := [2]string{string(name.manager), name.text}
		switch {
		case has == python.Yes || wants == python.Maybe && has == python.Maybe:
			d.compared += 20 * (n + h) // deciding on versions costs more
			diff.conflicts = append(diff.conflicts, conflicts(have[:h], need[:n])...)
		case name.manager == plan.StepApt && comesWith(base, name.name) || listed[text]:
		case wants == python.Yes && has == python.No:
			diff.lacks = append(diff.lacks, name)
			listed[text] = true
		default:
			diff.doubts = append(diff.doubts, name)
			listed[text] = true
		}
		need, have = need[n:], have[h:]
	}
	return diff
}

// sameName returns how many at the start of list have a name.
func sameName(list []declaration, name declaration) int {
	n := 0
	for n < len(list) && compareNames(list[n], name) == 0 {
		n++
	}
	return n
}

// applies returns whether one of the declarations holds, constraints aside.
func applies(list []declaration) python.Truth {
	truth := python.No
	for _, p := range list {
		if !p.constraint {
			truth = max(truth, p.applies)
		}
	}
	return truth
}

// conflicts returns at most one conflict between what two images say of one package. An
// image that contradicts itself is a finding of its own.
func conflicts(have, need []declaration) []conflict {
	if len(have) == 0 || satisfiable(have, need) || !satisfiable(have) || !satisfiable(need) {
		return nil
	}
	for _, a := range have {
		for _, b := range need {
			if !satisfiable([]declaration{a}, []declaration{b}) {
				return []conflict{{a, b}}
			}
		}
		if len(have)*len(need) > maxNamed*maxNamed {
			break
		}
	}
	return []conflict{{narrowest(have), narrowest(need)}} // only all together contradict one another
}

// narrowest returns the first that says something of the version.
func narrowest(list []declaration) declaration {
	for _, p := range list {
		if p.applies == python.Yes && p.bare != p.name {
			return p
		}
	}
	return list[0]
}

// satisfiable reports whether some version satisfies all that is certain of one package. Where it can't be known it says true.
func satisfiable(lists ...[]declaration) bool {
	var sets []python.Specifiers
	var exact string
	for _, list := range lists {
		for _, p := range list {
			switch {
			case p.applies != python.Yes:
			case p.manager == plan.StepPip:
				sets = append(sets, p.versions)
			case p.version == "":
			case exact != "" && !sameAptVersion(exact, p.version):
				return false
			default:
				exact = p.version
			}
		}
	}
	return python.Satisfiable(sets...)
}

// sameAptVersion reports whether two of apt's "=version" mean one version. What isn't one isn't known.
func sameAptVersion(a, b string) bool {
	v, err := version.NewVersion(a)
	w, err2 := version.NewVersion(b)
	return err != nil || err2 != nil || v.Equal(w)
}

// withCalls returns the calls that add packages: with_pip_packages("pytest").
func withCalls(lacks []declaration) []diag.FixCall {
	var pip, apt []string
	var calls []diag.FixCall
	for _, p := range lacks {
		switch {
		case p.step.Kind == plan.StepApt:
			apt = append(apt, p.text)
		case p.step.Kind == plan.StepPip:
			pip = append(pip, p.wanted())
		case !slices.ContainsFunc(calls, func(c diag.FixCall) bool { return c.Args[0] == "//"+p.step.Src }):
			calls = append(calls, diag.FixCall{Method: "with_requirements", Args: []string{"//" + p.step.Src}})
		}
	}
	if len(pip) > 0 {
		calls = append(calls, diag.FixCall{Method: "with_pip_packages", Args: pip})
	}
	if len(apt) > 0 {
		calls = append(calls, diag.FixCall{Method: "with_apt_packages", Args: apt})
	}
	return calls
}

// wanted is what another image has to declare: the marker was for this one.
func (p *pkg) wanted() string {
	if p.applies == python.Yes {
		return p.bare
	}
	return p.text
}

// describeCalls writes calls as source: `.with_pip_packages("pytest")`.
func describeCalls(calls []diag.FixCall) string {
	var b strings.Builder
	for _, c := range calls {
		quoted := make([]string, len(c.Args))
		for i, a := range c.Args {
			quoted[i] = fmt.Sprintf("%q", a)
		}
		fmt.Fprintf(&b, ".%s(%s)", c.Method, strings.Join(quoted, ", "))
	}
	return b.String()
}
