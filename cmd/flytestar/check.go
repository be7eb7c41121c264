package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/text"
)

// checkOptions are the flags of check.
type checkOptions struct {
	format format
	load   loadOptions
}

func (o *checkOptions) addFlags(flags *pflag.FlagSet) {
	o.format.addFlags(flags)
	o.load.addFlags(flags)
}

func newCheckCommand(a *app) *cobra.Command {
	o := checkOptions{format: newFormat("text", "json")}
	cmd := &cobra.Command{
		Use:   "check [flags] FILE...",
		Short: "Report mistakes in workflow files, without building or running anything",
		Long: `check reports the findings of whole files on standard output. It exits with 3 if one
of them is an error, else with 0.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("check needs FILE").WithHint("%s", cmd.UseLine())
			}
			return noFlags(cmd, args)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"star"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	o.addFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.check(cmd.Context(), &o, args) }
	return cmd
}

// finding is a finding in the JSON of check, with the FILE that led to it.
type finding struct {
	Entry string `json:"entry"`
	*diag.Error
}

// check reports the findings of all files. It fails if one of them is an error.
func (a *app) check(ctx context.Context, o *checkOptions, files []string) error {
	all := []finding{}
	failed := false
	for _, file := range files {
		list, err := a.findings(ctx, o, file)
		if err != nil {
			return err
		}
		failed = failed || len(list.Errors()) > 0
		for _, e := range list {
			all = append(all, finding{file, withDefaults(e)})
		}
		if o.format.value == "text" {
			if err := writeSafe(a.out, list, a.lines); err != nil {
				return err
			}
		}
	}
	if o.format.value == "json" {
		if err := values.WriteJSON(a.out, map[string]any{"findings": all, "sandbox": a.sandbox}); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(a.err, summary(files, all))
	}
	if failed {
		return status(exitSource)
	}
	return nil
}

// findings returns the findings of one file. They include those that keep the file from loading.
// Any other error isn't about the file, and is returned as an error.
func (a *app) findings(ctx context.Context, o *checkOptions, file string) (diag.List, error) {
	var list diag.List
	err := a.load(ctx, file, o.load.graphOnly(a), func(w *flytestar.Workflow) error {
		list = w.Check()
		return nil
	})
	var one *diag.Error
	switch {
	case err == nil:
		return list, nil
	case exitCode(ctx, err) != exitSource:
		return nil, err
	case errors.As(err, &list):
		return list, nil
	case errors.As(err, &one):
		return diag.List{one}, nil
	}
	return nil, err
}

// withDefaults fills in the severity and class that zero values stand for.
func withDefaults(e *diag.Error) *diag.Error {
	d := *e
	if d.Severity == "" {
		d.Severity = diag.SeverityError
	}
	if d.Class == "" {
		d.Class = diag.Source
	}
	return &d
}

func writeSafe(w io.Writer, l diag.List, lines diag.Lines) error {
	var b bytes.Buffer
	writeFindings(&b, l, lines)
	_, err := io.WriteString(w, text.Safe(b.String()))
	return err
}

// summary counts the findings.
func summary(files []string, all []finding) string {
	count := map[diag.Severity]int{}
	for _, f := range all {
		count[withDefaults(f.Error).Severity]++
	}
	s := fmt.Sprintf("%s: %s, %s", plural(len(files), "file"), plural(count[diag.SeverityError], "error"), plural(count[diag.SeverityWarning], "warning"))
	if n := count[diag.SeverityInfo]; n > 0 {
		s += ", " + plural(n, "info")
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
