package source

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Ignore decides which members of a folder are left out: the last rule that
// matches a member, or a directory above it, decides.
type Ignore []rule

// rule is one pattern.
type rule struct {
	re      *regexp.Regexp // matches paths relative to the folder
	dirOnly bool           // the pattern ended in "/"
	keep    bool           // the pattern began with "!"
}

// Bounds of a list of patterns, of which each is tried on each member, and of one, in bytes.
const (
	maxPatterns = 10_000
	maxPattern  = 4096
)

// ParseIgnore reads patterns, one per line; "#" begins a comment, "!" takes back what an earlier
// pattern left out. As in .gitignore, a pattern without a "/" but at its end
// matches at any depth; as in .dockerignore (docker), every pattern starts at the folder.
func ParseIgnore(lines []string, docker bool) (Ignore, error) {
	if len(lines) > maxPatterns {
		return nil, fmt.Errorf("%d patterns, more than %d", len(lines), maxPatterns)
	}
	var rules Ignore
	for _, line := range lines {
		p := strings.TrimSpace(line)
		if p == "" || strings.HasPrefix(p, "#") {
			continue
		}
		if len(p) > maxPattern {
			return nil, fmt.Errorf("a pattern of %d bytes, more than %d", len(p), maxPattern)
		}
		var r rule
		p, r.keep = strings.CutPrefix(p, "!")
		r.dirOnly = strings.HasSuffix(p, "/") && !docker
		p = strings.TrimSuffix(p, "/")
		anywhere := !docker && !strings.Contains(p, "/")
		p = strings.TrimPrefix(path.Clean("/"+p), "/")
		if p == "" {
			continue
		}
		if anywhere {
			p = "**/" + p
		}
		var err error
		if r.re, err = glob(p); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", line, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// glob translates a pattern: "*" and "?" stop at "/", "**" doesn't, "[…]" is a class, "\" quotes.
func glob(p string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString(`^(?s:`)
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case strings.HasPrefix(p[i:], "**/"):
			b.WriteString(`(?:.*/)?`)
			i += 2
		case strings.HasPrefix(p[i:], "**"):
			b.WriteString(`.*`)
			i++
		case c == '*':
			b.WriteString(`[^/]*`)
		case c == '?':
			b.WriteString(`[^/]`)
		case c == '[':
			end := strings.IndexByte(p[i:], ']')
			if end < 2 {
				return nil, fmt.Errorf("a [ without its ]")
			}
			b.WriteString(class(p[i+1 : i+end]))
			i += end
		case c == '\\' && i+1 < len(p):
			i++
			b.WriteString(regexp.QuoteMeta(p[i : i+1]))
		default:
			b.WriteString(regexp.QuoteMeta(p[i : i+1]))
		}
	}
	b.WriteString(`)$`)
	return regexp.Compile(b.String())
}

// class translates what stands between "[" and "]".
func class(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `[`, `\[`).Replace(s)
	if strings.HasPrefix(s, "!") {
		s = "^" + s[1:]
	}
	return "[" + s + "]"
}

// Match reports whether the member at name, relative to the folder, is left out.
func (ig Ignore) Match(name string, dir bool) bool {
	out := false
	for _, r := range ig {
		if r.keep == out && r.match(name, dir) {
			out = !r.keep
		}
	}
	return out
}

func (r rule) match(name string, dir bool) bool {
	if r.re.MatchString(name) && (dir || !r.dirOnly) {
		return true
	}
	for above := path.Dir(name); above != "." && above != "/"; above = path.Dir(above) {
		if r.re.MatchString(above) {
			return true
		}
	}
	return false
}

// keeps reports whether a rule takes members back in, so that what is left out must be walked too.
func (ig Ignore) keeps() bool {
	for _, r := range ig {
		if r.keep {
			return true
		}
	}
	return false
}
