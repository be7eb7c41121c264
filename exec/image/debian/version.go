package debian

import (
	"fmt"
	"strings"

	version "github.com/knqyf263/go-deb-version"
)

// compareVersions orders versions as dpkg does. A version that can't be parsed is an error.
func compareVersions(a, b string) (int, error) {
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

// relation is one alternative of a dependency: a name and, perhaps, a version's bounds.
type relation struct {
	name, arch string // arch: what follows a colon: "any", "native" or an architecture
	op, bound  string // op: "", "<<", "<=", "=", ">=", ">>"
}

// holds reports whether a version is within the relation's bound.
func (r relation) holds(v string) (bool, error) {
	if r.op == "" {
		return true, nil
	}
	c, err := compareVersions(v, r.bound)
	if err != nil {
		return false, err
	}
	switch r.op {
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
	return false, fmt.Errorf("unknown operator %q", r.op)
}

func (r relation) String() string {
	if r.op == "" {
		return r.name
	}
	return r.name + " (" + r.op + " " + r.bound + ")"
}

// parseRelations parses a field such as Depends: groups of alternatives, all of
// which must be satisfied, each by one of its own.
func parseRelations(value string) ([][]relation, error) {
	var groups [][]relation
	for _, part := range strings.Split(value, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		var group []relation
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

func parseRelation(s string) (relation, error) {
	var r relation
	name, rest, bounded := strings.Cut(s, "(")
	name = strings.TrimSpace(name)
	r.name, r.arch, _ = strings.Cut(name, ":")
	if !validName(r.name) {
		return r, fmt.Errorf("%.60q is no dependency", s)
	}
	if !bounded {
		return r, nil
	}
	rest, ok := strings.CutSuffix(strings.TrimSpace(rest), ")")
	rest = strings.TrimSpace(rest)
	i := strings.IndexFunc(rest, func(c rune) bool { return !strings.ContainsRune("<>=", c) })
	if !ok || i < 1 {
		return r, fmt.Errorf("%.60q is no dependency", s)
	}
	r.op, r.bound = rest[:i], strings.TrimSpace(rest[i:])
	return r, nil
}

// validName reports whether s is a package's name by Debian's policy. Names
// become parts of paths.
func validName(s string) bool {
	return s != "" && s[0] != '.' && s[0] != '-' && s[0] != '+' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}
