package draw

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

// Mermaid writes g as a Mermaid flowchart. Environments are subgraphs. Calls are arrows, dotted if
// they are only possible. depends_on are thick lines between subgraphs.
func Mermaid(out io.Writer, g *plan.Graph, o Options) error {
	p := newPicture(g, o)
	buf := bufio.NewWriter(out)
	w := &writer{w: buf}
	w.printf("flowchart LR\n")
	classes, links := mermaidStyles{}, mermaidStyles{}
	for e := range g.Environments {
		label := mermaidText(p.Environments[e].Name)
		for _, line := range p.image(e) {
			label += "<br>" + mermaidText(line)
		}
		if size := p.size(e); size != "" {
			label += "<br>" + mermaidText(size)
		}
		w.printf("  subgraph e%d [\"%s\"]\n", e, label)
		for _, t := range p.tasks[e] {
			w.printf("    t%d[\"%s\"]\n", t, mermaidText(g.Tasks[t].Name))
			classes.add(string(p.taskMark(t)), fmt.Sprintf("t%d", t))
			if p.entry[t] {
				classes.add("entry", fmt.Sprintf("t%d", t))
			}
		}
		w.printf("  end\n")
		classes.add(string(p.environmentMark(e)), fmt.Sprintf("e%d", e))
	}
	edges := 0
	edge := func(from, arrow, to string, m plan.ChangeKind) {
		w.printf("  %s %s %s\n", from, arrow, to)
		links.add(string(m), fmt.Sprint(edges))
		edges++
	}
	for e, env := range g.Environments {
		for _, d := range env.DependsOn {
			edge(fmt.Sprintf("e%d", e), "==>", fmt.Sprintf("e%d", d), p.dependsOnMark(e, d))
		}
	}
	for i := range p.calls {
		c := &p.calls[i]
		arrow := "-->"
		if c.Possible {
			arrow = "-.->"
		}
		edge(fmt.Sprintf("t%d", c.Caller), arrow, fmt.Sprintf("t%d", c.Callee), p.callMark(c))
	}
	for _, s := range []struct{ class, style string }{
		{"entry", "stroke-width:3px"}, {string(plan.Added), "stroke:#1a7f37"},
		{string(plan.Removed), "stroke:#cf222e"}, {string(plan.Changed), "stroke:#bc4c00"},
	} {
		if ids := classes[s.class]; len(ids) > 0 {
			w.printf("  classDef %s %s\n  class %s %s\n", s.class, s.style, strings.Join(ids, ","), s.class)
		}
		if ids := links[s.class]; len(ids) > 0 {
			w.printf("  linkStyle %s %s\n", strings.Join(ids, ","), s.style)
		}
	}
	if w.err != nil {
		return w.err
	}
	return buf.Flush()
}

// mermaidStyles lists what each style applies to: nodes by name, or edges by number.
type mermaidStyles map[string][]string

func (s mermaidStyles) add(class, id string) {
	if class != "" {
		s[class] = append(s[class], id)
	}
}

// mermaidText escapes text for a quoted label. Mermaid reads quotes, Markdown and HTML there, so
// every special character becomes a character code.
func mermaidText(s string) string {
	if s == "" {
		return "#160;" // it wants some text
	}
	var b strings.Builder
	for _, r := range clean(s) {
		if r < 0x80 && !strings.ContainsRune(mermaidPlain, r) {
			fmt.Fprintf(&b, "#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

const mermaidPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:/=+()@_-"
