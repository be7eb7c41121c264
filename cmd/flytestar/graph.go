package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/draw"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// graphOptions are the flags of graph.
type graphOptions struct {
	format   format
	diff     bool
	exitCode bool
	schema   bool
	load     loadOptions
}

func (o *graphOptions) addFlags(flags *pflag.FlagSet) {
	o.format.addFlags(flags)
	flags.BoolVar(&o.diff, "diff", false, "print the differences between OLD and NEW")
	flags.BoolVar(&o.exitCode, "exit-code", false, "with --diff: exit with 3 if there are differences")
	flags.BoolVar(&o.schema, "schema", false, "print only the JSON Schema of -o json")
	o.load.addFlags(flags)
}

func newGraphCommand(a *app) *cobra.Command {
	o := graphOptions{format: newFormat("text", "json", "dot", "mermaid", "svg")}
	cmd := &cobra.Command{
		Use:   "graph [flags] FILE | graph --diff [flags] OLD NEW | graph --schema",
		Short: "Print or draw environments, tasks and calls, or the differences between two files",
		Long: `graph prints or draws a workflow: its environments with their images, its tasks, and
which task calls which. Images need not be built; it shows the size of those that are.
FILE is a workflow file, or a .json file that graph -o json wrote. With --diff it shows
the differences between two such files.`,
		Args: o.arguments,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"star", "json"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	o.addFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case o.schema:
			return write(a.out, plan.GraphSchema())
		case o.diff:
			return a.diff(cmd.Context(), &o, args[0], args[1])
		}
		return a.graph(cmd.Context(), &o, args[0])
	}
	return cmd
}

func (o *graphOptions) arguments(cmd *cobra.Command, args []string) error {
	if err := noFlags(cmd, args); err != nil {
		return err
	}
	want, what := 1, "graph needs one FILE"
	switch {
	case o.schema:
		want, what = 0, "graph --schema takes no FILE"
	case o.diff:
		want, what = 2, "graph --diff needs OLD and NEW"
	case o.exitCode:
		return usage("--exit-code needs --diff").WithHint("%s", cmd.UseLine())
	}
	if len(args) != want {
		return usage("%s", what).WithHint("flags of flytestar come before FILE: %s", cmd.UseLine())
	}
	return nil
}

// graph prints one graph.
func (a *app) graph(ctx context.Context, o *graphOptions, file string) error {
	g, sizes, err := a.readGraph(ctx, o, file)
	if err != nil {
		return err
	}
	switch o.format.value {
	case "json":
		return values.WriteJSON(a.out, g)
	case "text":
		return writeGraph(a.out, g, sizes)
	}
	return a.draw(o, g, draw.Options{Sizes: sizes})
}

// draw writes a picture of a graph.
func (a *app) draw(o *graphOptions, g *plan.Graph, options draw.Options) error {
	switch o.format.value {
	case "dot":
		return draw.DOT(a.out, g, options)
	case "mermaid":
		return draw.Mermaid(a.out, g, options)
	}
	return draw.SVG(a.out, g, options)
}

// diff prints the differences between two graphs.
func (a *app) diff(ctx context.Context, o *graphOptions, oldFile, newFile string) error {
	old, _, err := a.readGraph(ctx, o, oldFile)
	if err != nil {
		return err
	}
	g, sizes, err := a.readGraph(ctx, o, newFile)
	if err != nil {
		return err
	}
	d := plan.Compare(old, g)
	switch o.format.value {
	case "json":
		err = values.WriteJSON(a.out, d)
	case "text":
		err = writeDiff(a.out, d)
	default:
		err = a.draw(o, plan.Union(old, g), draw.Options{Sizes: sizes, Changes: d.Changes})
	}
	if err == nil && o.exitCode && len(d.Changes) > 0 {
		return status(exitSource)
	}
	return err
}

// readGraph returns the graph of a workflow file, or of a file with a graph in JSON. For the forms
// that show them, it adds the sizes of the images that have been built.
func (a *app) readGraph(ctx context.Context, o *graphOptions, file string) (g *plan.Graph, sizes map[int]int64, err error) {
	if strings.HasSuffix(file, ".json") {
		if g, err = readGraphFile(file); err == nil {
			err = o.showable(g, file)
		}
		return g, nil, err
	}
	err = a.load(ctx, file, o.load.graphOnly(a), func(w *flytestar.Workflow) error {
		g = w.Graph()
		if err := o.showable(g, file); err != nil {
			return err
		}
		if o.format.value != "json" {
			sizes, err = w.Sizes()
		}
		return err
	})
	return g, sizes, err
}

// Bounds of what is shown of a graph, which a few lines of source can make as large as a message may
// be. What shows it takes several times as much memory as it writes.
const (
	maxShown = 64 << 20  // bytes of JSON
	maxLinks = 1_000_000 // calls and dependencies in a picture
)

// showable returns an error of class Limit for a graph that is too large to show.
func (o *graphOptions) showable(g *plan.Graph, file string) error {
	if !g.Lighter(maxShown) {
		return tooLarge(file, "the graph takes more than %d MiB as JSON", maxShown>>20).
			WithHint("make fewer tasks or dependencies, or move long texts into files")
	}
	links := len(g.Calls)
	for i := range g.Environments {
		links += len(g.Environments[i].DependsOn)
	}
	if drawn := o.format.value != "json" && o.format.value != "text"; drawn && links > maxLinks {
		return tooLarge(file, "a picture of the graph would have more than %d calls and dependencies", maxLinks).
			WithHint("-o json and -o text show more")
	}
	return nil
}

func tooLarge(file, format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{File: file}, diag.Limit, format, args...)
}

// readGraphFile reads a graph that graph -o json wrote.
func readGraphFile(file string) (g *plan.Graph, err error) {
	// Check before opening: opening a pipe would wait for its writer.
	if info, err := os.Stat(file); err != nil {
		return nil, usage("%w", err)
	} else if !info.Mode().IsRegular() {
		return nil, usage("%s isn't a file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, usage("%w", err)
	}
	defer f.Close()
	if g, err = plan.ReadGraph(f); err != nil {
		return nil, usage("%s isn't a graph: %w", file, err).WithHint("flytestar graph -o json writes one, flytestar graph --schema prints its form")
	}
	return g, nil
}

func write(w io.Writer, s string) error {
	_, err := io.WriteString(w, text.Safe(s))
	return err
}

// writer writes lines for people and keeps the first error.
type writer struct {
	buf *bufio.Writer
	err error
}

func newWriter(w io.Writer) *writer { return &writer{buf: bufio.NewWriter(w)} }

// printf writes format, which has the newlines. An argument can't add one.
func (w *writer) printf(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = text.OneLine(s)
		}
	}
	if w.err == nil {
		w.err = write(w.buf, fmt.Sprintf(format, args...))
	}
}

// close flushes, and returns the first error of all writes.
func (w *writer) close() error {
	if w.err != nil {
		return w.err
	}
	return w.buf.Flush()
}

// writeGraph lists environments with their images, dependencies, tasks and calls.
func writeGraph(out io.Writer, g *plan.Graph, sizes map[int]int64) error {
	calls := make([][]int, len(g.Tasks)) // by caller, indices into g.Calls
	for i, c := range g.Calls {
		calls[c.Caller] = append(calls[c.Caller], i)
	}
	tasks := make([][]int, len(g.Environments))
	for i, t := range g.Tasks {
		tasks[t.Env] = append(tasks[t.Env], i)
	}
	w := newWriter(out)
	known := map[int]string{}
	images := func(i int) string {
		if _, ok := known[i]; !ok {
			known[i] = shorten(strings.Join(g.Images[i].Lines(), "; "))
		}
		return known[i]
	}
	for e := range g.Environments {
		writeEnvironment(w, g, e, images, sizes)
		for _, t := range tasks[e] {
			task := &g.Tasks[t]
			w.printf("  task %s%s (%s)\n", task.Name, task.Signature(), task.Body.Kind)
			for _, i := range calls[t] {
				verb := "calls"
				if g.Calls[i].Possible {
					verb = "may call"
				}
				w.printf("    %s %s\n", verb, g.FullName(g.Calls[i].Callee))
			}
		}
	}
	return w.close()
}

func writeEnvironment(w *writer, g *plan.Graph, e int, images func(int) string, sizes map[int]int64) {
	env := &g.Environments[e]
	w.printf("environment %s%s\n", env.Name, site(env.Pos))
	if env.Image == plan.NoImage {
		w.printf("  no image\n")
	} else {
		size := ""
		if n, ok := sizes[env.Image]; ok {
			size = "; " + plan.Rough(n)
		}
		w.printf("  image: %s%s\n", images(env.Image), size)
	}
	for _, d := range env.DependsOn {
		w.printf("  depends on %s\n", g.Environments[d].Name)
	}
}

// site returns a position in brackets, or "" if it isn't valid.
func site(p diag.Position) string {
	if !p.IsValid() {
		return ""
	}
	return " (" + p.String() + ")"
}

// writeDiff writes differences for people, by kind of thing.
func writeDiff(out io.Writer, d *plan.Diff) error {
	w := newWriter(out)
	signs := map[plan.ChangeKind]string{plan.Added: "+", plan.Removed: "-", plan.Changed: "~"}
	for i, c := range d.Changes {
		if i == 0 || d.Changes[i-1].What != c.What {
			w.printf("%s\n", map[plan.Thing]string{
				plan.EnvironmentThing: "environments", plan.ImageThing: "images of", plan.DependsOnThing: "depends_on",
				plan.TaskThing: "tasks", plan.CallThing: "calls",
			}[c.What])
		}
		w.printf("  %s %s%s\n", signs[c.Change], shorten(c.Name), site(c.Pos))
		for _, f := range c.Fields {
			w.printf("      %s\n", fieldChange(f))
		}
	}
	if len(d.Changes) == 0 {
		w.printf("no difference\n")
	}
	return w.close()
}

// maxLine is the longest line about an image, a step, a body or a field, in columns.
const maxLine = 200

// shorten returns s as one line of at most maxLine columns.
func shorten(s string) string {
	s = strings.ReplaceAll(s, "\n", " ")
	if short := text.Cut(s, maxLine); len(short) < len(s) {
		return short + "…"
	}
	return s
}

// fieldChange describes the change of a field on one line: "+ step pip numpy", "retries: 1 -> 3".
func fieldChange(f plan.FieldChange) string {
	switch {
	case f.Field == "base" || f.Field == "step":
		if f.Old != "" {
			return "- " + shorten(f.Old)
		}
		return "+ " + shorten(f.New)
	case f.Old == "":
		return "+ " + f.Field + ": " + shorten(f.New)
	case f.New == "":
		return "- " + f.Field + ": " + shorten(f.Old)
	}
	return f.Field + ": " + shorten(f.Old) + " -> " + shorten(f.New)
}
