package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"syscall"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/values"
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/lint"
)

// fmtOptions are the flags of fmt.
type fmtOptions struct {
	format format
	check  bool
	diff   bool
	stdin  stdinOptions
	reader evaluatorOptions
}

func (o *fmtOptions) addFlags(flags *pflag.FlagSet) {
	o.format.addFlags(flags)
	flags.BoolVar(&o.check, "check", false, "list the files that aren't formatted, and exit with 3 if there are any; write nothing")
	flags.BoolVar(&o.diff, "diff", false, "print the differences; write nothing")
	o.stdin.addFlags(flags)
	o.reader.addFlags(flags)
}

func newFmtCommand(a *app) *cobra.Command {
	o := fmtOptions{format: newFormat("text", "json")}
	cmd := &cobra.Command{
		Use:   "fmt [flags] FILE...",
		Short: "Format workflow files",
		Long: `fmt formats files in place. It doesn't change a file that doesn't parse, or whose meaning
would change; this is an error (exit code 3). With - for FILE it reads standard input and
prints the result.`,
		Args:              needFiles,
		ValidArgsFunction: completeFiles,
	}
	o.addFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.fmt(cmd.Context(), &o, args, cmd.InOrStdin())
	}
	return cmd
}

// formatted is a file before and after formatting.
type formatted struct {
	name          string
	before, after []byte
	err           error // why it can't be formatted: the source is at fault
}

// fmt formats files. A file that can't be formatted doesn't stop the others.
func (a *app) fmt(ctx context.Context, o *fmtOptions, args []string, in io.Reader) error {
	names, err := o.stdin.files(args)
	if err != nil {
		return err
	}
	files := make([]formatted, len(names))
	for i, name := range names {
		files[i].name = name
		if args[0] == "-" {
			files[i].before, err = readStdin(in)
		} else {
			files[i].before, err = readRegular(name)
		}
		if err != nil {
			return err
		}
	}
	if err := a.formatAll(ctx, o, files); err != nil {
		return err
	}
	if err := a.writeFormatted(o, files, args[0] == "-"); err != nil {
		return err
	}
	return a.fmtStatus(ctx, o, files)
}

// formatAll formats each file in its own process, several at a time.
func (a *app) formatAll(ctx context.Context, o *fmtOptions, files []formatted) error {
	opts := o.reader.options(a)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range files {
		f := &files[i]
		group.Go(func() error {
			var err error
			f.after, err = flytestar.Format(ctx, f.name, f.before, opts)
			if err != nil && exitCode(ctx, err) == exitSource {
				f.err, f.after, err = err, f.before, nil
			}
			return err
		})
	}
	return group.Wait()
}

// writeFormatted writes the changes to where the flags say.
func (a *app) writeFormatted(o *fmtOptions, files []formatted, stdin bool) error {
	var changes []flytestar.Change
	report := []map[string]any{}
	var out bytes.Buffer
	for _, f := range files {
		changed := !bytes.Equal(f.before, f.after)
		report = append(report, map[string]any{"file": f.name, "changed": changed})
		switch {
		case stdin && !o.check && !o.diff && f.err == nil:
			out.Write(f.after)
			report[0]["source"] = string(f.after)
		case !changed:
		case o.diff:
			out.Write(diff.Diff(f.name, f.before, f.name, f.after))
		case o.check:
			out.WriteString(f.name + "\n")
		default:
			changes = append(changes, flytestar.Change{File: f.name, Before: f.before, After: f.after})
		}
	}
	if err := flytestar.Write(changes); err != nil {
		return err
	}
	for _, c := range changes {
		out.WriteString(c.File + "\n")
	}
	if o.format.value == "json" {
		return values.WriteJSON(a.out, map[string]any{"files": report, "sandbox": a.sandbox})
	}
	printed := out.String()
	if !stdin { // text from standard input is printed as it is
		printed = text.Safe(printed)
	}
	_, err := io.WriteString(a.out, printed)
	return err
}

// fmtStatus reports the files that couldn't be formatted, and returns the verb's result.
func (a *app) fmtStatus(ctx context.Context, o *fmtOptions, files []formatted) error {
	failed := false
	for _, f := range files {
		a.lines = linesOf([]lint.Module{{Path: f.name, Source: f.before}})
		if f.err != nil {
			failed = true
			a.report(ctx, f.err)
		}
		failed = failed || o.check && !bytes.Equal(f.before, f.after)
	}
	if failed {
		return status(exitSource)
	}
	return nil
}

// readRegular reads a file if it is a regular one. It refuses a file too large for any limit on
// modules.
func readRegular(name string) ([]byte, error) {
	if info, err := os.Lstat(name); err != nil {
		return nil, usage("%w", err)
	} else if !info.Mode().IsRegular() {
		return nil, usage("%s isn't a regular file", name)
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, usage("%w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxStdin+1))
	if err != nil {
		return nil, diag.Errorf(diag.Position{}, diag.System, "%w", err)
	}
	if len(data) > maxStdin {
		return nil, usage("%s has more than %d bytes", name, maxStdin)
	}
	return data, nil
}
