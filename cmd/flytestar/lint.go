package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/lint/findings"
)

// lintOptions are the flags of lint.
type lintOptions struct {
	format format
	failOn choice
	fix    bool
	diff   bool
	stdin  stdinOptions
	load   loadOptions
}

func (o *lintOptions) addFlags(flags *pflag.FlagSet) {
	o.format.addFlags(flags)
	flags.Var(&o.failOn, "fail-on", "exit with 3 if there is a finding of this severity or worse (default: fail-on of flytestar.toml, else warning)")
	flags.BoolVar(&o.fix, "fix", false, "edit the files to mend the findings that can be mended so")
	flags.BoolVar(&o.diff, "diff", false, "with --fix: print the differences instead of findings; write nothing")
	o.stdin.addFlags(flags)
	o.load.addFlags(flags)
}

// choice is a flag with a fixed set of values. It is empty if the flag isn't given.
type choice struct {
	value   string
	allowed []string
}

// Set implements pflag.Value.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("want %s", strings.Join(c.allowed, ", "))
	}
	c.value = s
	return nil
}

func (c *choice) String() string { return c.value }

// Type implements pflag.Value.
func (c *choice) Type() string { return strings.Join(c.allowed, "|") }

// stdinOptions are the flags of verbs that can read a file from standard input.
type stdinOptions struct{ name string }

func (o *stdinOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.name, "stdin-filename", "", "with - for FILE: treat standard input as the content of `PATH`")
}

// files checks the arguments FILE... and returns them. In place of "-" it returns the name of
// standard input.
func (o *stdinOptions) files(args []string) ([]string, error) {
	i := slices.Index(args, "-")
	switch {
	case i < 0 && o.name != "":
		return nil, usage("--stdin-filename needs - for FILE")
	case i >= 0 && len(args) > 1:
		return nil, usage("- can't be combined with other files")
	case i >= 0 && o.name == "":
		return []string{"stdin.star"}, nil
	case i >= 0:
		return []string{o.name}, nil
	}
	return args, nil
}

// maxStdin is how much of standard input is read, in bytes. It is more than a module may have by
// default.
const maxStdin = 16 << 20

func readStdin(in io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxStdin+1))
	if err != nil {
		return nil, diag.Errorf(diag.Position{}, diag.System, "standard input: %w", err)
	}
	if len(data) > maxStdin {
		return nil, usage("standard input has more than %d bytes", maxStdin)
	}
	return data, nil
}

func newLintCommand(a *app) *cobra.Command {
	o := lintOptions{format: newFormat("text", "json", "sarif", "github"), failOn: choice{allowed: flytestar.FailOns}}
	cmd := &cobra.Command{
		Use:   "lint [flags] FILE...",
		Short: "Report what check reports, and what the syntax shows",
		Long: `lint reports findings on standard output: those of check, and those of the syntax. It looks
at each FILE and at every module that the files load. It leaves out what a comment suppresses
(# flytestar: disable=CODE) or flytestar.toml disables. FILE can be - for standard input.

It exits with 3 if a finding is at least as severe as --fail-on says.`,
		Args:              needFiles,
		ValidArgsFunction: completeFiles,
	}
	o.addFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.lint(cmd.Context(), &o, args, cmd.InOrStdin())
	}
	return cmd
}

// needFiles requires FILE... after the flags.
func needFiles(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage("%s needs FILE", cmd.CommandPath()).WithHint("%s", cmd.UseLine())
	}
	return noFlags(cmd, args)
}

func completeFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"star"}, cobra.ShellCompDirectiveFilterFileExt
}

// lint reports the findings of all files. It fails if one of them is as severe as --fail-on says.
func (a *app) lint(ctx context.Context, o *lintOptions, args []string, in io.Reader) error {
	files, err := o.stdin.files(args)
	if err != nil {
		return err
	}
	opts := flytestar.LintOptions{Options: o.load.options(a), Overlay: map[string][]byte{}}
	if args[0] == "-" {
		if opts.Overlay[files[0]], err = readStdin(in); err != nil {
			return err
		}
	}
	linted, err := a.lintOrFix(ctx, o, files, opts)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.err, lintSummary(linted))
	if slices.ContainsFunc(linted, o.fails) {
		return status(exitSource)
	}
	return nil
}

// lintOrFix lints files and writes the findings to standard output. With --fix it first edits the
// files.
func (a *app) lintOrFix(ctx context.Context, o *lintOptions, files []string, opts flytestar.LintOptions) ([]*flytestar.Linted, error) {
	if !o.fix {
		if o.diff {
			return nil, usage("--diff needs --fix")
		}
		linted, err := flytestar.Lint(ctx, files, opts)
		if err != nil {
			return nil, err
		}
		return linted, a.writeLinted(ctx, o, linted)
	}
	if len(opts.Overlay) > 0 && !o.diff {
		return nil, usage("--fix can't edit standard input").WithHint("--fix --diff prints the differences")
	}
	fixed, err := flytestar.Fix(ctx, files, opts)
	if err != nil {
		return nil, err
	}
	if o.diff {
		return fixed.Linted, a.writeDiff(fixed.Changes)
	}
	if err := flytestar.Write(fixed.Changes); err != nil {
		return nil, err
	}
	for _, c := range fixed.Changes {
		fmt.Fprintln(a.err, text.Safe("edited "+shown(c.File)))
	}
	fmt.Fprintf(a.err, "%s mended\n", plural(fixed.Mended, "finding"))
	return fixed.Linted, a.writeLinted(ctx, o, fixed.Linted)
}

// writeDiff prints changes as unified diffs.
func (a *app) writeDiff(changes []flytestar.Change) error {
	var b strings.Builder
	for _, c := range changes {
		b.Write(diff.Diff(shown(c.File), c.Before, shown(c.File), c.After))
	}
	_, err := io.WriteString(a.out, text.Safe(b.String()))
	return err
}

// shown returns a file's name relative to the current directory, if it is below it.
func shown(file string) string {
	cwd, err := os.Getwd()
	if err != nil {
		return file
	}
	rel, err := filepath.Rel(cwd, file)
	if err != nil || !filepath.IsLocal(rel) {
		return file
	}
	return rel
}

// severities are the severities of findings, the worst last.
var severities = []diag.Severity{diag.SeverityInfo, diag.SeverityWarning, diag.SeverityError}

// fails reports whether there is a finding as severe as --fail-on or the settings of the workspace
// say.
func (o *lintOptions) fails(l *flytestar.Linted) bool {
	failOn := o.failOn.value
	if failOn == "" {
		failOn = l.Settings.Lint.FailOn
	}
	if failOn == "" {
		failOn = "warning"
	}
	least := slices.Index(flytestar.FailOns, failOn)
	return slices.ContainsFunc(l.Findings, func(e *diag.Error) bool {
		return slices.Index(severities, withDefaults(e).Severity) >= least
	})
}

// writeLinted writes the findings to standard output.
func (a *app) writeLinted(ctx context.Context, o *lintOptions, linted []*flytestar.Linted) error {
	switch o.format.value {
	case "text":
		for _, l := range linted {
			if err := writeSafe(a.out, l.Findings, linesOf(l.Modules)); err != nil {
				return err
			}
		}
		return nil
	case "json":
		all := []workspaceFinding{}
		for _, l := range linted {
			for _, e := range l.Findings {
				all = append(all, workspaceFinding{l.Dir, withDefaults(e)})
			}
		}
		return values.WriteJSON(a.out, map[string]any{"findings": all, "sandbox": a.sandbox})
	}
	var all []findings.Finding
	for _, l := range linted {
		edits, err := l.Replacements(ctx)
		if err != nil {
			return err
		}
		for _, e := range l.Findings {
			all = append(all, exported(l.Dir, withDefaults(e), edits[e]))
		}
	}
	if o.format.value == "sarif" {
		return findings.WriteSARIF(a.out, all, flytestar.Rules(), readVersion().Version)
	}
	var b bytes.Buffer
	findings.WriteGitHub(&b, all) // a Buffer never fails
	_, err := io.WriteString(a.out, text.Safe(b.String()))
	return err
}

// workspaceFinding is a finding in the JSON of lint. Its paths are relative to the workspace.
type workspaceFinding struct {
	Workspace string `json:"workspace"`
	*diag.Error
}

// exported returns a finding with the paths that other programs expect. They are relative to the
// current directory, or to the workspace if that isn't below the current directory.
func exported(workspace string, e *diag.Error, edits []findings.Replacement) findings.Finding {
	path := func(file string) string {
		if file == "" {
			return ""
		}
		if rel := shown(filepath.Join(workspace, filepath.FromSlash(file))); !filepath.IsAbs(rel) {
			return filepath.ToSlash(rel)
		}
		return file
	}
	f := findings.Finding{Error: e, File: path(e.Pos.File)}
	for _, n := range e.Notes {
		f.Files = append(f.Files, path(n.Pos.File))
	}
	for _, r := range edits {
		r.Start.File, r.End.File = path(r.Start.File), path(r.End.File)
		f.Fix = append(f.Fix, r)
	}
	return f
}

// linesOf returns the source lines of modules.
func linesOf(modules []lint.Module) diag.Lines {
	sources, split := map[string][]byte{}, map[string][]string{}
	for _, m := range modules {
		sources[m.Path] = m.Source
	}
	return func(file string) []string {
		lines, ok := split[file]
		if source, known := sources[file]; known && !ok {
			lines = strings.Split(string(source), "\n")
			split[file] = lines
		}
		return lines
	}
}

// lintSummary counts modules and findings.
func lintSummary(linted []*flytestar.Linted) string {
	modules := 0
	counts := map[diag.Severity]int{}
	for _, l := range linted {
		modules += len(l.Modules)
		for _, e := range l.Findings {
			counts[withDefaults(e).Severity]++
		}
	}
	return fmt.Sprintf("%s: %s, %s, %s", plural(modules, "module"), plural(counts[diag.SeverityError], "error"),
		plural(counts[diag.SeverityWarning], "warning"), plural(counts[diag.SeverityInfo], "info"))
}
