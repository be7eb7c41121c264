package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// ignore decides which members of a folder are left out: the last pattern that matches a member, or
// a directory above it, decides. The folder's own .dockerignore comes first. Docker's library
// matches it, by Docker's rules: every pattern starts at the folder. Then come [byTools] and the
// patterns after it, which are as those of .gitignore, which that library doesn't have: one without
// a "/" matches at any depth, and one with a "/" at its end matches directories only.
type ignore struct {
	docker *patternmatcher.PatternMatcher // nil: the folder has no .dockerignore
	weight int                            // bytes of docker's patterns
	rules  []rule
	files  fs.FS
	folder string
	budget *budget
}

// rule is one pattern.
type rule struct {
	glob
	name string // if this isn't empty, the pattern is that name, at any depth
	// environment is a rule without a pattern: it matches what [isEnvironment] does.
	environment bool
	dirOnly     bool // the pattern ended in "/"
	keep        bool // the pattern began with "!": it takes back what an earlier one left out
}

// verdict says what the patterns make of a member. Its own members are judged with it.
type verdict struct {
	out    bool
	docker patternmatcher.MatchInfo
	last   int // the number of the last rule that matches it or a directory above it, from 1
}

const (
	dockerIgnore = ".dockerignore"
	maxIgnore    = 1 << 20 // bytes of one
)

// readIgnore returns what decides for a folder: its .dockerignore, then patterns. Matching is paid
// from spent.
func readIgnore(files fs.FS, folder string, patterns []string, spent *budget) (*ignore, error) {
	name := path.Join(folder, dockerIgnore)
	text, err := readPatterns(files, name)
	if err != nil {
		return nil, err
	}
	ig := &ignore{files: files, folder: folder, budget: spent}
	if err := ig.parseDocker(text); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return ig, ig.parse(patterns)
}

// readPatterns returns the text of a file of patterns, "" if there is none.
func readPatterns(files fs.FS, name string) (string, error) {
	data, err := ReadFile(files, name, maxIgnore)
	if _, there := fs.Lstat(files, name); errors.Is(err, fs.ErrNotExist) && there == nil {
		return "", fmt.Errorf("%s is a symbolic link to what isn't there", name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("%s: %w", name, err)
	case !utf8.Valid(data):
		return "", fmt.Errorf("%s: not valid UTF-8", name)
	}
	if err := plain(string(data)); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(data), nil
}

// parseDocker reads the text of a .dockerignore.
func (ig *ignore) parseDocker(text string) error {
	patterns, err := ignorefile.ReadAll(strings.NewReader(text))
	if err != nil || len(patterns) == 0 {
		return err
	}
	if len(patterns) > maxPatterns {
		return fmt.Errorf("%d patterns, more than %d", len(patterns), maxPatterns)
	}
	for _, p := range patterns {
		if len(p) > maxPattern {
			return fmt.Errorf("a pattern of %d bytes, more than %d", len(p), maxPattern)
		}
		// The library reads a pattern when it is first tried. Trying each alone says which is
		// wrong.
		alone, err := patternmatcher.New([]string{strings.TrimPrefix(p, "!")})
		if err == nil {
			_, err = alone.MatchesOrParentMatches("x")
		}
		if err != nil || p == "!" {
			return fmt.Errorf("pattern %q: %w", p, path.ErrBadPattern)
		}
		ig.weight += len(p)
	}
	ig.docker, err = patternmatcher.New(patterns)
	return err
}

// parse reads patterns in the manner of .gitignore. "#" begins a comment.
func (ig *ignore) parse(patterns []string) error {
	if len(patterns) > maxPatterns {
		return fmt.Errorf("%d patterns, more than %d", len(patterns), maxPatterns)
	}
	ig.rules = append(ig.rules, rule{environment: true, dirOnly: true})
	for _, line := range slices.Concat(byTools, patterns) {
		p := strings.TrimSpace(line)
		if p == "" || strings.HasPrefix(p, "#") {
			continue
		}
		var r rule
		p, r.keep = strings.CutPrefix(p, "!")
		p, r.dirOnly = strings.CutSuffix(p, "/")
		anywhere := !strings.Contains(p, "/")
		if p = strings.TrimPrefix(path.Clean("/"+p), "/"); p == "" {
			continue
		}
		if anywhere {
			if !strings.ContainsAny(p, wildcards) {
				r.name = p
			}
			p = "**/" + p
		}
		var err error
		if r.glob, err = parseGlob(p); err != nil {
			return fmt.Errorf("pattern %.100q: %w", line, err)
		}
		ig.rules = append(ig.rules, r)
	}
	return nil
}

// judge returns the verdict about the member name of a directory about which above is the verdict.
func (ig *ignore) judge(name string, dir bool, above verdict) (verdict, error) {
	v := verdict{last: above.last}
	if err := ig.budget.spend(perVisit + len(name)*(1+ig.weight/16)); err != nil {
		return v, err
	}
	var err error
	if ig.docker != nil {
		if v.out, v.docker, err = ig.docker.MatchesUsingParentResults(name, above.docker); err != nil {
			return v, err
		}
	}
	for i := len(ig.rules); i > above.last; i-- {
		r := &ig.rules[i-1]
		if err := ig.budget.spend(r.cost(name)); err != nil {
			return v, err
		}
		if (dir || !r.dirOnly) && ig.matches(r, name) {
			v.last = i
			break
		}
	}
	if v.last > 0 {
		v.out = !ig.rules[v.last-1].keep
	}
	return v, nil
}

func (ig *ignore) matches(r *rule, name string) bool {
	switch {
	case r.environment:
		return isEnvironment(ig.files, path.Join(ig.folder, name))
	case r.name != "":
		return path.Base(name) == r.name
	}
	return r.match(name)
}

func (r *rule) cost(name string) int {
	if r.name != "" || r.environment {
		return 1
	}
	return r.glob.cost(name)
}

// keeps reports whether a pattern takes members back in. If so, what is left out must be walked
// too.
func (ig *ignore) keeps() bool {
	for _, r := range ig.rules {
		if r.keep {
			return true
		}
	}
	return ig.docker != nil && ig.docker.Exclusions()
}
