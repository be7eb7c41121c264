package debian

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
)

// preferred wins where several packages would do: gawk and usrmerge, which come
// first in the dependencies, need a libc of their own and all of Perl.
var preferred = []string{"mawk", "usr-is-merged"}

// Resolve reads the signed indices of the suite and returns the exact packages
// of a base: what is Essential or of Priority required, apt, ca-certificates and
// Python if asked for, with all they depend on, in the newest versions; no
// recommendations. It uses the network and writes only the cache. Errors are
// *diag.Error, or ctx's.
func (d *Debian) Resolve(ctx context.Context, req Request, watch exec.Watch) (*Closure, error) {
	if req.Arch == "" {
		req.Arch = HostArch()
	}
	a, err := d.archive(ctx, req.Suite, req.Arch, watch)
	if err != nil {
		return nil, err
	}
	seeds := []string{"apt", "ca-certificates"}
	if req.Python {
		seeds = append(seeds, "python3")
	}
	s := &selection{archive: a, chosen: map[string]*candidate{}, provided: map[string][]*candidate{}}
	if err := s.seed(seeds); err != nil {
		return nil, err
	}
	if err := s.close(); err != nil {
		return nil, err
	}
	if err := s.checkConflicts(); err != nil {
		return nil, err
	}
	c := &Closure{Suite: a.codename, Arch: req.Arch, Date: a.date, Sources: a.sources}
	for _, p := range s.queue {
		c.Packages = append(c.Packages, p.Package)
	}
	slices.SortFunc(c.Packages, func(x, y Package) int { return strings.Compare(x.Name, y.Name) })
	return c, nil
}

// Fetch gets the newest version of one package of a suite ("" as in
// [Request]), verified, and returns the path of its .deb in the cache. Its
// dependencies don't come along.
func (d *Debian) Fetch(ctx context.Context, suite, name string, watch exec.Watch) (string, Package, error) {
	a, err := d.archive(ctx, suite, HostArch(), watch)
	if err != nil {
		return "", Package{}, err
	}
	c, err := a.candidate(name)
	if err != nil {
		return "", Package{}, err
	}
	if c == nil {
		return "", Package{}, errorf(diag.System, "debian %s has no package %q", a.codename, name)
	}
	step(watch, "debian "+a.codename+": "+name, 0, c.Size)
	deb, err := d.fetchPackage(ctx, a.sources, c.Package, func(int64) {})
	return deb, c.Package, err
}

// fetchPackage gets a package from its source among sources.
func (d *Debian) fetchPackage(ctx context.Context, sources []Source, p Package, got func(n int64)) (string, error) {
	for _, src := range sources {
		if src.Suite == p.Suite {
			return d.fetchFile(ctx, d.withCredentials(src), path.Clean(p.Filename), p.SHA256, p.Size, got)
		}
	}
	return "", errorf(diag.System, "package %s is of suite %q, which has no source", p.Name, p.Suite)
}

// withCredentials returns src with the credentials that the configuration has for its URI:
// a closure that was read from a lock has none.
func (d *Debian) withCredentials(src Source) Source {
	for _, own := range d.Sources.list {
		if src.user == nil && own.URI == src.URI {
			src.user = own.user
		}
	}
	return src
}

// selection is a closure being computed.
type selection struct {
	*archive
	chosen   map[string]*candidate
	provided map[string][]*candidate // virtual name to chosen packages
	queue    []*candidate            // chosen, in the order of choice
}

// seed chooses the core of Debian and the named packages.
func (s *selection) seed(names []string) error {
	core := slices.Clone(s.core)
	slices.Sort(core)
	for _, name := range slices.Compact(core) {
		c, err := s.candidate(name)
		if err != nil {
			return err
		}
		if c != nil && c.core {
			s.choose(c)
		}
	}
	for _, name := range names {
		c, err := s.candidate(name)
		if err != nil {
			return err
		}
		if c == nil {
			return errorf(diag.System, "debian %s has no package %q", s.codename, name)
		}
		s.choose(c)
	}
	return nil
}

func (s *selection) choose(c *candidate) {
	if s.chosen[c.Name] != nil {
		return
	}
	s.chosen[c.Name] = c
	s.queue = append(s.queue, c)
	for _, group := range c.provides {
		s.provided[group[0].name] = append(s.provided[group[0].name], c)
	}
}

// close adds dependencies until all are satisfied.
func (s *selection) close() error {
	for i := 0; i < len(s.queue); i++ {
		for _, group := range s.queue[i].depends {
			if err := s.satisfy(s.queue[i], group); err != nil {
				return err
			}
		}
	}
	return nil
}

// satisfy chooses a package for one group of alternatives, unless a chosen one
// satisfies it: a preferred one if it can, otherwise the first that can.
func (s *selection) satisfy(by *candidate, group []relation) error {
	var options []*candidate
	for _, r := range group {
		if ok, err := s.satisfied(r); ok || err != nil {
			return err
		}
		for _, name := range s.suppliers(r.name) {
			c, err := s.candidate(name)
			if err != nil {
				return err
			}
			if c == nil {
				continue
			}
			if ok, err := s.supplies(c, r); err != nil {
				return err
			} else if ok {
				options = append(options, c)
			}
		}
	}
	if len(options) == 0 {
		return errorf(diag.System, "debian %s: %s %s needs %s, which no source has", s.codename, by.Name, by.Version, describe(group)).
			WithHint("the sources don't fit together: the suite, its updates and its security updates belong together")
	}
	best := options[0]
	for _, c := range options {
		if slices.Contains(preferred, c.Name) {
			best = c
			break
		}
	}
	s.choose(best)
	return nil
}

// suppliers lists the packages that may satisfy a dependency on name: the one
// of that name, then those that provide it, by their own names.
func (s *selection) suppliers(name string) []string {
	providers := slices.Clone(s.archive.provided[name])
	slices.SortFunc(providers, cmp.Compare[string])
	return append([]string{name}, providers...)
}

// satisfied reports whether a chosen package satisfies r.
func (s *selection) satisfied(r relation) (bool, error) {
	if c := s.chosen[r.name]; c != nil {
		if ok, err := s.supplies(c, r); ok || err != nil {
			return ok, err
		}
	}
	for _, c := range s.provided[r.name] {
		if ok, err := s.supplies(c, r); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// supplies reports whether c satisfies r, itself or by what it provides. An
// unversioned provision satisfies no versioned dependency (Debian policy 7.5).
func (s *selection) supplies(c *candidate, r relation) (bool, error) {
	if r.arch != "" && r.arch != "any" && r.arch != "native" && r.arch != s.arch {
		return false, nil
	}
	if c.Name == r.name {
		if ok, err := r.holds(c.Version); ok || err != nil {
			return ok, wrap(c, err)
		}
	}
	for _, group := range c.provides {
		p := group[0]
		if p.name != r.name || (r.op != "" && p.op != "=") {
			continue
		}
		if ok, err := r.holds(p.bound); ok || err != nil {
			return ok, wrap(c, err)
		}
	}
	return false, nil
}

// checkConflicts refuses a closure whose packages exclude each other: dpkg would.
func (s *selection) checkConflicts() error {
	for _, c := range s.queue {
		for _, group := range c.conflicts {
			r := group[0]
			others := append([]*candidate{s.chosen[r.name]}, s.provided[r.name]...)
			for _, other := range others {
				if other == nil || other == c {
					continue
				}
				if ok, err := s.supplies(other, r); err != nil {
					return err
				} else if ok {
					return errorf(diag.System, "debian %s: %s %s excludes %s %s, and the base needs both", s.codename, c.Name, c.Version, other.Name, other.Version).
						WithHint("the sources don't fit together, or the mirror is in the middle of an update: try again later")
				}
			}
		}
	}
	return nil
}

func describe(group []relation) string {
	names := make([]string, len(group))
	for i, r := range group {
		names[i] = r.String()
	}
	return strings.Join(names, " | ")
}

func wrap(c *candidate, err error) error {
	if err == nil {
		return nil
	}
	return errorf(diag.System, "package %s %s: %w", c.Name, c.Version, err)
}
