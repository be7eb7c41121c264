package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// runOptions are the flags of run.
type runOptions struct {
	format format
	out    string
	work   workOptions
}

func (o *runOptions) addFlags(flags *pflag.FlagSet) {
	o.format.addFlags(flags)
	flags.StringVar(&o.out, "out", "", "copy the Files and Dirs of the result to `DIR`")
	o.work.addFlags(flags)
}

func newRunCommand(a *app) *cobra.Command {
	o := runOptions{format: newFormat("text", "json")}
	cmd := &cobra.Command{
		Use:   "run [flags] FILE TASK [--INPUT VALUE | --INPUT=VALUE | --[no-]BOOL | @INPUTS.json]...",
		Short: "Run a task: check, build the images it needs, run it in containers, print its result",
		Long: `run loads FILE, checks what TASK reaches, builds the images that are missing, runs TASK,
and prints its result on standard output.

The inputs come after TASK; "flytestar run FILE TASK --help" lists them. A File or Dir is
a path. A list, dict or record is JSON, or @FILE with JSON in it. @FILE in place of an
input has all inputs, as a JSON object.`,
		Example: `  flytestar run examples/af2.star main
  flytestar run examples/af2.star main --sequence AAGG`,
		Args:              fileAndTask,
		ValidArgsFunction: completeFile,
	}
	o.addFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.run(cmd.Context(), &o, cmd.Flags(), args) }
	return cmd
}

// run runs the task args[1] of the file args[0]. The rest of args are its inputs.
func (a *app) run(ctx context.Context, o *runOptions, own *pflag.FlagSet, args []string) error {
	var print func() error
	err := o.work.with(ctx, a, args[0], func(w *flytestar.Workflow) error {
		name, err := needTask(w, args[0], args)
		if err != nil {
			return err
		}
		task, err := w.Task(name)
		if err != nil {
			return err
		}
		inputs, err := values.Parse(w.Graph(), task, args[2:], own)
		if errors.Is(err, values.ErrHelp) {
			print = func() error { return taskHelp(a.out, w.Graph(), task, args[0], name) }
			return nil
		}
		if err != nil {
			return err
		}
		v, err := w.Run(ctx, w.Graph().FullName(task), inputs)
		if err != nil {
			return err
		}
		r := &values.Printer{Format: o.format.value, Path: w.Path, Out: o.out}
		print = func() error { return r.Print(a.out, v) }
		return nil
	})
	if err != nil {
		return err
	}
	return print()
}

// taskHelp writes what a task does, takes and returns.
func taskHelp(w io.Writer, g *plan.Graph, task int, file, name string) error {
	t := &g.Tasks[task]
	var b strings.Builder
	fmt.Fprintf(&b, "%s, a task of %s\n\nUsage:\n  flytestar run [flags] %s %s [inputs]\n", g.FullName(task), file, file, name)
	if t.Doc != "" {
		b.WriteString("\n  " + strings.ReplaceAll(strings.TrimSpace(t.Doc), "\n", "\n  ") + "\n")
	}
	if len(t.Inputs) > 0 {
		b.WriteString("\nInputs:\n")
	}
	for _, p := range t.Inputs {
		fmt.Fprintf(&b, "  %-24s %s\n", inputForm(p), inputNote(p))
	}
	b.WriteString("\nResult: " + t.Result() + "\n")
	if records := t.Records(); len(records) > 0 {
		b.WriteString("\nRecords:\n")
		for _, r := range records {
			fmt.Fprintf(&b, "  %s = %s\n", r.Name, r.Fieldwise())
		}
	}
	_, err := io.WriteString(w, text.Safe(b.String()))
	return err
}

func inputForm(p plan.Param) string {
	if p.Type.Kind == plan.KindBool {
		return "--[no-]" + p.Name
	}
	return "--" + p.Name + " " + p.Type.String()
}

// inputNote says whether an input is required, and what it is for.
func inputNote(p plan.Param) string {
	note := "required"
	if p.Default != nil {
		note = "default " + plan.Literal(p.Default)
	}
	if p.Doc != "" {
		note += "; " + strings.ReplaceAll(strings.TrimSpace(p.Doc), "\n", " ")
	}
	return note
}
