package python

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Specifiers is a set of versions: those that each of its clauses admits. The zero value admits all.
type Specifiers struct {
	clauses []clause
	// Unknown is set where the text isn't one of PEP 440: nothing is known of the set then.
	Unknown bool
}

// clause is one comparison: ">=1.2".
type clause struct {
	op      string
	version Version // but for "==="
	text    string  // for "===": what a version must be, letter by letter
}

var clauseSyntax = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(===|==|!=|<=|>=|~=|<|>)\s*(\S+)$`) })

// wildcard is a release that ends in ".*", which only == and != take.
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

// Pinned reports whether s admits one version at most, written out.
func (s Specifiers) Pinned() bool {
	return slices.ContainsFunc(s.clauses, func(c clause) bool { return c.op == "==" || c.op == "===" })
}

// Contains reports whether s admits a version. Pre-releases count: an installer takes one where there is nothing else.
func (s Specifiers) Contains(version string) bool {
	v, ok := ParseVersion(version)
	return !slices.ContainsFunc(s.clauses, func(c clause) bool {
		if c.op == "===" {
			return c.text != strings.ToLower(strings.TrimSpace(version))
		}
		return !ok || !c.contains(v)
	})
}

// contains is for all operators but "===".
func (c *clause) contains(v Version) bool {
	if (c.op == "==" || c.op == "!=") && c.version.local != nil {
		return (v.Compare(c.version) == 0) == (c.op == "==")
	}
	span, inside := c.span()
	return span.contains(v) == inside
}

// A span is the versions from one up to, and without, another, whatever follows their "+".
// Public versions are discrete but for one place: after all post-releases of a final version there is no first one. Hence every
// comparison is a span or what is outside of one, and a span isn't empty if from comes before to.
type span struct{ from, to Version }

func (s span) contains(v Version) bool {
	return s.from.comparePublic(v) <= 0 && v.comparePublic(s.to) < 0
}

var (
	first = Version{pre: phaseDev, post: -1}        // 0.dev0
	last  = Version{epoch: infinite, pre: phaseDev} // after everything
	all   = span{first, last}
)

// span returns the span that the clause admits, or, with inside false, excludes. The local part of its version is ignored.
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

// next returns the first version after v and what has the same public version.
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

// prefix is the versions whose release begins as v's n first parts.
func prefix(v Version, n int) span {
	release := make([]int64, n)
	copy(release, v.release)
	from := Version{epoch: v.epoch, release: trimZeros(slices.Clone(release)), pre: phaseDev, post: -1}
	release[n-1]++
	return span{from, Version{epoch: v.epoch, release: release, pre: phaseDev, post: -1}}
}

// Satisfiable reports whether some version is in every one of the sets. Where that can't be
// decided, because one isn't of PEP 440, it says true. It takes n log n comparisons.
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

// contains1 is whether the only version that can be admitted is. Of one that PEP 440 doesn't know, only "===" decides.
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

// covers reports whether spans leave nothing of s.
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
