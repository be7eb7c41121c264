package resolve

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	version "github.com/knqyf263/go-deb-version"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/python"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// pkg is a package as an image declares it.
type pkg struct {
	manager    plan.StepKind     // StepPip, also for those of a requirements file; StepApt
	name       string            // normalised; an extra is a package of its own: "requests[socks]"
	extra      bool              // whether it is one
	text       string            // as declared: "Requests[socks]>=2 ; python_version < '3.12'"
	bare       string            // without the marker
	applies    python.Truth      // whether the marker holds in the image: Yes or Maybe
	versions   python.Specifiers // pip
	version    string            // apt: the exact version; "" for any
	constraint bool              // of a file of -c: it only narrows the versions
}

// declaration is a package and the step that declares it.
type declaration struct {
	*pkg
	step *plan.Step
}

func compareNames(a, b declaration) int {
	return cmp.Or(cmp.Compare(a.manager, b.manager), cmp.Compare(a.name, b.name))
}

// Bounds of reading and comparing packages, whatever the graph.
const (
	maxParsed   = 100_000    // requirements that differ
	maxRead     = 64 << 20   // bytes of requirements files
	maxDeclared = 4_000_000  // packages of all images together
	maxCompared = 50_000_000 // comparisons of names
	maxFixed    = 200        // packages that one finding looks at, and one fix adds
)

// declarations reads what images declare, and compares it.
type declarations struct {
	graph    *plan.Graph
	reader   *workspace.Reader
	platform string
	images   map[int][]declaration       // by image
	parsed   map[string]*requirement     // by text
	read     map[string]requirementsFile // by path
	pairs    map[[2]int]*difference      // by image of the caller and of the callee

	size, declared, compared int // counts for maxRead, maxDeclared, maxCompared
}

// requirement is a requirement of pip, and the packages that it stands for in each target that was
// asked about.
type requirement struct {
	python.Requirement
	pinned bool
	marker python.Marker
	of     map[python.Target][]*pkg
}

func newDeclarations(g *plan.Graph, reader *workspace.Reader, platform string) *declarations {
	return &declarations{
		graph: g, reader: reader, platform: platform, images: map[int][]declaration{},
		parsed: map[string]*requirement{}, read: map[string]requirementsFile{}, pairs: map[[2]int]*difference{},
	}
}

// exhausted reports whether the images declare more than is read or compared.
func (d *declarations) exhausted() bool {
	return len(d.parsed) >= maxParsed || d.size > maxRead || d.declared > maxDeclared || d.compared > maxCompared
}

// of returns what an image declares, sorted by name.
func (d *declarations) of(image int) []declaration {
	list, ok := d.images[image]
	if ok || d.exhausted() {
		return list
	}
	i := &d.graph.Images[image]
	at := target(i.Base, d.platform)
	for n := range i.Steps {
		packages := d.step(&i.Steps[n], at)
		list = slices.Grow(list, len(packages))
		for _, p := range packages {
			list = append(list, declaration{p, &i.Steps[n]})
		}
	}
	slices.SortStableFunc(list, compareNames)
	d.images[image] = list
	return list
}

func (d *declarations) step(s *plan.Step, at python.Target) []*pkg {
	var list []*pkg
	switch s.Kind {
	case plan.StepPip:
		list = make([]*pkg, 0, min(len(s.Packages), maxDeclared))
		for _, text := range s.Packages {
			if d.declared+len(list) > maxDeclared {
				break
			}
			if r := d.requirement(text); r != nil {
				list = append(list, r.packages(at)...)
			}
		}
	case plan.StepRequirements:
		list = d.requirements(s.Src, at)
	case plan.StepApt:
		for _, text := range s.Packages {
			if d.declared+len(list) > maxDeclared {
				break
			}
			list = append(list, aptPackage(text))
		}
	}
	d.declared += len(list)
	return list
}

// requirement reads a requirement of pip, each text once. It returns nil if the text has no name,
// isn't a requirement, or is one too many.
func (d *declarations) requirement(text string) *requirement {
	r, ok := d.parsed[text]
	if !ok && !d.exhausted() {
		if parsed, err := python.ParseRequirement(text); err == nil { // otherwise imageFiles' finding
			versions := parsed.Specifiers()
			r = &requirement{Requirement: parsed, pinned: parsed.URL != "" || versions.Pinned(), marker: parsed.Marker()}
		}
		d.parsed[text] = r
	}
	return r
}

// packages returns the package of a requirement and its extras, or nothing if the requirement's
// marker doesn't hold.
func (r *requirement) packages(at python.Target) []*pkg {
	list, ok := r.of[at]
	if ok {
		return list
	}
	if applies := r.marker.Eval(at); applies != python.No {
		list = []*pkg{{
			manager: plan.StepPip, name: r.Name, text: r.Text, bare: r.Bare, applies: applies, versions: r.Specifiers(),
		}}
		for _, x := range r.Extras {
			extra := *list[0]
			extra.name, extra.extra = extra.name+"["+x+"]", true
			extra.versions = python.Specifiers{} // the package's own
			list = append(list, &extra)
		}
	}
	if r.of == nil {
		r.of = map[python.Target][]*pkg{}
	}
	r.of[at] = list
	return list
}

// requirements returns the packages of a file, and the constraints on these packages.
func (d *declarations) requirements(name string, at python.Target) []*pkg {
	file := d.requirementsFile(name)
	if file.err != nil {
		return nil // imageFiles' finding
	}
	var list []*pkg
	names := map[string]bool{}
	for _, text := range file.Packages {
		if r := d.requirement(text); r != nil {
			list = append(list, r.packages(at)...)
			names[r.Name] = true
		}
	}
	for _, text := range file.Constraints {
		r := d.requirement(text)
		if r == nil || !names[r.Name] {
			continue
		}
		if of := r.packages(at); len(of) > 0 {
			p := *of[0] // a constraint has no extras
			p.constraint = true
			list = append(list, &p)
		}
	}
	return list
}

// requirementsFile is what a file asks for, or why it can't be read.
type requirementsFile struct {
	*workspace.Requirements
	err error
}

// requirementsFile reads a file, each once.
func (d *declarations) requirementsFile(name string) requirementsFile {
	f, ok := d.read[name]
	switch {
	case ok:
	case d.exhausted():
		f.err = errExhausted
	default:
		if f.Requirements, f.err = d.reader.Requirements(name); f.err == nil {
			d.size += f.Size
		}
		d.read[name] = f
	}
	return f
}

// errExhausted is the error about a requirements file that is one too many. exhaustion reports it.
var errExhausted = errors.New("too many packages")

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

// difference is what keeps a caller's image from including a callee's: the first maxFixed of each
// kind, and how many there are.
type difference struct {
	lacks     []declaration // what the caller's image doesn't declare, each text once
	doubts    []declaration // what it may declare, or what the callee's may: their markers can't be decided
	conflicts []conflict

	lacking, doubtful, conflicting int
}

// none is the difference of images that go together, as most do.
var none = &difference{}

// conflict is two declarations of one package that no version satisfies.
type conflict struct{ one, other declaration }

// between compares two images. The answer is kept by pair, since many environments share few
// images.
func (d *declarations) between(from, to int) *difference {
	if from == plan.NoImage || to == plan.NoImage || from == to || d.exhausted() {
		return none
	}
	diff, ok := d.pairs[[2]int{from, to}]
	if !ok {
		diff = d.compare(d.of(from), d.of(to), d.graph.Images[from].Base)
		if diff.lacking+diff.doubtful+diff.conflicting == 0 {
			diff = none
		}
		d.pairs[[2]int{from, to}] = diff
	}
	return diff
}

// compare goes through both lists, name by name. base is the base of the image that declares have.
func (d *declarations) compare(have, need []declaration, base plan.Base) *difference {
	diff := &difference{}
	for len(need) > 0 && !d.exhausted() {
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
		switch {
		case n == 1 && h == 1 && have[0].text == name.text && have[0].applies == name.applies: // as in most graphs
		case has == python.Yes || wants == python.Maybe && has == python.Maybe:
			d.compared += 10 * (n + h) // deciding on versions costs more
			if x, found := conflicting(have[:h], need[:n]); found {
				diff.conflicting++
				diff.conflicts = atMost(diff.conflicts, x)
			}
		case name.manager == plan.StepApt && comesWith(base, name.name):
		case name.extra && (hasText(diff.lacks, name) || hasText(diff.doubts, name)):
		case wants == python.Yes && has == python.No:
			diff.lacking++
			diff.lacks = atMost(diff.lacks, name)
		default:
			diff.doubtful++
			diff.doubts = atMost(diff.doubts, name)
		}
		need, have = need[n:], have[h:]
	}
	return diff
}

// atMost appends to a list unless it has maxFixed elements.
func atMost[T any](list []T, x T) []T {
	if len(list) < maxFixed {
		list = append(list, x)
	}
	return list
}

// hasText reports whether a list has a declaration with the same text. A requirement's extras have
// the requirement's text.
func hasText(list []declaration, d declaration) bool {
	return slices.ContainsFunc(list, func(e declaration) bool { return e.manager == d.manager && e.text == d.text })
}

// sameName counts the elements at the start of list that have a name.
func sameName(list []declaration, name declaration) int {
	n := 0
	for n < len(list) && compareNames(list[n], name) == 0 {
		n++
	}
	return n
}

// applies returns whether one of the declarations holds. Constraints don't count.
func applies(list []declaration) python.Truth {
	truth := python.No
	for _, p := range list {
		if !p.constraint {
			truth = max(truth, p.applies)
		}
	}
	return truth
}

// conflicting returns a conflict between two images' declarations of one package, if there is one.
// An image that contradicts itself is another finding.
func conflicting(have, need []declaration) (conflict, bool) {
	if satisfiable(have, need) || !satisfiable(have) || !satisfiable(need) {
		return conflict{}, false
	}
	for _, a := range have[:min(len(have), maxNamed)] {
		for _, b := range need[:min(len(need), maxNamed)] {
			if !satisfiable([]declaration{a}, []declaration{b}) {
				return conflict{a, b}, true
			}
		}
	}
	return conflict{narrowest(have), narrowest(need)}, true // only all together contradict one another
}

// narrowest returns the first declaration that says something about the version.
func narrowest(list []declaration) declaration {
	for _, p := range list {
		if p.applies == python.Yes && p.bare != p.name {
			return p
		}
	}
	return list[0]
}

// satisfiable reports whether some version satisfies all declarations of one package that certainly
// hold. It says true if it can't tell.
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

// sameAptVersion reports whether two texts after apt's "=" mean one version. It says true if it
// can't tell.
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

// wanted returns the text that another image has to declare. It has no marker if the marker
// certainly holds in this one.
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
