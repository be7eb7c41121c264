package debian

import (
	"context"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/image/debian/control"
)

// preferred are packages to choose where several would do. The first in the dependencies are gawk
// and usrmerge, which bring libraries of their own and all of Perl.
var preferred = []string{"mawk", "usr-is-merged"}

// Resolve reads the signed indices of the suite and returns the exact packages of a base: those
// that are Essential or of Priority required, apt, ca-certificates, Python if asked for, and all
// that they depend on. It takes the newest versions and leaves out recommendations. It uses the
// network and writes only the cache. Errors are *diag.Error, or ctx's.
func (d *Debian) Resolve(ctx context.Context, req Request, watch exec.Watch) (*Closure, error) {
	if req.Arch == "" {
		req.Arch = archive.HostArch()
	}
	a, err := d.Suite(ctx, req.Suite, req.Arch, watch)
	if err != nil {
		return nil, err
	}
	seeds := []string{"apt", "ca-certificates"}
	if req.Python {
		seeds = append(seeds, "python3")
	}
	s := newSelection(a)
	if err := s.seed(seeds); err != nil {
		return nil, err
	}
	if err := s.close(); err != nil {
		return nil, err
	}
	if err := s.checkConflicts(); err != nil {
		return nil, err
	}
	c := &Closure{Suite: a.Codename, Arch: req.Arch, Date: a.Date, Sources: a.Sources}
	for _, p := range s.queue {
		c.Packages = append(c.Packages, p.Package)
	}
	slices.SortFunc(c.Packages, func(x, y archive.Package) int { return strings.Compare(x.Name, y.Name) })
	return c, nil
}

// selection is a closure being computed.
type selection struct {
	*archive.Suite
	chosen   map[string]*archive.Candidate
	provided map[string][]*archive.Candidate // virtual name to chosen packages
	queue    []*archive.Candidate            // chosen, in the order of choice
}

func newSelection(s *archive.Suite) *selection {
	return &selection{Suite: s, chosen: map[string]*archive.Candidate{}, provided: map[string][]*archive.Candidate{}}
}

// seed chooses the core of Debian and the named packages.
func (s *selection) seed(names []string) error {
	for _, name := range s.Core() {
		c, err := s.Candidate(name)
		if err != nil {
			return err
		}
		if c != nil && c.Core {
			s.choose(c)
		}
	}
	for _, name := range names {
		c, err := s.Candidate(name)
		if err != nil {
			return err
		}
		if c == nil {
			return errorf(diag.System, "debian %s has no package %q", s.Codename, name)
		}
		s.choose(c)
	}
	return nil
}

func (s *selection) choose(c *archive.Candidate) {
	if s.chosen[c.Name] != nil {
		return
	}
	s.chosen[c.Name] = c
	s.queue = append(s.queue, c)
	for _, group := range c.Provides {
		s.provided[group[0].Name] = append(s.provided[group[0].Name], c)
	}
}

// close adds dependencies until all are satisfied.
func (s *selection) close() error {
	for i := 0; i < len(s.queue); i++ {
		for _, group := range s.queue[i].Depends {
			if err := s.satisfy(s.queue[i], group); err != nil {
				return err
			}
		}
	}
	return nil
}

// satisfy chooses a package for one group of alternatives, unless a chosen package satisfies it. It
// chooses a preferred package if one will do, else the first that will do.
func (s *selection) satisfy(by *archive.Candidate, group []control.Relation) error {
	var options []*archive.Candidate
	for _, r := range group {
		if ok, err := s.satisfied(r); ok || err != nil {
			return err
		}
		for _, name := range s.suppliers(r.Name) {
			c, err := s.Candidate(name)
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
		return errorf(diag.System, "debian %s: %s %s needs %s, which no source has", s.Codename, by.Name, by.Version, describe(group)).
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

// suppliers lists the packages that may satisfy a dependency on name: first the package of that
// name, then those that provide it, sorted.
func (s *selection) suppliers(name string) []string {
	return append([]string{name}, s.Providers(name)...)
}

// satisfied reports whether a chosen package satisfies r.
func (s *selection) satisfied(r control.Relation) (bool, error) {
	if c := s.chosen[r.Name]; c != nil {
		if ok, err := s.supplies(c, r); ok || err != nil {
			return ok, err
		}
	}
	for _, c := range s.provided[r.Name] {
		if ok, err := s.supplies(c, r); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// supplies reports whether c satisfies r, itself or by what it provides. What is provided without a
// version satisfies no dependency with one (Debian policy 7.5).
func (s *selection) supplies(c *archive.Candidate, r control.Relation) (bool, error) {
	if r.Arch != "" && r.Arch != "any" && r.Arch != "native" && r.Arch != s.Arch {
		return false, nil
	}
	if c.Name == r.Name {
		if ok, err := r.Holds(c.Version); ok || err != nil {
			return ok, wrap(c, err)
		}
	}
	for _, group := range c.Provides {
		p := group[0]
		if p.Name != r.Name || (r.Op != "" && p.Op != "=") {
			continue
		}
		if ok, err := r.Holds(p.Bound); ok || err != nil {
			return ok, wrap(c, err)
		}
	}
	return false, nil
}

// checkConflicts refuses packages that exclude each other, as dpkg would.
func (s *selection) checkConflicts() error {
	for _, c := range s.queue {
		for _, group := range c.Conflicts {
			r := group[0]
			others := append([]*archive.Candidate{s.chosen[r.Name]}, s.provided[r.Name]...)
			for _, other := range others {
				if other == nil || other == c {
					continue
				}
				if ok, err := s.supplies(other, r); err != nil {
					return err
				} else if ok {
					return errorf(diag.System, "debian %s: %s %s excludes %s %s, and the base needs both", s.Codename, c.Name, c.Version, other.Name, other.Version).
						WithHint("the sources don't fit together, or the mirror is in the middle of an update: try again later")
				}
			}
		}
	}
	return nil
}

func describe(group []control.Relation) string {
	names := make([]string, len(group))
	for i, r := range group {
		names[i] = r.String()
	}
	return strings.Join(names, " | ")
}

func wrap(c *archive.Candidate, err error) error {
	if err == nil {
		return nil
	}
	return errorf(diag.System, "package %s %s: %w", c.Name, c.Version, err)
}
