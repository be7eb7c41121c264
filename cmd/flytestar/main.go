// Command flytestar loads, checks, builds and runs workflows. Its manual is spec.md, "Command
// line".
//
// Each verb has a file with its options, its flags and its use of the facade: run.go, build.go,
// plan.go, check.go, lint.go, fmt.go, graph.go, explain.go, doctor.go, version.go, completion.go.
//
// The verbs share options.go (common flags), report.go (errors) and exit.go (exit codes and
// signals). Two packages help them: values (a task's inputs and its result) and console (progress on
// standard error). Only main exits.
package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator/lockdown"
)

func main() {
	flytestar.Init()
	collectSeldom()
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// app is what the verbs share: where they write, and what helps to explain errors.
type app struct {
	out     io.Writer       // only the result
	err     io.Writer       // everything else
	lines   diag.Lines      // the source of the last loaded file
	sandbox *lockdown.State // the lockdown of the last evaluator
}

// result is standard output. It remembers the first error of writing, since not every writer of help
// and completions returns it: whoever reads the result must learn that it isn't whole.
type result struct {
	w   io.Writer
	err error
}

func (r *result) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	if err != nil && r.err == nil {
		r.err = diag.Errorf(diag.Position{}, diag.System, "the result can't be written: %w", err)
	}
	return n, err
}

// execute runs one command line and returns its exit code.
func execute(args []string, out, errOut io.Writer) int {
	ctx, stop := withSignals(context.Background())
	defer stop()
	result := &result{w: out}
	a := &app{out: result, err: errOut}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetOut(result)
	root.SetErr(errOut)
	err := verbFirst(args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if result.err != nil {
		err = result.err
	}
	code := exitCode(ctx, err)
	if err != nil {
		a.report(ctx, err)
	}
	return code
}

// newRoot returns the flytestar command with all its verbs.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "flytestar VERB [flags] FILE ...",
		Short: "Run workflows written in Starlark, each task in its own container",
		Long: `flytestar runs workflows that are written in Starlark. It checks the whole workflow first,
builds an image for each environment, and runs each task in its own container.
Flags come before FILE.

Exit codes: 0 success; 1 a task failed; 2 usage; 3 findings in the source;
4 a build failed; 5 the machine or network failed; 130 interrupted; 143 terminated.`,
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true, // misspelt makes its own
		Args:               cobra.ArbitraryArgs,
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true}, // for a misspelt verb
		CompletionOptions:  cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return misspelt(root, args[0])
	}
	root.AddCommand(newRunCommand(a), newBuildCommand(a), newPlanCommand(a), newCheckCommand(a), newLintCommand(a), newFmtCommand(a), newGraphCommand(a),
		newExplainCommand(a), newDoctorCommand(a), newVersionCommand(a), newCompletionCommand(a))
	usual := root.UsageFunc()
	for _, cmd := range root.Commands() {
		cmd.SetUsageFunc(usageWithLimits(usual))
		cmd.Flags().SetInterspersed(false)
		cmd.Flags().SortFlags = false
		cmd.DisableFlagsInUseLine = true
		cmd.SetFlagErrorFunc(flagError)
	}
	return root
}

// verbFirst refuses flags before the verb. --help is the only one.
func verbFirst(args []string) error {
	if len(args) == 0 || !strings.HasPrefix(args[0], "-") || args[0] == "-h" || args[0] == "--help" {
		return nil
	}
	err := usage("%q comes before the verb", args[0])
	if args[0] == "--version" {
		return err.WithHint("flytestar version")
	}
	return err.WithHint("flags come after the verb and before FILE: flytestar VERB [flags] FILE ...")
}

// misspelt returns the error for a verb that doesn't exist.
func misspelt(root *cobra.Command, verb string) error {
	var verbs []string
	for _, cmd := range root.Commands() {
		verbs = append(verbs, cmd.Name())
	}
	err := usage("there is no verb %q", verb)
	if s := diag.Suggest(verb, verbs); s != "" {
		return err.WithHint("did you mean %q?", s)
	}
	return err.WithHint("flytestar --help lists the verbs")
}

// flagError adds a hint to an error of pflag.
func flagError(cmd *cobra.Command, err error) error {
	e := usage("%w", err)
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	for _, word := range flagWords(err.Error()) {
		if s := diag.Suggest(word, names); s != "" && cmd.Flags().Lookup(word[2:]) == nil {
			return e.WithHint("did you mean %s?", s)
		}
	}
	return e.WithHint("%s --help lists the flags", cmd.CommandPath())
}

func usage(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, diag.Usage, format, args...)
}
