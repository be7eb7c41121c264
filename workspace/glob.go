package workspace

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// Bounds of patterns.
const (
	maxPatterns = 10_000  // of one list: each is tried on each member
	maxPattern  = 4096    // bytes of one
	maxSteps    = 1 << 31 // of a Reader, as glob.cost counts them
	perVisit    = 512     // steps that stand for the time of looking at a file
)

// glob is a pattern of paths: "*" and "?" stop at "/", "**" doesn't, "[…]" is a class, "\" quotes.
type glob struct {
	patterns []string // as doublestar reads them; a name matches one of them
	deep     bool     // one has a "**", and so may be tried at each directory of a name
	above    []string // the first elements of the pattern, joined: what leads to a match at that depth
	run      int      // bytes of the longest part that follows a "*"
	depth    int      // elements of a name that can match; 0: any number
}

// parseGlob reads a pattern. doublestar matches it, but takes more for special than we do, and
// gives "**" its meaning only between slashes. So what we write differently is translated:
//
//   - Braces are ordinary characters: alternatives in them would make matching exponential.
//   - "**" beside other characters spans directories too: "lib/**.py" is "lib/**/*.py".
//   - "lib/**" matches what is in lib and not lib itself: it is "lib/**/*".
//   - "lib**" is "lib*" or "lib*/**/*".
func parseGlob(p string) (glob, error) {
	if len(p) > maxPattern {
		return glob{}, fmt.Errorf("a pattern of %d bytes, more than %d", len(p), maxPattern)
	}
	var b strings.Builder
	deep, open := false, false // open: it ends in "**" after other characters
	for i := 0; i < len(p); i++ {
		n := 1 // bytes that are read
		var err error
		switch c := p[i]; {
		case c == '*':
			for i+n < len(p) && p[i+n] == '*' {
				n++
			}
			deep = deep || n > 1
			err = writeStars(&b, p[:i], n, p[i+n:])
			open = n > 1 && i > 0 && p[i-1] != '/' && i+n == len(p)
		case c == '[':
			n, err = writeClass(&b, p[i:])
		case c == '\\' && i+1 < len(p):
			_, n = utf8.DecodeRuneInString(p[i+1:])
			n++
			b.WriteString(p[i : i+n])
		case c == '\\' || c == '{' || c == '}':
			b.WriteString(`\` + p[i:i+1])
		default:
			b.WriteByte(c)
		}
		if err != nil {
			return glob{}, err
		}
		i += n - 1
	}
	g := glob{patterns: []string{b.String()}, deep: deep}
	if !doublestar.ValidatePattern(g.patterns[0]) {
		return glob{}, doublestar.ErrBadPattern
	}
	if open {
		g.patterns = append(g.patterns, g.patterns[0]+"/**/*")
	}
	g.measure()
	return g, nil
}

// measure finds out which directories lead to matches. It goes as far as elements are told apart by
// slashes alone.
func (g *glob) measure() {
	p := g.patterns[0]
	for part := range strings.SplitSeq(p, "*") {
		g.run = max(g.run, len(strings.TrimPrefix(part, "/")))
	}
	if !strings.Contains(p, "*") {
		g.run = 0
	}
	elements := strings.Split(p, "/")
	if !g.deep && !strings.Contains(p, "[") {
		g.depth = len(elements)
	}
	for i, e := range elements {
		if len(g.patterns) > 1 && i == len(elements)-1 || e == "**" || strings.Contains(e, "[") || strings.HasSuffix(e, `\`) || i == maxAbove {
			break
		}
		g.above = append(g.above, strings.Join(elements[:i+1], "/"))
	}
}

// maxAbove bounds the elements of a pattern that are looked at for which directories lead to matches.
const maxAbove = 8

// leads reports whether what a directory holds may match.
func (g *glob) leads(dir string) bool {
	n := strings.Count(dir, "/") + 1
	if dir == "." {
		return true
	}
	if g.depth > 0 && n >= g.depth {
		return false
	}
	return n > len(g.above) || doublestar.MatchUnvalidated(g.above[n-1], dir)
}

// writeStars translates n stars between what is before them and what is after.
func writeStars(b *strings.Builder, before string, n int, after string) error {
	first := before == "" || strings.HasSuffix(before, "/")
	last := after == "" || after[0] == '/'
	switch {
	case n == 1:
		b.WriteString("*")
	case first && last && (before == "" || after != ""):
		b.WriteString("**")
	case first:
		b.WriteString("**/*")
	case after == "":
		b.WriteString("*")
	case last:
		b.WriteString("*/**")
	default:
		return errors.New("a ** within a name: write * for that, or */**/* to span directories")
	}
	return nil
}

// writeClass translates the class that p begins with, and returns how long it is. A backslash in it
// is one of its characters. A class that begins with "!" or "^" doesn't match "/".
func writeClass(b *strings.Builder, p string) (int, error) {
	end := strings.IndexByte(p, ']')
	if end < 2 || p[1:end] == "!" || p[1:end] == "^" {
		return 0, errors.New("a [ without its ]")
	}
	class := p[1:end]
	runes := []rune(strings.TrimLeft(class[:1], "!^") + class[1:])
	for i := 1; i+1 < len(runes); i++ {
		if runes[i] != '-' {
			continue
		}
		if runes[i-1] > runes[i+1] {
			return 0, fmt.Errorf("invalid range %s in [%s]", string(runes[i-1:i+2]), class)
		}
		i++
	}
	class = strings.ReplaceAll(class, `\`, `\\`)
	if class[0] == '!' || class[0] == '^' {
		if before, ok := strings.CutSuffix(class, "-"); ok { // it is no range up to "/"
			class = before + `\-`
		}
		class += "/" // which no class that says what isn't in it has
	}
	b.WriteString("[" + class + "]")
	return end + 1, nil
}

func (g glob) match(name string) bool {
	return slices.ContainsFunc(g.patterns, func(p string) bool { return doublestar.MatchUnvalidated(p, name) })
}

// cost estimates from above how many steps a match takes: what follows a "*" is compared at each byte
// of a name, and the last "**" is tried at each of its directories.
func (g glob) cost(name string) int {
	n := len(g.patterns) * (len(g.patterns[0]) + len(name)*(1+4*min(g.run, len(name))))
	if g.deep {
		n *= 1 + strings.Count(name, "/")
	}
	return n
}

// budget bounds the steps that matching takes, so that no workspace makes it go on for ever.
type budget struct{ steps int }

func (b *budget) spend(n int) error {
	if b.steps += n; b.steps > maxSteps {
		return errors.New("too many patterns for so many files")
	}
	return nil
}

// quote makes a pattern of a path, which matches nothing else.
func quote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
