package python

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Requirement is a requirement as PEP 508 defines it.
type Requirement struct {
	Text       string   // as written, without the space around
	Bare       string   // Text without the marker
	Name       string   // normalised: "zope-interface"
	Extras     []string // normalised
	Specifiers Specifiers
	URL        string // of "name @ URL", which has no specifiers
	Marker     Marker
}

var (
	requirement = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[([^\[\]]*)\])?\s*(.*)$`)
	})
	archive     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\.(whl|zip|tar|tar\.[a-z0-9]+|tgz|tbz)$`) })
	separators  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[-_.]+`) })
	spaceMarker = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\s;`) })
)

// ErrNameless is ParseRequirement's error for what has no name before it is fetched: a path, a URL, an archive.
var ErrNameless = errors.New("no requirement by name")

// ParseRequirement reads a requirement. Errors are [ErrNameless], or say what an installer would refuse. What
// it might take, though PEP 440 and PEP 508 don't have it, has Unknown specifiers or marker.
func ParseRequirement(text string) (Requirement, error) {
	text = strings.TrimSpace(text)
	m := requirement().FindStringSubmatch(text)
	if m == nil || archive().MatchString(m[1]) {
		return Requirement{}, ErrNameless
	}
	r := Requirement{Text: text, Bare: text, Name: Normalise(m[1])}
	for x := range strings.SplitSeq(m[2], ",") {
		if x = Normalise(strings.TrimSpace(x)); x != "" {
			r.Extras = append(r.Extras, x)
		}
	}
	rest, marker := m[3], ""
	if url, ok := strings.CutPrefix(rest, "@"); ok {
		r.URL = strings.TrimSpace(url)
		if at := spaceMarker().FindStringIndex(r.URL); at != nil { // a URL may have ";" in it
			r.URL, marker = strings.TrimSpace(r.URL[:at[0]]), r.URL[at[1]:]
		}
	} else {
		rest, marker, _ = strings.Cut(rest, ";")
		rest = strings.TrimSpace(rest)
		if rest != "" && !strings.ContainsAny(rest[:1], "<>=!~(") {
			return Requirement{}, ErrNameless // a path, perhaps
		}
		if strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "==") {
			return Requirement{}, fmt.Errorf("%q: = is no comparison; a version is pinned with ==", text)
		}
		if inner, ok := strings.CutPrefix(rest, "("); ok {
			rest = strings.TrimSuffix(inner, ")")
		}
		r.Specifiers = ParseSpecifiers(rest)
	}
	if marker = strings.TrimSpace(marker); marker != "" {
		r.Bare = strings.TrimRight(strings.TrimSuffix(text, marker), "; \t")
		r.Marker = ParseMarker(marker)
	}
	return r, nil
}

// Normalise returns the one spelling of a project's or an extra's name.
func Normalise(name string) string {
	return strings.ToLower(separators().ReplaceAllString(name, "-"))
}
