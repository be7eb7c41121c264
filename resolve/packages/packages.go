// Package packages reads which packages the images of a graph declare, and compares them.
//
//   - [Declared] has what each image declares: [Declared.Of] one image, as [Declaration]s.
//   - [Declared.Between] is the [Difference] between a caller's image and a callee's.
//   - base.go says what comes with a Debian base, and which Python it has.
//
// A graph is untrusted, so reading and comparing are bounded, whatever it declares.
package packages

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

// Package is a package as an image declares it.
type Package struct {
	Manager    plan.StepKind     // StepPip, also for those of a requirements file; StepApt
	Name       string            // normalised; an extra is a package of its own: "requests[socks]"
	extra      bool              // whether it is one
	Text       string            // as declared: "Requests[socks]>=2 ; python_version < '3.12'"
	Bare       string            // without the marker
	applies    python.Truth      // whether the marker holds in the image: Yes or Maybe
	versions   python.Specifiers // pip
	version    string            // apt: the exact version; "" for any
	constraint bool              // of a file of -c: it only narrows the versions
}

// Declaration is a package and the step that declares it.
type Declaration struct {
	*Package
	Step *plan.Step
}

func compareNames(a, b Declaration) int {
	return cmp.Or(cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.Name, b.Name))
}

// Bounds of reading and comparing packages, whatever the graph.
const (
	MaxParsed   = 100_000    // requirements that differ
	MaxParts    = 200_000    // version clauses and extras of these requirements
	MaxRead     = 64 << 20   // bytes of requirements files
	MaxDeclared = 4_000_000  // packages of all images together
	MaxCompared = 50_000_000 // comparisons of names
	maxEach     = 20         // requirements of one package that are compared with each other
	maxFixed    = 200        // packages that one finding looks at, and one fix adds
)

// Declared reads what images declare, and compares it.
type Declared struct {
	graph    *plan.Graph
	reader   *workspace.Reader
	Platform string
	images   map[int][]Declaration   // by image
	parsed   map[string]*Requirement // by text
	read     map[string]File         // by path
	pairs    map[[2]int]*Difference  // by image of the caller and of the callee

	parts, size, declared, compared int // counts for MaxParts, MaxRead, MaxDeclared, MaxCompared
}

// Requirement is a requirement of pip, and the packages that it stands for in each target that was
// asked about.
type Requirement struct {
	python.Requirement
	Pinned bool
	marker python.Marker
	of     map[python.Target][]*Package
}

// New returns what the images of g declare. It reads requirements files through reader.
func New(g *plan.Graph, reader *workspace.Reader, platform string) *Declared {
	return &Declared{
		graph: g, reader: reader, Platform: platform, images: map[int][]Declaration{},
		parsed: map[string]*Requirement{}, read: map[string]File{}, pairs: map[[2]int]*Difference{},
	}
}

// Exhausted reports whether the images declare more than is read or compared.
func (d *Declared) Exhausted() bool {
	return len(d.parsed) >= MaxParsed || d.parts > MaxParts || d.size > MaxRead || d.declared > MaxDeclared || d.compared > MaxCompared
}

// Of returns what an image declares, sorted by name.
func (d *Declared) Of(image int) []Declaration {
	list, ok := d.images[image]
	if ok || d.Exhausted() {
		return list
	}
	i := &d.graph.Images[image]
	at := target(i.Base, d.Platform)
	for n := range i.Steps {
		packages := d.step(&i.Steps[n], at)
		list = slices.Grow(list, len(packages))
		for _, p := range packages {
			list = append(list, Declaration{p, &i.Steps[n]})
		}
	}
	slices.SortStableFunc(list, compareNames)
	d.images[image] = list
	return list
}

func (d *Declared) step(s *plan.Step, at python.Target) []*Package {
	var list []*Package
	switch s.Kind {
	case plan.StepPip:
		list = make([]*Package, 0, min(len(s.Packages), MaxDeclared))
		for _, text := range s.Packages {
			if d.declared+len(list) > MaxDeclared {
				break
			}
			if r := d.Requirement(text); r != nil {
				list = append(list, r.packages(at)...)
			}
		}
	case plan.StepRequirements:
		list = d.requirements(s.Src, at)
	case plan.StepApt:
		for _, text := range s.Packages {
			if d.declared+len(list) > MaxDeclared {
				break
			}
			list = append(list, aptPackage(text))
		}
	}
	d.declared += len(list)
	return list
}

// Requirement reads a requirement of pip, each text once. It returns nil if the text has no name,
// isn't a requirement, or is one too many.
func (d *Declared) Requirement(text string) *Requirement {
	r, ok := d.parsed[text]
	if !ok && !d.Exhausted() {
		if parsed, err := python.ParseRequirement(text); err == nil { // otherwise imageFiles' finding
			d.parts += 1 + strings.Count(text, ",")
			versions := parsed.Specifiers()
			r = &Requirement{Requirement: parsed, Pinned: parsed.URL != "" || versions.Pinned(), marker: parsed.Marker()}
		}
		d.parsed[text] = r
	}
	return r
}

// packages returns the package of a requirement and its extras, or nothing if the requirement's
// marker doesn't hold.
func (r *Requirement) packages(at python.Target) []*Package {
	list, ok := r.of[at]
	if ok {
		return list
	}
	if applies := r.marker.Eval(at); applies != python.No {
		list = []*Package{{
			Manager: plan.StepPip, Name: r.Name, Text: r.Text, Bare: r.Bare, applies: applies, versions: r.Specifiers(),
		}}
		for _, x := range r.Extras {
			extra := *list[0]
			extra.Name, extra.extra = extra.Name+"["+x+"]", true
			extra.versions = python.Specifiers{} // the package's own
			list = append(list, &extra)
		}
	}
	if r.of == nil {
		r.of = map[python.Target][]*Package{}
	}
	r.of[at] = list
	return list
}

// requirements returns the packages of a file, and the constraints on these packages.
func (d *Declared) requirements(name string, at python.Target) []*Package {
	file := d.RequirementsFile(name)
	if file.Err != nil {
		return nil // imageFiles' finding
	}
	var list []*Package
	names := map[string]bool{}
	for _, text := range file.Packages {
		if r := d.Requirement(text); r != nil {
			list = append(list, r.packages(at)...)
			names[r.Name] = true
		}
	}
	for _, text := range file.Constraints {
		r := d.Requirement(text)
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

// File is what a requirements file asks for, or why it can't be read.
type File struct {
	*workspace.Requirements
	Err error
}

// RequirementsFile reads a file, each once.
func (d *Declared) RequirementsFile(name string) File {
	f, ok := d.read[name]
	switch {
	case ok:
	case d.Exhausted():
		f.Err = ErrExhausted
	default:
		if f.Requirements, f.Err = d.reader.Requirements(name); f.Err == nil {
			d.size += f.Size
		}
		d.read[name] = f
	}
	return f
}

// ErrExhausted is the error of a requirements file that exceeds the bounds. resolve reports once
// that they are exceeded, and doesn't report this error.
var ErrExhausted = errors.New("too many packages")

// aptPackage reads "name", "name=version", "name/release".
func aptPackage(text string) *Package {
	text = strings.TrimSpace(text)
	p := &Package{Manager: plan.StepApt, Text: text, Bare: text, Name: text, applies: python.Yes}
	if i := strings.IndexAny(text, "=/"); i >= 0 {
		p.Name = text[:i]
		if text[i] == '=' {
			p.version = text[i+1:]
		}
	}
	return p
}

// Difference is what keeps a caller's image from including a callee's: the first maxFixed of each
// kind, and how many there are.
type Difference struct {
	Lacks     []Declaration // what the caller's image doesn't declare, each text once
	Doubts    []Declaration // what it may declare, or what the callee's may: their markers can't be decided
	Conflicts []Conflict

	Lacking, Doubtful, Conflicting int
}

// none is the difference of images that go together, as most do.
var none = &Difference{}

// Conflict is two declarations of one package that no version satisfies.
type Conflict struct{ One, Other Declaration }

// Between compares two images. The answer is kept by pair, since many environments share few
// images.
func (d *Declared) Between(from, to int) *Difference {
	if from == plan.NoImage || to == plan.NoImage || from == to || d.Exhausted() {
		return none
	}
	diff, ok := d.pairs[[2]int{from, to}]
	if !ok {
		diff = d.compare(d.Of(from), d.Of(to), d.graph.Images[from].Base)
		if diff.Lacking+diff.Doubtful+diff.Conflicting == 0 {
			diff = none
		}
		d.pairs[[2]int{from, to}] = diff
	}
	return diff
}

// compare goes through both lists, name by name. base is the base of the image that declares have.
func (d *Declared) compare(have, need []Declaration, base plan.Base) *Difference {
	diff := &Difference{}
	for len(need) > 0 && !d.Exhausted() {
		name := need[0]
		n := SameName(need, name)
		for len(have) > 0 && compareNames(have[0], name) < 0 {
			have = have[1:]
			d.compared++
		}
		h := 0
		if len(have) > 0 {
			h = SameName(have, name)
		}
		d.compared += n + h
		wants, has := applies(need[:n]), applies(have[:h])
		switch {
		case n == 1 && h == 1 && have[0].Text == name.Text && have[0].applies == name.applies: // as in most graphs
		case has == python.Yes || wants == python.Maybe && has == python.Maybe:
			d.compared += 10 * (n + h) // deciding on versions costs more
			if x, found := conflicting(have[:h], need[:n]); found {
				diff.Conflicting++
				diff.Conflicts = atMost(diff.Conflicts, x)
			}
		case name.Manager == plan.StepApt && comesWith(base, name.Name):
		case name.extra && (hasText(diff.Lacks, name) || hasText(diff.Doubts, name)):
		case wants == python.Yes && has == python.No:
			diff.Lacking++
			diff.Lacks = atMost(diff.Lacks, name)
		default:
			diff.Doubtful++
			diff.Doubts = atMost(diff.Doubts, name)
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
func hasText(list []Declaration, d Declaration) bool {
	return slices.ContainsFunc(list, func(e Declaration) bool { return e.Manager == d.Manager && e.Text == d.Text })
}

// SameName counts the elements at the start of list that are of the same package as name.
func SameName(list []Declaration, name Declaration) int {
	n := 0
	for n < len(list) && compareNames(list[n], name) == 0 {
		n++
	}
	return n
}

// applies returns whether one of the declarations holds. Constraints don't count.
func applies(list []Declaration) python.Truth {
	truth := python.No
	for _, p := range list {
		if !p.constraint {
			truth = max(truth, p.applies)
		}
	}
	return truth
}

// Conflicting returns a conflict between two images' declarations of one package, if there is one.
// An image that contradicts itself is another finding.
func conflicting(have, need []Declaration) (Conflict, bool) {
	if Satisfiable(have, need) || !Satisfiable(have) || !Satisfiable(need) {
		return Conflict{}, false
	}
	for _, a := range have[:min(len(have), maxEach)] {
		for _, b := range need[:min(len(need), maxEach)] {
			if !Satisfiable([]Declaration{a}, []Declaration{b}) {
				return Conflict{a, b}, true
			}
		}
	}
	return Conflict{narrowest(have), narrowest(need)}, true // only all together contradict one another
}

// narrowest returns the first declaration that says something about the version.
func narrowest(list []Declaration) Declaration {
	for _, p := range list {
		if p.applies == python.Yes && p.Bare != p.Name {
			return p
		}
	}
	return list[0]
}

// Satisfiable reports whether some version satisfies all declarations of one package that certainly
// hold. It says true if it can't tell.
func Satisfiable(lists ...[]Declaration) bool {
	var sets []python.Specifiers
	var exact string
	for _, list := range lists {
		for _, p := range list {
			switch {
			case p.applies != python.Yes:
			case p.Manager == plan.StepPip:
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

// WithCalls returns the calls that add packages: with_pip_packages("pytest").
func WithCalls(lacks []Declaration) []diag.FixCall {
	var pip, apt []string
	var calls []diag.FixCall
	for _, p := range lacks {
		switch {
		case p.Step.Kind == plan.StepApt:
			apt = append(apt, p.Text)
		case p.Step.Kind == plan.StepPip:
			pip = append(pip, p.wanted())
		case !slices.ContainsFunc(calls, func(c diag.FixCall) bool { return c.Args[0] == "//"+p.Step.Src }):
			calls = append(calls, diag.FixCall{Method: "with_requirements", Args: []string{"//" + p.Step.Src}})
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
func (p *Package) wanted() string {
	if p.applies == python.Yes {
		return p.Bare
	}
	return p.Text
}

// DescribeCalls writes calls as source: `.with_pip_packages("pytest")`.
func DescribeCalls(calls []diag.FixCall) string {
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

// Unpinned returns the requirements without an exact version: neither they nor constraints give
// one.
func (d *Declared) Unpinned(texts, constraints []string) []string {
	exact := map[string]bool{}
	for _, text := range constraints {
		if r := d.Requirement(text); r != nil && r.Pinned {
			exact[r.Name] = true
		}
	}
	var names []string
	for _, text := range texts {
		if r := d.Requirement(text); r != nil && !r.Pinned && !exact[r.Name] {
			names = append(names, r.Text)
		}
	}
	return names
}
