package python

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Specifiers is the set of versions that all its clauses admit. The zero value admits every
// version.
type Specifiers struct {
	clauses []clause
	// Unknown is set if the text isn't one of PEP 440. Nothing is known of the set then.
	Unknown bool
}

// clause is one comparison: ">=1.2".
type clause struct {
	op      string
	version Version // but for "==="
	text    string  // for "===": what a version must be, letter by letter
}

var clauseSyntax = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(===|==|!=|<=|>=|~=|<|>)\s*(\S+)$`) })

// wildcard says that the release ends in ".*". Only == and != take such a release.
var wildcard = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^` + releasePattern + `\.\*$`) })

// ParseSpecifiers reads comparisons with commas between: ">=1.2, !=1.5.*".
func ParseSpecifiers(text string) Specifiers {
	var s Specifiers
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		c, ok := parseClause(part)
		if !ok {
			return Specifiers{Unknown: true}
		}
		s.clauses = append(s.clauses, c)
	}
	return s
}

func parseClause(text string) (clause, bool) {
	m := clauseSyntax().FindStringSubmatch(text)
	if m == nil {
		return clause{}, false
	}
	c := clause{op: m[1], text: strings.ToLower(m[2])}
	if c.op == "===" {
		return c, true
	}
	if (c.op == "==" || c.op == "!=") && wildcard().MatchString(c.text) {
		c.op += "*"
		c.text = strings.TrimSuffix(c.text, ".*")
	}
	var ok bool
	c.version, ok = ParseVersion(c.text)
	switch c.op {
	case "==", "!=":
	case "~=":
		ok = ok && c.version.parts > 1 && c.version.local == nil
	default:
		ok = ok && c.version.local == nil
	}
	return c, ok
}

// Pinned reports whether s admits at most one version, which is written out.
func (s Specifiers) Pinned() bool {
	return slices.ContainsFunc(s.clauses, func(c clause) bool { return c.op == "==" || c.op == "===" })
}

// Contains reports whether s admits a version. Pre-releases count: an installer takes one if there
// is nothing else.
func (s Specifiers) Contains(version string) bool {
	v, ok := ParseVersion(version)
	return !slices.ContainsFunc(s.clauses, func(c clause) bool {
		if c.op == "===" {
			return c.text != strings.ToLower(strings.TrimSpace(version))
		}
		return !ok || !c.contains(v)
	})
}

// contains decides all operators but "===".
func (c *clause) contains(v Version) bool {
	if (c.op == "==" || c.op == "!=") && c.version.local != nil {
		return (v.Compare(c.version) == 0) == (c.op == "==")
	}
	span, inside := c.span()
	return span.contains(v) == inside
}

// A span is the versions from one up to another, which isn't in it. What follows a "+" doesn't
// count. Public versions are discrete but for one place: after all post-releases of a final version
// there is no first one. So every comparison is a span or the outside of a span, and a span isn't
// empty if from comes before to.
type span struct{ from, to Version }

func (s span) contains(v Version) bool {
	return s.from.comparePublic(v) <= 0 && v.comparePublic(s.to) < 0
}

var (
	first = Version{pre: phaseDev, post: -1}        // 0.dev0
	last  = Version{epoch: infinite, pre: phaseDev} // after everything
	all   = span{first, last}
)

// span returns the span that the clause admits, or excludes if inside is false. The local part of
// its version is ignored.
func (c *clause) span() (s span, inside bool) {
	v := c.version
	v.local = nil
	switch c.op {
	case "==", "!=":
		return span{v, v.next()}, c.op == "=="
	case "==*", "!=*":
		return prefix(v, v.parts), c.op == "==*"
	case "~=":
		return span{v, prefix(v, v.parts-1).to}, true
	case ">=":
		return span{v, last}, true
	case "<=":
		return span{first, v.next()}, true
	case ">":
		return span{v.afterPosts(), last}, true
	default: // "<"
		return span{first, v.beforePres()}, true
	}
}

// next returns the first version after v and all others with the same public version.
func (v Version) next() Version {
	switch {
	case v.dev != infinite:
		v.dev++
	case v.post >= 0:
		v.post, v.dev = v.post+1, 0
	default:
		v.post, v.dev = 0, 0
	}
	return v
}

// afterPosts returns where ">v" begins: it admits no post-release of v, unless v is one.
func (v Version) afterPosts() Version {
	switch {
	case v.post >= 0 || v.dev != infinite:
		return v.next()
	case v.pre != phaseFinal:
		v.preNum, v.dev = v.preNum+1, 0
	default:
		v.post, v.dev = infinite, 0 // no version has this; all later ones are greater
	}
	return v
}

// beforePres returns where "<v" ends: it admits no pre-release of v, unless v is one.
func (v Version) beforePres() Version {
	switch {
	case v.isPre():
		return v
	case v.post >= 0:
		v.dev = 0
	default:
		v.pre, v.dev = phaseDev, 0
	}
	return v
}

// prefix returns the versions whose release begins with the first n parts of v's.
func prefix(v Version, n int) span {
	release := make([]int64, n)
	copy(release, v.release)
	from := Version{epoch: v.epoch, release: trimZeros(slices.Clone(release)), pre: phaseDev, post: -1}
	release[n-1]++
	return span{from, Version{epoch: v.epoch, release: release, pre: phaseDev, post: -1}}
}

// Satisfiable reports whether some version is in all sets. It says true if that can't be decided,
// because a set isn't one of PEP 440. It takes n log n comparisons.
func Satisfiable(sets ...Specifiers) bool {
	var whole Specifiers
	for _, s := range sets {
		if s.Unknown {
			return true
		}
		whole.clauses = append(whole.clauses, s.clauses...)
	}
	in, out, exact := all, []span{}, ""
	for i := range whole.clauses {
		c := &whole.clauses[i]
		if c.op == "===" || c.op == "==" && c.version.local != nil && exact == "" {
			exact = c.text
			continue
		}
		switch s, inside := c.span(); {
		case inside:
			in = in.intersect(s)
		case c.version.local == nil: // otherwise the public version remains
			out = append(out, s)
		}
	}
	if exact != "" {
		return whole.contains1(exact)
	}
	return !covers(out, in)
}

// contains1 reports whether the only version that can be admitted is admitted. If it isn't a
// version of PEP 440, only "===" decides.
func (s Specifiers) contains1(exact string) bool {
	if _, ok := ParseVersion(exact); ok {
		return s.Contains(exact)
	}
	return !slices.ContainsFunc(s.clauses, func(c clause) bool { return c.op == "===" && c.text != exact })
}

func (s span) intersect(t span) span {
	if s.from.comparePublic(t.from) < 0 {
		s.from = t.from
	}
	if t.to.comparePublic(s.to) < 0 {
		s.to = t.to
	}
	return s
}

// covers reports whether spans cover all of s.
func covers(spans []span, s span) bool {
	slices.SortFunc(spans, func(a, b span) int { return a.from.comparePublic(b.from) })
	for _, x := range spans {
		if s.from.comparePublic(x.from) < 0 {
			break
		}
		if s.from.comparePublic(x.to) < 0 {
			s.from = x.to
		}
	}
	return s.from.comparePublic(s.to) >= 0
}
