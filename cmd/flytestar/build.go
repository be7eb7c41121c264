package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/flytestar/flytestar/plan"
)

// buildOptions are the flags of build.
type buildOptions struct {
	format format
	work   workOptions
}

func (o *buildOptions) addFlags(flags *pflag.FlagSet) {
	o.format.addFlags(flags)
	o.work.addFlags(flags)
}

func newBuildCommand(a *app) *cobra.Command {
	o := buildOptions{format: newFormat("text", "json")}
	cmd := &cobra.Command{
		Use:   "build [flags] FILE TASK",
		Short: "Build the images that a task needs, and print their digests and references",
		Long: `build builds the images that TASK needs: those of its environment and of all
environments that this one depends on. It skips images that exist. It prints a line for
each image: its environments, its digest, and an oci: reference that skopeo and podman
can read.`,
		Args:              fileAndTask,
		ValidArgsFunction: completeFile,
	}
	o.addFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.build(cmd.Context(), &o, args) }
	return cmd
}

// builtImage is an image in the JSON of build.
type builtImage struct {
	Environments []string    `json:"environments"`
	Digest       plan.Digest `json:"digest"`
	Reference    string      `json:"reference"` // "oci:DIR:NAME"
}

func (a *app) build(ctx context.Context, o *buildOptions, args []string) error {
	if err := noMore(args, 2); err != nil {
		return err
	}
	var images []builtImage
	err := o.work.with(ctx, a, args[0], func(w *flytestar.Workflow) error {
		task, err := needTask(w, args[0], args)
		if err != nil {
			return err
		}
		p, err := w.Build(ctx, task)
		if err != nil {
			return err
		}
		images = builtImages(w, p)
		return nil
	})
	if err != nil {
		return err
	}
	if o.format.value == "json" {
		return values.WriteJSON(a.out, map[string]any{"images": images})
	}
	for _, i := range images {
		if _, err := fmt.Fprintf(a.out, "%s  %s  %s\n", strings.Join(i.Environments, ","), i.Digest, i.Reference); err != nil {
			return err
		}
	}
	return nil
}

func builtImages(w *flytestar.Workflow, p *plan.Plan) []builtImage {
	images := []builtImage{}
	for _, i := range p.Images {
		images = append(images, builtImage{i.Environments, i.Digest, w.Reference(i)})
	}
	return images
}

// noMore refuses arguments after the first n.
func noMore(args []string, n int) error {
	if len(args) <= n {
		return nil
	}
	return usage("unexpected argument %q", args[n]).WithHint("only run takes a task's inputs; flags of flytestar come before FILE")
}
