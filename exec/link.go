package exec

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// BadLinks says what is wrong with the symbolic links of a tree: each that is absolute, leads out of
// the tree, leads to what isn't there, or leads to itself. The text is "PATH: a symbolic link to
// TARGET, …". Links to links are followed, as the kernel does.
func BadLinks(tree []Entry) []string {
	var t *linked
	var bad []string
	for _, e := range tree {
		if e.Link == "" {
			continue
		}
		if t == nil {
			t = newLinked(tree)
		}
		if why := t.fault(e); why != "" {
			bad = append(bad, fmt.Sprintf("%s: a symbolic link to %s, %s", e.Path, shownTarget(e.Link), why))
		}
	}
	slices.Sort(bad)
	return bad
}

// shownTarget returns a link's target for messages.
func shownTarget(target string) string {
	if len(target) > 256 {
		target = strings.ToValidUTF8(target[:256], "") + "…"
	}
	if !utf8.ValidString(target) {
		return fmt.Sprintf("%q", target)
	}
	return target
}

// linked is a tree with links.
type linked struct {
	there map[string]bool   // files and links; directories are true
	links map[string]string // targets
}

func newLinked(tree []Entry) *linked {
	t := &linked{map[string]bool{".": true}, map[string]string{}}
	for _, e := range tree {
		t.there[e.Path] = e.Dir || t.there[e.Path]
		for p := path.Dir(e.Path); !t.there[p]; p = path.Dir(p) {
			t.there[p] = true
		}
		if e.Link != "" {
			t.links[e.Path] = e.Link
		}
	}
	return t
}

// maxHops is how many links the kernel follows on one path.
const maxHops = 40

// fault says why a link can't be kept, or "".
func (t *linked) fault(e Entry) string {
	if why := linkFault(e.Path, e.Link); why != "" {
		return why
	}
	at, rest, hops := path.Dir(e.Path), e.Link, 0
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		next := path.Join(at, name)
		isDir, isThere := t.there[next]
		target, isLink := t.links[next]
		switch {
		case !t.there[at]: // a file can't have anything below it
			return "which isn't there"
		case name == ".." && at == ".", isLink && path.IsAbs(target):
			return leadsOut
		case !isThere:
			return "which isn't there"
		case !isLink:
			at = next
			if !isDir && rest != "" {
				return "which isn't there"
			}
		default:
			if hops++; hops > maxHops {
				return "which leads to itself"
			}
			rest = strings.TrimSuffix(target+"/"+rest, "/")
		}
	}
	return ""
}

const leadsOut = "which leads out of the directory"

// linkFault says why no tree can have a link at p with that text, or "". Where the text goes up again
// after it went down, only the tree says where it leads.
func linkFault(p, target string) string {
	ups := 0
	for strings.HasPrefix(target[3*ups:]+"/", "../") {
		if ups++; len(target) < 3*ups {
			break
		}
	}
	switch {
	case target == "" || len(target) > maxPath || !utf8.ValidString(target) || strings.ContainsRune(target, 0):
		return "which can't be kept"
	case path.IsAbs(target):
		return "which is absolute"
	case ups > strings.Count(p, "/"):
		return leadsOut
	}
	return ""
}
