package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/plan"
)

// graphOptions are the flags of graph.
type graphOptions struct {
	format format
	load   loadOptions
}

func (o *graphOptions) addFlags(flags *pflag.FlagSet) {
	o.format.addFlags(flags)
	o.load.addFlags(flags)
}

func newGraphCommand(a *app) *cobra.Command {
	o := graphOptions{format: newFormat("text", "json", "dot", "mermaid")}
	cmd := &cobra.Command{
		Use:   "graph [flags] FILE",
		Short: "Print a file's environments, tasks and calls",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("graph needs one FILE").WithHint("flags of flytestar stand before FILE: %s", cmd.UseLine())
			}
			return noFlags(cmd, args)
		},
		ValidArgsFunction: completeFile,
	}
	o.addFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.graph(cmd.Context(), &o, args[0]) }
	return cmd
}

func (a *app) graph(ctx context.Context, o *graphOptions, file string) error {
	return a.load(ctx, file, o.load.options(), func(w *flytestar.Workflow) error {
		g := w.Graph()
		switch o.format.value {
		case "json":
			return writeJSON(a.out, g)
		case "dot":
			return write(a.out, dot(g))
		case "mermaid":
			return write(a.out, mermaid(g))
		}
		return write(a.out, graphText(g))
	})
}

func write(w io.Writer, s string) error {
	_, err := io.WriteString(w, safe(s))
	return err
}

// tasksOf returns the tasks of each environment, by index.
func tasksOf(g *plan.Graph) [][]int {
	tasks := make([][]int, len(g.Environments))
	for i, t := range g.Tasks {
		tasks[t.Env] = append(tasks[t.Env], i)
	}
	return tasks
}

// graphText lists environments with their images, dependencies, tasks and what those call.
func graphText(g *plan.Graph) string {
	calls := make([][]string, len(g.Tasks))
	for _, c := range g.Calls {
		s := g.FullName(c.Callee)
		if c.Possible {
			s += " (possibly)"
		}
		calls[c.Caller] = append(calls[c.Caller], s)
	}
	var b strings.Builder
	for e, tasks := range tasksOf(g) {
		env := &g.Environments[e]
		fmt.Fprintf(&b, "environment %s (%s)\n", env.Name, env.Pos)
		if env.Image == plan.NoImage {
			b.WriteString("  no image\n")
		} else {
			fmt.Fprintf(&b, "  image: %s\n", strings.Join(imageLines(g.Images[env.Image]), "; "))
		}
		for _, d := range env.DependsOn {
			fmt.Fprintf(&b, "  depends on %s\n", g.Environments[d].Name)
		}
		for _, t := range tasks {
			task := &g.Tasks[t]
			fmt.Fprintf(&b, "  task %s%s -> %s (%s)\n", task.Name, signature(task), outputForm(task), task.Body.Kind)
			for _, c := range calls[t] {
				fmt.Fprintf(&b, "    calls %s\n", c)
			}
		}
	}
	return b.String()
}

// signature is a task's inputs as in "(x: str, n: int = 3)".
func signature(t *plan.Task) string {
	params := make([]string, len(t.Inputs))
	for i, p := range t.Inputs {
		params[i] = p.Name + ": " + p.Type.String()
		if p.Default != nil {
			params[i] += " = " + string(spaced(p.Default))
		}
	}
	return "(" + strings.Join(params, ", ") + ")"
}

// dot is the graph in Graphviz's language: environments as clusters, calls as
// edges, dashed where they are only possible, depends_on dotted between clusters.
func dot(g *plan.Graph) string {
	var b strings.Builder
	b.WriteString("digraph workflow {\n  compound = true\n  node [shape = box]\n")
	for e, tasks := range tasksOf(g) {
		fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label = %q\n", e, g.Environments[e].Name)
		fmt.Fprintf(&b, "    e%d [shape = point, style = invis]\n", e)
		for _, t := range tasks {
			fmt.Fprintf(&b, "    t%d [label = %q]\n", t, g.Tasks[t].Name)
		}
		b.WriteString("  }\n")
	}
	for e, env := range g.Environments {
		for _, d := range env.DependsOn {
			fmt.Fprintf(&b, "  e%d -> e%d [style = dotted, ltail = cluster_%d, lhead = cluster_%d]\n", e, d, e, d)
		}
	}
	for _, c := range g.Calls {
		style := ""
		if c.Possible {
			style = " [style = dashed]"
		}
		fmt.Fprintf(&b, "  t%d -> t%d%s\n", c.Caller, c.Callee, style)
	}
	return b.String() + "}\n"
}

// mermaid is the same as a Mermaid flowchart.
func mermaid(g *plan.Graph) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for e, tasks := range tasksOf(g) {
		fmt.Fprintf(&b, "  subgraph e%d [\"%s\"]\n", e, g.Environments[e].Name)
		for _, t := range tasks {
			fmt.Fprintf(&b, "    t%d[\"%s\"]\n", t, g.Tasks[t].Name)
		}
		b.WriteString("  end\n")
	}
	for e, env := range g.Environments {
		for _, d := range env.DependsOn {
			fmt.Fprintf(&b, "  e%d -.- e%d\n", e, d)
		}
	}
	for _, c := range g.Calls {
		arrow := "-->"
		if c.Possible {
			arrow = "-.->"
		}
		fmt.Fprintf(&b, "  t%d %s t%d\n", c.Caller, arrow, c.Callee)
	}
	return b.String()
}
