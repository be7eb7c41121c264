package draw

import (
	"bufio"
	"io"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

// DOT writes g in Graphviz's language. Environments are clusters with their images. Calls are edges
// between tasks, dashed if they are only possible. depends_on are thick grey edges between
// clusters.
func DOT(out io.Writer, g *plan.Graph, o Options) error {
	p := newPicture(g, o)
	buf := bufio.NewWriter(out)
	w := &writer{w: buf}
	w.printf("digraph %s {\n", dotString(g.Entry))
	w.printf("  compound = true\n  rankdir = LR\n  graph [fontname = monospace]\n  node [shape = box, fontname = monospace]\n")
	for e := range g.Environments {
		p.dotCluster(w, e)
	}
	for e, env := range g.Environments {
		for _, d := range env.DependsOn {
			w.printf("  e%d -> e%d [ltail = cluster_%d, lhead = cluster_%d, penwidth = 2, arrowhead = empty, color = %s]\n",
				e, d, e, d, dotColor(p.dependsOnMark(e, d), "gray60"))
		}
	}
	for i := range p.calls {
		c := &p.calls[i]
		style := "solid"
		if c.Possible {
			style = "dashed"
		}
		w.printf("  t%d -> t%d [style = %s, color = %s]\n", c.Caller, c.Callee, style, dotColor(p.callMark(c), "black"))
	}
	w.printf("}\n")
	if w.err != nil {
		return w.err
	}
	return buf.Flush()
}

// dotCluster writes an environment with its tasks. Entry tasks have a thick border.
func (p *picture) dotCluster(w *writer, e int) {
	label := p.Environments[e].Name + "\n" + strings.Join(p.image(e), "\n")
	if size := p.size(e); size != "" {
		label += "\n" + size
	}
	color := dotColor(p.environmentMark(e), "black")
	w.printf("  subgraph cluster_%d {\n    label = %s\n    color = %s\n    fontcolor = %s\n", e, dotString(label), color, color)
	w.printf("    e%d [shape = point, style = invis]\n", e) // where edges between clusters begin and end
	for _, t := range p.tasks[e] {
		width := 1
		if p.entry[t] {
			width = 2
		}
		color := dotColor(p.taskMark(t), "black")
		w.printf("    t%d [label = %s, penwidth = %d, color = %s, fontcolor = %s]\n", t, dotString(p.Tasks[t].Name), width, color, color)
	}
	w.printf("  }\n")
}

// dotColor returns the colour of something added, removed or changed, else usual.
func dotColor(m plan.ChangeKind, usual string) string {
	switch m {
	case plan.Added:
		return "green4"
	case plan.Removed:
		return "red3"
	case plan.Changed:
		return "darkorange3"
	}
	return usual
}

// dotString quotes a string for Graphviz. Graphviz reads escapes and, in labels, character
// entities.
func dotString(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = dotEscapes.Replace(clean(l))
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}

var dotEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `&`, `&amp;`)
