// Package python reads what Python's packaging standards define: versions and version specifiers (PEP
// 440), requirements and their markers (PEP 508), and normal names (PEP 503).
//
//   - [ParseVersion] reads a [Version]. [Version.Compare] orders versions.
//   - [ParseSpecifiers] reads ">=1.2,<2". [Satisfiable] decides whether some version is in several
//     such sets.
//   - [ParseRequirement] reads "requests[socks]>=2 ; python_version < '3.12'".
//   - [Marker.Eval] decides a marker for a [Target], even if not everything is known of the target.
//
// Nothing here fetches anything. The order of versions is our own and not a library's, for two
// reasons. Deciding on sets of versions needs the versions' parts. And deps.dev/util/semver takes
// 1.0.post0 for 1.0, and finds 1.0 in the intersection of ==1.0 and !=1.0. The tests compare with
// PEP 440 word by word, and with Python's packaging.
package python

import (
	"cmp"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Version is a version as PEP 440 defines it.
type Version struct {
	epoch   int64
	release []int64 // without final zeros
	parts   int     // how many the release was written with
	pre     int64   // a, b, rc: phaseAlpha, … ; phaseFinal for none
	preNum  int64
	post    int64 // -1 for none
	dev     int64 // infinite for none: it comes after all
	local   []localPart
}

// The phases of a release. A release with nothing but .devN comes before all others.
const (
	phaseDev int64 = iota
	phaseAlpha
	phaseBeta
	phaseRC
	phaseFinal
)

// infinite is more than any number in a version.
const infinite = math.MaxInt64

// localPart is a segment of the text after "+". Numbers come after letters.
type localPart struct {
	number int64 // -1 for letters
	text   string
}

// The syntax of appendix B of PEP 440, spelling variants included.
const (
	releasePattern = `v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)`
	suffixPattern  = `(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?([0-9]*))?` +
		`(?:-([0-9]+)|[-_.]?(post|rev|r)[-_.]?([0-9]*))?` +
		`(?:[-_.]?(dev)[-_.]?([0-9]*))?`
	localPattern = `(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?`
)

var versionSyntax = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^` + releasePattern + suffixPattern + localPattern + `$`)
})

// phases has the spellings of each phase.
var phases = map[string]int64{
	"": phaseFinal, "a": phaseAlpha, "alpha": phaseAlpha, "b": phaseBeta, "beta": phaseBeta,
	"c": phaseRC, "rc": phaseRC, "pre": phaseRC, "preview": phaseRC,
}

// ParseVersion reads a version. It returns false if the text isn't a version, has a number of
// more than 18 digits, or is longer than 1,024 bytes.
func ParseVersion(text string) (Version, bool) {
	if len(text) > maxVersion {
		return Version{}, false
	}
	m := versionSyntax().FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return Version{}, false
	}
	p := numberParser{ok: true}
	v := Version{epoch: p.number(m[1]), pre: phases[m[3]], preNum: p.number(m[4]), post: -1, dev: infinite}
	for part := range strings.SplitSeq(m[2], ".") {
		v.release = append(v.release, p.number(part))
	}
	v.parts = len(v.release)
	v.release = trimZeros(v.release)
	if m[5] != "" || m[6] != "" {
		v.post = p.number(m[5] + m[7])
	}
	if m[8] != "" {
		v.dev = p.number(m[9])
	}
	if v.pre == phaseFinal && v.post < 0 && v.dev != infinite {
		v.pre = phaseDev
	}
	if m[10] != "" {
		for part := range strings.FieldsFuncSeq(m[10], isSeparator) {
			v.local = append(v.local, p.local(part))
		}
	}
	return v, p.ok
}

func isSeparator(r rune) bool { return r == '-' || r == '_' || r == '.' }

func trimZeros(release []int64) []int64 {
	for len(release) > 0 && release[len(release)-1] == 0 {
		release = release[:len(release)-1]
	}
	return release
}

// numberParser reads numbers, and remembers whether one was too long.
type numberParser struct{ ok bool }

// number reads a number. It returns 0 for "", as in "1.0rc".
func (p *numberParser) number(s string) int64 {
	s = strings.TrimLeft(s, "0")
	if len(s) > 18 {
		p.ok = false
		return 0
	}
	n, _ := strconv.ParseInt(s, 10, 64) // digits, or empty
	return n
}

func (p *numberParser) local(s string) localPart {
	if strings.Trim(s, "0123456789") == "" {
		return localPart{number: p.number(s)}
	}
	return localPart{-1, s}
}

// Compare orders versions as PEP 440 does; "1.0" and "1.0.0" are equal.
func (v Version) Compare(w Version) int {
	return cmp.Or(v.comparePublic(w), compareLocal(v.local, w.local))
}

// comparePublic is Compare without the text after "+".
func (v Version) comparePublic(w Version) int {
	return cmp.Or(cmp.Compare(v.epoch, w.epoch), compareNumbers(v.release, w.release),
		cmp.Compare(v.pre, w.pre), cmp.Compare(v.preNum, w.preNum), cmp.Compare(v.post, w.post), cmp.Compare(v.dev, w.dev))
}

// compareNumbers compares numbers without final zeros. A longer list is greater than its start.
func compareNumbers(a, b []int64) int {
	for i := range min(len(a), len(b)) {
		if c := cmp.Compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareLocal(a, b []localPart) int {
	for i := range min(len(a), len(b)) {
		if c := cmp.Or(cmp.Compare(a[i].number, b[i].number), cmp.Compare(a[i].text, b[i].text)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// isPre reports whether v comes before the final release of its number.
func (v Version) isPre() bool { return v.pre != phaseFinal || v.dev != infinite }
