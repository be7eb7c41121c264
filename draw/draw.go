// Package draw writes graphs as pictures. It takes a [plan.Graph] and returns text.
//
//   - [DOT] and [Mermaid] write it in the languages of other drawing programs.
//   - [SVG] draws it itself. layout.go says how: columns of environments (layer.go), their order
//     (order.go), their places (place.go). svg.go writes the result.
//   - [Options] add to the drawing: sizes of images, and what has changed.
//
// Graphs are untrusted. They may be large, and their names and texts may hold anything. So
// everything is escaped for its place in the output, and all work is nearly linear in the size of
// the graph. The same graph gives the same text.
package draw

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// Options are what a drawing shows besides the graph.
type Options struct {
	Sizes   map[int]int64 // bytes of built images, if known, by index into Graph.Images
	Changes []plan.Change // what was added, removed or changed; the graph is then the union of both
}

// picture is a graph, with what all its drawings need.
type picture struct {
	*plan.Graph
	sizes  map[int]int64
	images map[int]*imageText
	tasks  [][]int // of each environment
	entry  []bool  // tasks that the entry file lists and no other task calls
	calls  []plan.Call
	inner  map[int][]int32 // by caller, the calls that stay in its environment; indices into calls
	lanes  []int           // of each environment: how many of its tasks make such calls
	marks  map[mark]plan.ChangeKind
}

// mark names a changed thing.
type mark struct {
	what plan.Thing
	name string
}

func newPicture(g *plan.Graph, o Options) *picture {
	p := &picture{
		Graph: g, sizes: o.Sizes, images: map[int]*imageText{}, tasks: make([][]int, len(g.Environments)), entry: make([]bool, len(g.Tasks)),
		inner: map[int][]int32{}, lanes: make([]int, len(g.Environments)), marks: map[mark]plan.ChangeKind{},
	}
	for i, t := range g.Tasks {
		p.tasks[t.Env] = append(p.tasks[t.Env], i)
		p.entry[i] = t.Listed
	}
	type edge struct{ caller, callee int }
	known := make(map[edge]bool, len(g.Calls))
	for _, c := range g.Calls {
		if c.Caller != c.Callee {
			p.entry[c.Callee] = false
		}
		if e := (edge{c.Caller, c.Callee}); !known[e] {
			known[e] = true
			p.calls = append(p.calls, c)
		}
	}
	for i, c := range p.calls {
		if e := g.Tasks[c.Caller].Env; e == g.Tasks[c.Callee].Env {
			if len(p.inner[c.Caller]) == 0 {
				p.lanes[e]++
			}
			p.inner[c.Caller] = append(p.inner[c.Caller], int32(i))
		}
	}
	for _, c := range o.Changes {
		names := []string{c.Name}
		if c.What == plan.ImageThing {
			names = strings.Split(c.Name, ", ")
		}
		for _, n := range names {
			p.marks[mark{c.What, n}] = c.Change
		}
	}
	return p
}

// The functions below return the marks of things. They join names only if there are any marks.

func (p *picture) environmentMark(e int) plan.ChangeKind {
	name := p.Environments[e].Name
	if m := p.marks[mark{plan.EnvironmentThing, name}]; m != "" {
		return m
	}
	if p.marks[mark{plan.ImageThing, name}] != "" {
		return plan.Changed
	}
	return ""
}

func (p *picture) taskMark(t int) plan.ChangeKind {
	if len(p.marks) == 0 {
		return ""
	}
	return p.marks[mark{plan.TaskThing, p.FullName(t)}]
}

func (p *picture) dependsOnMark(from, to int) plan.ChangeKind {
	if len(p.marks) == 0 {
		return ""
	}
	return p.marks[mark{plan.DependsOnThing, plan.EdgeName(p.Environments[from].Name, p.Environments[to].Name)}]
}

func (p *picture) callMark(c *plan.Call) plan.ChangeKind {
	if len(p.marks) == 0 {
		return ""
	}
	return p.marks[mark{plan.CallThing, plan.EdgeName(p.FullName(c.Caller), p.FullName(c.Callee))}]
}

// imageText describes an image. It is made once for each image, since many environments may have
// it.
type imageText struct {
	short []string // its base, and its steps if it has any: "pip numpy, commands make, 3 further steps"
	lines []string // one line for each of the first steps
}

func (p *picture) imageText(i int) *imageText {
	if t, ok := p.images[i]; ok {
		return t
	}
	const shown = 3 // steps in the description
	lines := p.Images[i].Lines()
	t := &imageText{short: []string{fit(clean(lines[0]), maxImage)}}
	if steps := lines[1:]; len(steps) > 0 {
		if more := len(steps) - shown; more > 1 {
			steps = append(steps[:shown:shown], fmt.Sprintf("%d further steps", more))
		}
		t.short = append(t.short, fit(clean(strings.Join(steps, ", ")), maxImage))
	}
	for _, line := range few(lines) {
		t.lines = append(t.lines, fit(clean(line), maxTooltip))
	}
	p.images[i] = t
	return t
}

// image describes an environment's image in one or two short lines.
func (p *picture) image(e int) []string {
	if i := p.Environments[e].Image; i != plan.NoImage {
		return p.imageText(i).short
	}
	return []string{"no image"}
}

// The bounds of descriptions.
const (
	maxImage        = 44  // columns of an image's description
	maxTooltip      = 200 // columns of a tooltip's line
	maxTooltipLines = 30
)

// few returns the first lines, and the number of further ones.
func few(lines []string) []string {
	if more := len(lines) - maxTooltipLines; more > 0 {
		return append(lines[:maxTooltipLines:maxTooltipLines], fmt.Sprintf("… and %d more", more))
	}
	return lines
}

// size returns the size of an environment's image if it is known: "57 MB".
func (p *picture) size(e int) string {
	if n, ok := p.sizes[p.Environments[e].Image]; ok {
		return plan.Rough(n)
	}
	return ""
}

// oneLine has a space for each character that ends or indents a line.
var oneLine = strings.NewReplacer("\n", " ", "\t", " ", "\r", " ")

// clean returns s as one line that is safe to show.
func clean(s string) string { return text.Safe(oneLine.Replace(s)) }

// columns returns the largest width of s in a fixed-width font. A character outside ASCII may take
// two columns.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= utf8.RuneSelf {
			n++
		}
	}
	return n
}

// fit shortens s to at most max columns.
func fit(s string, max int) string {
	if len(s) <= max || columns(s) <= max {
		return s
	}
	n := 0
	for i, r := range s {
		n++
		if r >= utf8.RuneSelf {
			n++
		}
		if n > max-2 {
			return s[:i] + "…"
		}
	}
	return s
}

// writer writes formatted text and keeps the first error.
type writer struct {
	w   io.Writer
	err error
}

func (w *writer) printf(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format, args...)
	}
}
