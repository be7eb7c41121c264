package draw

import (
	"fmt"
	"strings"
)

// class returns the style class of an edge.
func (d *drawing) class(e *edge) string {
	class := classes([...]string{dependsOn: "depends", calls: "call", mayCall: "call may"}[e.kind], string(e.mark))
	if e.over {
		class = classes(class, "over")
	}
	return class
}

// arrow returns the marker at the end of an edge.
func (d *drawing) arrow(e *edge) string {
	if e.mark != "" {
		return string(e.mark)
	}
	if e.kind == dependsOn {
		return "depends"
	}
	return "call"
}

// edgeTitle describes an edge.
func (d *drawing) edgeTitle(e *edge) string {
	if e.call < 0 {
		return d.Environments[e.from].Name + " depends on " + d.Environments[e.to].Name
	}
	c := &d.calls[e.call]
	verb := " calls "
	if c.Possible {
		verb = " may call "
	}
	title := d.FullName(c.Caller) + verb + d.FullName(c.Callee)
	if c.Pos.IsValid() {
		title += " (" + c.Pos.String() + ")"
	}
	return title
}

// drawEdges draws the edges between boxes. Dependencies are below calls. Edges drawn straight are
// below everything.
func (d *drawing) drawEdges() {
	for i := range d.edges {
		if e := &d.edges[i]; e.over {
			x1, x2 := d.right(e.from), d.nodes[e.to].x
			if e.back {
				x1, x2 = d.nodes[e.from].x, d.right(e.to)
			}
			d.path(e, fmt.Sprintf("M%d %dL%d %d", x1, d.nodes[e.from].y+e.fromAt, x2, d.nodes[e.to].y+e.toAt), true)
		}
	}
	for _, kind := range []edgeKind{dependsOn, calls, mayCall} {
		for i := range d.links {
			if k := &d.links[i]; d.edges[k.edge].kind == kind {
				d.path(&d.edges[k.edge], d.linkPath(k), k.last)
			}
		}
	}
}

// path draws one part of an edge. The last part has an arrow and a tooltip.
func (d *drawing) path(e *edge, data string, last bool) {
	if !last {
		d.printf("<path class=\"%s\" d=\"%s\"/>\n", d.class(e), data)
		return
	}
	d.printf("<path class=\"%s\" marker-end=\"url(#%s)\" d=\"%s\">", d.class(e), d.arrow(e), data)
	d.tooltip(d.edgeTitle(e))
	d.printf("</path>\n")
}

// linkPath returns a link's path in the direction of its edge. It is level within columns and
// curved between them.
func (d *drawing) linkPath(k *link) string {
	left, right := k.ends[0], k.ends[1]
	y1, y2 := d.nodes[left].y+k.at[0], d.nodes[right].y+k.at[1]
	x1, x2 := d.columnRight(d.nodes[left].column), d.nodes[right].x
	var b strings.Builder
	if !d.edges[k.edge].back {
		fmt.Fprintf(&b, "M%d %d", d.right(left), y1)
		curve(&b, d.right(left), x1, y1, x2, y2)
		if d.isBend(right) {
			fmt.Fprintf(&b, "H%d", d.right(right))
		}
		return b.String()
	}
	fmt.Fprintf(&b, "M%d %d", x2, y2)
	curve(&b, x2, x2, y2, x1, y1)
	switch {
	case d.isBend(left):
		fmt.Fprintf(&b, "H%d", d.nodes[left].x)
	case d.right(left) != x1:
		fmt.Fprintf(&b, "H%d", d.right(left))
	}
	return b.String()
}

// curve goes level from x to x1. From there it goes to x2 and y2, and arrives level.
func curve(b *strings.Builder, x, x1, y1, x2, y2 int) {
	if y1 == y2 {
		fmt.Fprintf(b, "H%d", x2)
		return
	}
	if x != x1 {
		fmt.Fprintf(b, "H%d", x1)
	}
	middle := (x1 + x2) / 2
	fmt.Fprintf(b, "C%d %d %d %d %d %d", middle, y1, middle, y2, x2, y2)
}

// drawInner draws the calls among an environment's tasks, in lanes to the left of the tasks. Each
// caller has its own lane as long as there are enough lanes.
func (d *drawing) drawInner(e int) {
	if d.lanes[e] == 0 {
		return
	}
	row := map[int]int{}
	for i, t := range d.tasks[e] {
		row[t] = i
	}
	x := padding + d.gutter(e)
	lane := map[int]int{}
	for _, t := range d.tasks[e] {
		for _, i := range d.inner[t] {
			c := &d.calls[i]
			if _, ok := lane[t]; !ok {
				lane[t] = len(lane) % mostGutter
			}
			edge := edge{kind: calls, from: e, to: e, call: int(i), mark: d.callMark(c)}
			if c.Possible {
				edge.kind = mayCall
			}
			d.path(&edge, around(x, x-6-gutterLane*lane[t], d.rowMiddle(e, row[t]), d.rowMiddle(e, row[c.Callee])), true)
		}
	}
}

// around goes from y1 to y2 at x, by way of a lane further left. A task's call of itself comes back
// a little lower.
func around(x, lane, y1, y2 int) string {
	if y1 == y2 {
		y1, y2 = y1-4, y2+5
	}
	r := min(5, x-lane)
	if y2 < y1 {
		return fmt.Sprintf("M%d %dH%dQ%d %d %d %dV%dQ%d %d %d %dH%d", x, y1, lane+r, lane, y1, lane, y1-r, y2+r, lane, y2, lane+r, y2, x)
	}
	return fmt.Sprintf("M%d %dH%dQ%d %d %d %dV%dQ%d %d %d %dH%d", x, y1, lane+r, lane, y1, lane, y1+r, y2-r, lane, y2, lane+r, y2, x)
}

// legendWidth is the width that the legend may take in a narrow picture.
const legendWidth = 460

// legend explains the things that the picture has. It takes as many lines as it needs.
func (d *drawing) legend() (text string, height int) {
	var b strings.Builder
	x, y := 0, 12
	item := func(sign, words string) {
		width := 34 + (columns(words)*smallLetter+9)/10 + 18
		if x > 0 && x+width > max(d.width-margin, legendWidth) {
			x, y = 0, y+20
		}
		fmt.Fprintf(&b, "<g transform=\"translate(%d %d)\">%s<text class=\"image\" x=\"34\" y=\"4\">%s</text></g>\n", x, y, sign, words)
		x += width
	}
	line := func(class, marker string) string {
		return fmt.Sprintf(`<path class="%s" marker-end="url(#%s)" d="M0 0H28"/>`, class, marker)
	}
	has := d.has()
	for _, i := range []struct {
		there       bool
		sign, words string
	}{
		{has["depends"], line("depends", "depends"), "depends_on"},
		{has["call"], line("call", "call"), "calls"},
		{has["may"], line("call may", "call"), "may call"},
		{has["entry"], `<path class="mark" d="M10 -4L17 0L10 4Z"/>`, "where a run begins"},
		{has["orchestrator"], `<g class="task orchestrator"><rect y="-6" width="26" height="12" rx="3"/></g>`, "orchestrator"},
		{has["container"], `<g class="task"><rect y="-6" width="26" height="12" rx="3"/></g>`, "runs in a container"},
		{has["added"], line("added", "added"), "+ added"},
		{has["removed"], line("removed", "removed"), "− removed"},
		{has["changed"], line("changed", "changed"), "~ changed"},
	} {
		if i.there {
			item(i.sign, i.words)
		}
	}
	if b.Len() == 0 {
		return "", 0
	}
	return b.String(), y + 8
}

// has says which things of the legend the picture has.
func (d *drawing) has() map[string]bool {
	has := map[string]bool{}
	for _, e := range d.Environments {
		has["depends"] = has["depends"] || len(e.DependsOn) > 0
	}
	for _, c := range d.calls {
		has["call"], has["may"] = has["call"] || !c.Possible, has["may"] || c.Possible
	}
	for i := range d.Tasks {
		in := d.Tasks[i].InContainer()
		has["container"], has["orchestrator"], has["entry"] = has["container"] || in, has["orchestrator"] || !in, has["entry"] || d.entry[i]
	}
	for _, m := range d.marks {
		has[string(m)] = true
	}
	return has
}
