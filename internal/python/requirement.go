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
	URL        string   // of "name @ URL", which has no specifiers
	specifiers string
	marker     string
}

var (
	archive     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\.(whl|zip|tar|tar\.[a-z0-9]+|tgz|tbz)$`) })
	spaceMarker = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\s;`) })
)

// MaxRequirement is the longest requirement that is read, in bytes, and maxVersion the longest version.
// Nobody writes longer ones, and taking them apart costs a multiple of their length.
const (
	MaxRequirement = 4096
	maxVersion     = 1024
)

// ErrNameless is ParseRequirement's error for a requirement whose name shows only when it is
// fetched: a path, a URL, an archive.
var ErrNameless = errors.New("no requirement by name")

// ParseRequirement takes a requirement apart. Its error is [ErrNameless], or says what an installer
// would refuse. Specifiers and marker are read when they are asked for.
func ParseRequirement(text string) (Requirement, error) {
	text = strings.TrimSpace(text)
	if len(text) > MaxRequirement {
		return Requirement{}, fmt.Errorf("%q…: a requirement of %d bytes, more than %d", text[:40], len(text), MaxRequirement)
	}
	name, rest := cutName(text)
	if name == "" || strings.Contains(name, ".") && archive().MatchString(name) || strings.ContainsAny(text, "\r\n") {
		return Requirement{}, ErrNameless
	}
	r := Requirement{Text: text, Bare: text, Name: Normalise(name)}
	if list, ok := strings.CutPrefix(rest, "["); ok {
		extras, after, ok := strings.Cut(list, "]")
		if !ok || strings.Contains(extras, "[") {
			return Requirement{}, ErrNameless
		}
		rest = strings.TrimSpace(after)
		for x := range strings.SplitSeq(extras, ",") {
			if x = Normalise(strings.TrimSpace(x)); x != "" {
				r.Extras = append(r.Extras, x)
			}
		}
	}
	if url, ok := strings.CutPrefix(rest, "@"); ok {
		r.URL = strings.TrimSpace(url)
		if at := spaceMarker().FindStringIndex(r.URL); at != nil { // a URL may have ";" in it
			r.URL, r.marker = strings.TrimSpace(r.URL[:at[0]]), r.URL[at[1]:]
		}
	} else {
		r.specifiers, r.marker, _ = strings.Cut(rest, ";")
		r.specifiers = strings.TrimSpace(r.specifiers)
		if r.specifiers != "" && !strings.ContainsAny(r.specifiers[:1], "<>=!~(") {
			return Requirement{}, ErrNameless // a path, perhaps
		}
		if strings.HasPrefix(r.specifiers, "=") && !strings.HasPrefix(r.specifiers, "==") {
			return Requirement{}, fmt.Errorf("%q: = is no comparison; a version is pinned with ==", text)
		}
	}
	if r.marker = strings.TrimSpace(r.marker); r.marker != "" {
		r.Bare = strings.TrimRight(strings.TrimSuffix(text, r.marker), "; \t")
	}
	return r, nil
}

// cutName returns the name that text begins with, letters and digits with ".", "_" and "-" between,
// and what follows it.
func cutName(text string) (name, rest string) {
	end := 0
	for end < len(text) && (isAlphanumeric(text[end]) || end > 0 && isSeparator(rune(text[end]))) {
		end++
	}
	name = strings.TrimRight(text[:end], "._-")
	return name, strings.TrimSpace(text[len(name):])
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// Specifiers returns the versions that r admits. A requirement by URL admits any.
func (r *Requirement) Specifiers() Specifiers {
	if r.URL != "" {
		return Specifiers{Unknown: true}
	}
	text := r.specifiers
	if inner, ok := strings.CutPrefix(text, "("); ok {
		text = strings.TrimSuffix(inner, ")")
	}
	return ParseSpecifiers(text)
}

// Marker returns the condition under which r counts.
func (r *Requirement) Marker() Marker {
	if r.marker == "" {
		return Marker{}
	}
	return ParseMarker(r.marker)
}

// Normalise returns the normal spelling of a project's or an extra's name.
func Normalise(name string) string {
	var b strings.Builder
	separated := false
	for _, c := range strings.ToLower(name) {
		if !isSeparator(c) {
			b.WriteRune(c)
		} else if !separated {
			b.WriteByte('-')
		}
		separated = isSeparator(c)
	}
	return b.String()
}
