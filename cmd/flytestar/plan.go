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
		Short: "Say what running a task would build, and do nothing",
		Long: `plan says which images running TASK would build, pull or find in the store. It
writes nothing, downloads nothing and starts no container.`,
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
	return a.load(ctx, args[0], o.load.options(), func(w *flytestar.Workflow) error {
		task, err := needTask(w, args[0], args)
		if err != nil {
			return err
		}
		p, err := w.Plan(ctx, task)
		if err != nil {
			return err
		}
		if o.format.value == "json" {
			return writeJSON(a.out, p)
		}
		return writePlan(a.out, p)
	})
}

// writePlan writes a plan for people.
func writePlan(w io.Writer, p *plan.Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "task %s\nenvironments: %s\n", p.Task, strings.Join(p.Environments, ", "))
	count := map[plan.ImageState]int{}
	for _, i := range p.Images {
		count[i.State]++
		fmt.Fprintf(&b, "image %s\n  %s\n", strings.Join(i.Environments, ", "), state(i))
		for _, line := range imageLines(i.Image) {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	fmt.Fprintf(&b, "%d to build, %d to pull, %d there already\n",
		count[plan.ImageBuild]+count[plan.ImageUnresolved], count[plan.ImagePull], count[plan.ImageHit])
	_, err := io.WriteString(w, safe(b.String()))
	return err
}

// state says what would become of an image, and why.
func state(i plan.BuildImage) string {
	s := string(i.State)
	switch i.State {
	case plan.ImageUnresolved:
		s = "resolve, then build"
	case plan.ImageHit:
		s = "there already, " + short(i.Digest)
	}
	if i.Why != "" {
		s += ": " + i.Why
	}
	return s
}

// imageLines describes an image's base and steps, a line each.
func imageLines(i plan.Image) []string {
	var lines []string
	switch b := i.Base; b.Kind {
	case plan.BaseDebian:
		lines = append(lines, strings.TrimSpace("debian "+b.Suite)+map[bool]string{true: " with python"}[b.Python])
	case plan.BaseRef:
		lines = append(lines, "from "+b.Ref)
	case plan.BaseScratch:
		lines = append(lines, "from scratch")
	}
	for _, s := range i.Steps {
		lines = append(lines, strings.TrimSpace(string(s.Kind)+" "+stepText(s)))
	}
	return lines
}

// stepText is what a step adds, short.
func stepText(s plan.Step) string {
	switch s.Kind {
	case plan.StepPip, plan.StepApt:
		return strings.Join(s.Packages, " ")
	case plan.StepRequirements:
		return s.Src
	case plan.StepCommands:
		return strings.Join(s.Commands, " && ")
	case plan.StepEnv:
		return strings.Join(sortedKeys(s.EnvVars), " ")
	case plan.StepFile, plan.StepFolder:
		return s.Src + " -> " + s.Dst
	}
	return s.Name
}
