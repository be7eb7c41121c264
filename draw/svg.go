package draw

import (
	"bufio"
	_ "embed"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

//go:embed style.css
var style string

// The measures of boxes, in pixels. A letter of the font is narrower than 0.63 of its size.
const (
	nameLetter   = 85 // tenths of a pixel, in 13 px and bold
	smallLetter  = 67 // in 10.5 px
	taskLetter   = 76 // in 12 px
	padding      = 10
	headerHeight = 30 // plus a line for each line of the image
	headerMiddle = 22 // where edges of depends_on begin and end
	lineHeight   = 14
	rowHeight    = 22
	rowGap       = 4
	leastBox     = 130
	mostBox      = 320
	gutterLane   = 7 // for calls within a box
	mostGutter   = 6 // lanes; further calls share them
)

// header returns the height of the part of a box above its tasks.
func (p *picture) header(e int) int { return headerHeight + lineHeight*len(p.image(e)) }

// rowMiddle returns the middle of a box's i-th task, in pixels below the box's top.
func (p *picture) rowMiddle(e, i int) int { return p.header(e) + i*(rowHeight+rowGap) + rowHeight/2 }

// boxSize returns the size of an environment's box.
func (p *picture) boxSize(e int) (width, height int) {
	wide := func(s string, letter, more int) { width = max(width, (columns(s)*letter+9)/10+more) }
	wide(p.envName(e)+p.size(e), nameLetter, 2*padding+14)
	for _, line := range p.image(e) {
		wide(line, smallLetter, 2*padding)
	}
	for _, t := range p.tasks[e] {
		wide(p.taskName(t)+string(p.Tasks[t].Body.Kind), taskLetter, 2*padding+40+p.gutter(e))
	}
	height = p.header(e) + len(p.tasks[e])*(rowHeight+rowGap)
	if len(p.tasks[e]) > 0 {
		height += padding - rowGap
	}
	return min(max(width, leastBox), mostBox), height
}

// gutter returns the width of the lanes to the left of an environment's tasks. Calls among the
// tasks run there.
func (p *picture) gutter(e int) int {
	if p.lanes[e] == 0 {
		return 0
	}
	return 4 + gutterLane*min(p.lanes[e], mostGutter)
}

func (p *picture) envName(e int) string  { return marked(p.environmentMark(e)) + p.Environments[e].Name }
func (p *picture) taskName(t int) string { return marked(p.taskMark(t)) + p.Tasks[t].Name }

// marked returns the sign before the name of something that was added, removed or changed.
func marked(m plan.ChangeKind) string {
	switch m {
	case plan.Added:
		return "+ "
	case plan.Removed:
		return "− "
	case plan.Changed:
		return "~ "
	}
	return ""
}

// SVG draws g: environments as boxes with their tasks, depends_on and calls as edges, and a legend.
// Tooltips have the details. The file needs no other file, has light and dark colours, and has no
// scripts.
func SVG(out io.Writer, g *plan.Graph, o Options) error {
	p := newPicture(g, o)
	l := newLayout(p)
	buf := bufio.NewWriter(out)
	d := &drawing{layout: l, writer: writer{w: buf}}
	d.draw()
	if d.err != nil {
		return d.err
	}
	return buf.Flush()
}

// drawing writes a layout as SVG.
type drawing struct {
	*layout
	writer
}

func (d *drawing) draw() {
	legend, legendHeight := d.legend()
	width, height := max(d.width, legendWidth)+margin, d.height+legendHeight+2*margin
	title := fmt.Sprintf("%s: %s, %s", d.Entry, counted(len(d.Environments), "environment"), counted(len(d.Tasks), "task"))
	d.printf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n", width, height, width, height)
	d.printf("<title>%s</title>\n<style>\n%s</style>\n", escape(title), style)
	d.printf("<defs>\n")
	for _, m := range []string{"call", "depends", "added", "removed", "changed"} {
		d.printf("<marker id=\"%s\" class=\"%[1]s\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"9\" markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M1 1L9 5L1 9Z\"/></marker>\n", m)
	}
	d.printf("</defs>\n<rect class=\"page\" width=\"100%%\" height=\"100%%\"/>\n")
	d.drawEdges()
	for e := range d.Environments {
		d.drawBox(e)
	}
	d.printf("<g class=\"legend\" transform=\"translate(%d %d)\">\n%s</g>\n</svg>\n", margin, d.height+margin, legend)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// escape escapes text for XML, and keeps it on one line.
func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(clean(s))) // a Builder never fails
	return b.String()
}

// tooltip writes a title with several lines.
func (d *drawing) tooltip(lines ...string) {
	for i, line := range lines {
		lines[i] = escape(fit(clean(line), maxTooltip))
	}
	d.printf("<title>%s</title>", strings.Join(lines, "\n"))
}

// drawBox draws an environment with its tasks.
func (d *drawing) drawBox(e int) {
	env, n := &d.Environments[e], &d.nodes[e]
	d.printf("<g class=\"%s\" transform=\"translate(%d %d)\">", classes("env", string(d.environmentMark(e))), n.x, n.y)
	d.tooltip(d.environmentLines(e)...)
	d.printf("<rect width=\"%d\" height=\"%d\" rx=\"8\"/>", n.width, n.height)
	size := d.size(e)
	room := (n.width - 2*padding) * 10
	d.printf("<text class=\"name\" x=\"%d\" y=\"19\">%s</text>", padding, escape(fit(d.envName(e), room/nameLetter-columns(size))))
	if size != "" {
		d.printf("<text class=\"image end\" x=\"%d\" y=\"19\">%s</text>", n.width-padding, escape(size))
	}
	image := "image"
	if env.Image == plan.NoImage {
		image = "image none"
	}
	for i, line := range d.image(e) {
		d.printf("<text class=\"%s\" x=\"%d\" y=\"%d\">%s</text>\n", image, padding, 35+i*lineHeight, escape(fit(line, room/smallLetter)))
	}
	for i, t := range d.tasks[e] {
		d.drawTask(e, i, t)
	}
	d.drawInner(e)
	d.printf("</g>\n")
}

// classes joins two class names. The second may be empty.
func classes(a, b string) string { return strings.TrimSpace(a + " " + b) }

// drawTask draws a task as a row of its box.
func (d *drawing) drawTask(e, row, t int) {
	task := &d.Tasks[t]
	left, width := padding+d.gutter(e), d.nodes[e].width-2*padding-d.gutter(e)
	class := classes("task", string(d.taskMark(t)))
	if !task.InContainer() {
		class = classes(class, "orchestrator")
	}
	if d.entry[t] {
		class = classes(class, "entry")
	}
	d.printf("<g class=\"%s\" transform=\"translate(%d %d)\">", class, left, d.rowMiddle(e, row)-rowHeight/2)
	d.tooltip(d.taskLines(t)...)
	d.printf("<rect width=\"%d\" height=\"%d\" rx=\"%d\"/>", width, rowHeight, 4)
	x := 8
	if d.entry[t] {
		d.printf("<path class=\"mark\" d=\"M7 7L14 11L7 15Z\"/>")
		x = 19
	}
	kind := string(task.Body.Kind)
	room := (width-x-14)*10/taskLetter - columns(kind)
	d.printf("<text x=\"%d\" y=\"15\">%s</text><text class=\"kind end\" x=\"%d\" y=\"15\">%s</text></g>\n", x, escape(fit(d.taskName(t), room)), width-8, kind)
}

// environmentLines describes an environment.
func (d *drawing) environmentLines(e int) []string {
	env := &d.Environments[e]
	lines := []string{"environment " + env.Name}
	if env.Pos.IsValid() {
		lines[0] += " (" + env.Pos.String() + ")"
	}
	if env.Description != "" {
		lines = append(lines, env.Description)
	}
	if env.Image != plan.NoImage {
		lines = append(lines, d.imageText(env.Image).lines...)
	} else {
		lines = append(lines, "no image: orchestrators only")
	}
	if size := d.size(e); size != "" {
		lines = append(lines, "built: "+size)
	}
	if r := env.Resources.String(); r != "" {
		lines = append(lines, "resources: "+r)
	}
	if env.Network {
		lines = append(lines, "with network")
	}
	return few(lines)
}

// taskLines describes a task.
func (d *drawing) taskLines(t int) []string {
	task := &d.Tasks[t]
	lines := []string{"task " + d.FullName(t)}
	if task.Pos.IsValid() {
		lines[0] += " (" + task.Pos.String() + ")"
	}
	lines = append(lines, task.Name+task.Signature(), task.Body.String())
	if task.Resources != nil && task.Resources.String() != "" {
		lines = append(lines, "resources: "+task.Resources.String())
	}
	if doc, _, _ := strings.Cut(strings.TrimSpace(task.Doc), "\n"); doc != "" {
		lines = append(lines, doc)
	}
	return few(lines)
}
