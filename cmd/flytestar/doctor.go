package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/flytestar/flytestar/evaluator/lockdown"
)

func newDoctorCommand(a *app) *cobra.Command {
	format := newFormat("text", "json")
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Say what works on this machine, what is missing, and how to get it",
		Long: `doctor checks what evaluating, building and running need: namespaces, overlayfs, cgroups,
the Debian mirror and the Python index that this machine is configured for, disk space, and
the evaluator's sandbox. It exits with 5 if something is missing that flytestar needs.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), format.value) },
	}
	format.addFlags(cmd.Flags())
	return cmd
}

func (a *app) doctor(ctx context.Context, format string) error {
	findings := flytestar.Examine(ctx, flytestar.Options{})
	missing := false
	var sandbox *lockdown.State
	var b strings.Builder
	for _, f := range findings {
		sandbox = cmp.Or(f.Lockdown, sandbox)
		missing = missing || !f.OK && f.Needed
		fmt.Fprintf(&b, "%-8s %s: %s\n", verdict(f), f.Name, f.Detail)
		if f.Hint != "" {
			fmt.Fprintf(&b, "           hint: %s\n", f.Hint)
		}
	}
	var err error
	if format == "json" {
		err = values.WriteJSON(a.out, map[string]any{"findings": findings, "sandbox": sandbox})
	} else {
		err = write(a.out, b.String())
	}
	if err == nil && missing {
		return status(exitSystem)
	}
	return err
}

// verdict sums up a finding in one word.
func verdict(f flytestar.Finding) string {
	switch {
	case f.OK:
		return "ok"
	case f.Needed:
		return "missing"
	}
	return "without" // flytestar goes on without it
}
