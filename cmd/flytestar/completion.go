package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flytestar/flytestar/diag"
)

// shells are the shells that completion can write scripts for.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "completion " + strings.Join(shells, "|"),
		Short: "Print a shell's completion script",
		Example: `  source <(flytestar completion bash)
  flytestar completion fish > ~/.config/fish/completions/flytestar.fish`,
		ValidArgs: shells,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && slices.Contains(shells, args[0]) {
				return nil
			}
			err := usage("completion needs the name of a shell")
			if len(args) == 1 {
				if s := diag.Suggest(args[0], shells); s != "" {
					return err.WithHint("did you mean %q?", s)
				}
			}
			return err.WithHint("%s", cmd.UseLine())
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.completion(cmd.Root(), args[0]) },
	}
}

func (a *app) completion(root *cobra.Command, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(a.out, true)
	case "zsh":
		return root.GenZshCompletion(a.out)
	case "fish":
		return root.GenFishCompletion(a.out, true)
	}
	return root.GenPowerShellCompletionWithDesc(a.out)
}
