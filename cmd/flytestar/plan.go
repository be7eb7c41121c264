package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// planOptions are the flags of plan.
type planOptions struct {
	format format
	load   loadOptions
}

func (o *planOptions) addFlags(flags *pflag.FlagSet) {
	o.format.addFlags(flags)
	o.load.addFlags(flags)
}

func newPlanCommand(a *app) *cobra.Command {
	o := planOptions{format: newFormat("text", "json")}
	cmd := &cobra.Command{
		Use:   "plan [flags] FILE TASK",
		Short: "Say what running a task would build and run, without doing it",
		Long: `plan says which images running TASK would build, pull or find in the store, and why.
It also says which tasks may run, where, and with what. It builds and downloads nothing,
and starts no container.`,
		Args:              fileAndTask,
		ValidArgsFunction: completeFile,
	}
	o.addFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.plan(cmd.Context(), &o, args) }
	return cmd
}

func (a *app) plan(ctx context.Context, o *planOptions, args []string) error {
	if err := noMore(args, 2); err != nil {
		return err
	}
	return a.load(ctx, args[0], o.load.graphOnly(a), func(w *flytestar.Workflow) error {
		task, err := needTask(w, args[0], args)
		if err != nil {
			return err
		}
		p, err := w.Plan(ctx, task)
		if err != nil {
			return err
		}
		if o.format.value == "json" {
			return values.WriteJSON(a.out, sandboxedPlan{p, w.Lockdown()})
		}
		return writePlan(a.out, p)
	})
}

// sandboxedPlan is a plan in the JSON of plan.
type sandboxedPlan struct {
	*plan.Plan
	Sandbox lockdown.State `json:"sandbox"` // of the evaluator that made it
}

// writePlan writes a plan for people.
func writePlan(out io.Writer, p *plan.Plan) error {
	w := newWriter(out)
	w.printf("task %s\n", p.Task)
	count := map[plan.ImageState]int{}
	for _, i := range p.Images {
		count[i.State]++
		w.printf("\nimage of %s\n", strings.Join(i.Environments, ", "))
		w.printf("  %-7s %s\n", stateWord[i.State], stateText(i))
		for _, line := range i.Image.Lines() {
			w.printf("          %s\n", shorten(line))
		}
	}
	containers := 0
	for _, t := range p.Tasks {
		if t.Body.InContainer() {
			containers++
		}
		w.printf("\ntask %s, %s\n", t.Task, t.Why)
		w.printf("  %-7s %s\n", "run", shorten(t.Runs))
		if how := taskText(p, t); how != "" {
			w.printf("          %s\n", how)
		}
	}
	if len(p.LeftOut) > 0 {
		w.printf("\nleft out of what tasks see, since it can't be carried\n")
	}
	for _, l := range p.LeftOut {
		w.printf("  %s\n", text.Safe(l.Why))
	}
	w.printf("\n%s: %d to build, %d to pull, %d there already; %s, %d in containers\n", plural(len(p.Images), "image"),
		count[plan.ImageBuild]+count[plan.ImageUnresolved], count[plan.ImagePull], count[plan.ImageHit], plural(len(p.Tasks), "task"), containers)
	return w.close()
}

// stateWord has the words for what run would do about an image.
var stateWord = map[plan.ImageState]string{
	plan.ImageHit: "hit", plan.ImageBuild: "build", plan.ImageUnresolved: "resolve", plan.ImagePull: "pull",
}

// stateText says why an image is in its state, and which of its parts exist.
func stateText(i plan.BuildImage) string {
	s := i.Why
	if i.State == plan.ImageHit {
		s = i.Digest.Short() + ", " + plan.Rough(i.Size) + ", " + s
	}
	if i.Reused > 0 {
		s += "; reuses " + plural(i.Reused, "layer")
	}
	return s
}

// taskText says where a task runs and with what.
func taskText(p *plan.Plan, t plan.PlannedTask) string {
	var parts []string
	if t.Body.InContainer() {
		parts = append(parts, "in a container of "+t.Environment)
		if t.Image == plan.NoImage {
			parts = append(parts, "whose image isn't built: depends_on doesn't reach it")
		}
	} else {
		parts = append(parts, "in the evaluator")
	}
	if r := t.Resources.String(); r != "" {
		parts = append(parts, r)
	}
	if t.Retries > 0 {
		parts = append(parts, fmt.Sprintf("retries %d", t.Retries))
	}
	if t.Timeout != "" {
		parts = append(parts, "timeout "+t.Timeout)
	}
	if t.Network {
		parts = append(parts, "network")
	}
	return strings.Join(parts, ", ")
}
