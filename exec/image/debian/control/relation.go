package control

import (
	"fmt"
	"strings"

	version "github.com/knqyf263/go-deb-version"
)

// CompareVersions orders versions as dpkg does. It returns an error if it can't parse one.
func CompareVersions(a, b string) (int, error) {
	if a == b {
		return 0, nil
	}
	va, err := version.NewVersion(a)
	if err != nil {
		return 0, fmt.Errorf("version %q: %w", a, err)
	}
	vb, err := version.NewVersion(b)
	if err != nil {
		return 0, fmt.Errorf("version %q: %w", b, err)
	}
	return va.Compare(vb), nil
}

// Relation is one alternative of a dependency: a name and, perhaps, a bound of its version.
type Relation struct {
	Name, Arch string // Arch: what follows a colon: "any", "native" or an architecture
	Op, Bound  string // Op: "", "<<", "<=", "=", ">=", ">>"
}

// Holds reports whether a version is within the relation's bound.
func (r Relation) Holds(v string) (bool, error) {
	if r.Op == "" {
		return true, nil
	}
	c, err := CompareVersions(v, r.Bound)
	if err != nil {
		return false, err
	}
	switch r.Op {
	case "<<":
		return c < 0, nil
	case "<=", "<":
		return c <= 0, nil
	case "=":
		return c == 0, nil
	case ">=", ">":
		return c >= 0, nil
	case ">>":
		return c > 0, nil
	}
	return false, fmt.Errorf("unknown operator %q", r.Op)
}

// String writes it as Debian does.
func (r Relation) String() string {
	if r.Op == "" {
		return r.Name
	}
	return r.Name + " (" + r.Op + " " + r.Bound + ")"
}

// ParseRelations parses a field such as Depends: groups of alternatives. All groups must be
// satisfied, each by one of its alternatives.
func ParseRelations(value string) ([][]Relation, error) {
	var groups [][]Relation
	for _, part := range strings.Split(value, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		var group []Relation
		for _, alt := range strings.Split(part, "|") {
			r, err := parseRelation(strings.TrimSpace(alt))
			if err != nil {
				return nil, err
			}
			group = append(group, r)
		}
		groups = append(groups, group)
	}
	return groups, nil
}

func parseRelation(s string) (Relation, error) {
	var r Relation
	name, rest, bounded := strings.Cut(s, "(")
	name = strings.TrimSpace(name)
	r.Name, r.Arch, _ = strings.Cut(name, ":")
	if !ValidName(r.Name) {
		return r, fmt.Errorf("%.60q isn't a dependency", s)
	}
	if !bounded {
		return r, nil
	}
	rest, ok := strings.CutSuffix(strings.TrimSpace(rest), ")")
	rest = strings.TrimSpace(rest)
	i := strings.IndexFunc(rest, func(c rune) bool { return !strings.ContainsRune("<>=", c) })
	if !ok || i < 1 {
		return r, fmt.Errorf("%.60q isn't a dependency", s)
	}
	r.Op, r.Bound = rest[:i], strings.TrimSpace(rest[i:])
	return r, nil
}

// ValidName reports whether s is a package's name by Debian's policy. Names become parts of paths.
func ValidName(s string) bool {
	return s != "" && s[0] != '.' && s[0] != '-' && s[0] != '+' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}
