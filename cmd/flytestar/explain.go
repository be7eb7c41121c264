package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/flytestar/flytestar/diag"
)

func newExplainCommand(a *app) *cobra.Command {
	format := newFormat("text", "json")
	cmd := &cobra.Command{
		Use:   "explain [flags] [CODE]",
		Short: "Say what a finding means and how to mend it; without CODE, list all findings",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("%s takes one CODE", cmd.CommandPath()).WithHint("%s", cmd.UseLine())
			}
			return noFlags(cmd, args)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (codes []string, _ cobra.ShellCompDirective) {
			for _, r := range flytestar.Rules() {
				if len(args) == 0 {
					codes = append(codes, r.Code+"\t"+r.Summary)
				}
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
	}
	format.addFlags(cmd.Flags())
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return a.listRules(format.value)
		}
		return a.explain(format.value, args[0])
	}
	return cmd
}

// listRules writes a line for each rule.
func (a *app) listRules(format string) error {
	if format == "json" {
		return values.WriteJSON(a.out, flytestar.Rules())
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, r := range flytestar.Rules() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Code, r.Severity, r.Name, r.Summary) // kept until Flush
	}
	return w.Flush()
}

// explain writes a rule's section of the specification.
func (a *app) explain(format, code string) error {
	r, text, err := flytestar.Explain(code)
	if err != nil {
		return err
	}
	if format == "json" {
		return values.WriteJSON(a.out, struct {
			diag.Rule
			Text string `json:"text"`
		}{r, text})
	}
	about := string(r.Severity)
	if r.Fixable {
		about += ", which lint --fix can mend"
	}
	_, err = io.WriteString(a.out, strings.TrimRight(fmt.Sprintf("%s %s (%s)\n%s\n\n%s", r.Code, r.Name, about, r.Summary, text), "\n")+"\n")
	return err
}
