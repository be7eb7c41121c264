package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/exec"
)

// format is the flag -o.
type format struct {
	value   string
	allowed []string // the first is the default
}

func newFormat(allowed ...string) format { return format{allowed[0], allowed} }

// Set implements pflag.Value.
func (f *format) Set(s string) error {
	if !slices.Contains(f.allowed, s) {
		return fmt.Errorf("want %s", strings.Join(f.allowed, ", "))
	}
	f.value = s
	return nil
}

func (f *format) String() string { return f.value }

// Type implements pflag.Value.
func (f *format) Type() string { return strings.Join(f.allowed, "|") }

func (f *format) addFlags(flags *pflag.FlagSet) {
	flags.VarP(f, "output", "o", "form of the output")
}

// size is a flag that takes bytes, with the units of resources.
type size int64

// units are the suffixes that a size may have.
var units = []struct {
	suffix string
	factor int64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
	{"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1},
}

// Set implements pflag.Value.
func (s *size) Set(text string) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/u.factor {
			break
		}
		*s = size(n * u.factor)
		return nil
	}
	return fmt.Errorf("want bytes, or a number with Ki, Mi, Gi, Ti, K, M, G or T")
}

func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

// Type implements pflag.Value.
func (s *size) Type() string { return "SIZE" }

// loadOptions are the flags of every verb that loads a file.
type loadOptions struct {
	workspace string
	steps     uint64
	memory    size
	wall      time.Duration
}

func (o *loadOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.workspace, "workspace", "", "the `DIR` that load can see (default: the nearest ancestor of FILE with flytestar.toml, else FILE's directory)")
	flags.Uint64Var(&o.steps, "max-steps", 0, "steps that evaluating may take in a turn (default 10 million)")
	flags.Var(&o.memory, "max-memory", "memory that the evaluator may take (default 512Mi)")
	flags.DurationVar(&o.wall, "max-wall", 0, "time that evaluating may take in a turn (default 5s)")
}

// options returns the facade's options, as far as these flags decide.
func (o *loadOptions) options() flytestar.Options {
	var opts flytestar.Options
	opts.Workspace = o.workspace
	opts.Limits.Steps = o.steps
	opts.Limits.Memory = int64(o.memory)
	opts.Limits.Wall = o.wall
	return opts
}

// workOptions are the flags of the verbs that build or run.
type workOptions struct {
	load    loadOptions
	jobs    int
	runtime string
	events  string
	quiet   bool
	verbose bool
}

func (o *workOptions) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&o.jobs, "jobs", 0, "containers at a time (default: the number of CPUs)")
	flags.StringVar(&o.runtime, "runtime", "", "an OCI runtime on PATH, by `NAME`, instead of flytestar's own sandbox")
	flags.StringVar(&o.events, "events", "", "write what happens to `FILE`, a JSON object per line")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "neither progress nor logs on standard error")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "more on standard error")
	o.load.addFlags(flags)
}

// with loads file, calls do with the workflow, and closes it and the console
// before it returns: what do wants on standard output it leaves to the caller.
func (o *workOptions) with(ctx context.Context, a *app, file string, do func(*flytestar.Workflow) error) (err error) {
	if o.jobs < 0 {
		return usage("--jobs %d: want 1 or more, or 0 for the number of CPUs", o.jobs)
	}
	opts := o.load.options()
	opts.Jobs, opts.Runtime = o.jobs, o.runtime
	console := newConsole(a.err, o.quiet, o.verbose)
	defer closeInto(&err, console.Close)
	opts.Watch = func(e exec.Event) { a.actions.Watch(e); console.Watch(e) }
	opts.Print = console.Print
	if o.events != "" {
		log, err := newEvents(o.events)
		if err != nil {
			return err
		}
		defer closeInto(&err, log.Close)
		watch := opts.Watch
		opts.Watch = func(e exec.Event) { watch(e); log.Watch(e) }
	}
	return a.load(ctx, file, opts, do)
}

// load loads file, calls do with the workflow, and closes it.
func (a *app) load(ctx context.Context, file string, opts flytestar.Options, do func(*flytestar.Workflow) error) (err error) {
	a.lines = flytestar.Lines(file, opts)
	w, err := flytestar.Load(ctx, file, opts)
	if err != nil {
		return err
	}
	defer closeInto(&err, w.Close)
	return do(w)
}

// closeInto keeps the error of close, unless there is one already.
func closeInto(err *error, close func() error) {
	if e := close(); e != nil && *err == nil {
		*err = e
	}
}

// fileAndTask checks the arguments FILE TASK of a verb, and that no flag of flytestar's is among the
// first two, where it has no effect.
func fileAndTask(cmd *cobra.Command, args []string) error {
	if err := noFlags(cmd, args[:min(2, len(args))]); err != nil {
		return err
	}
	if len(args) < 1 {
		return usage("%s needs FILE and TASK", cmd.CommandPath()).WithHint("%s", cmd.UseLine())
	}
	return nil
}

// noFlags refuses arguments that look like flags.
func noFlags(cmd *cobra.Command, args []string) error {
	for _, arg := range args {
		if len(arg) > 1 && arg[0] == '-' {
			return usage("%q follows FILE", arg).WithHint("flags of flytestar stand before FILE: %s", cmd.UseLine())
		}
	}
	return nil
}

// needTask returns TASK, or an error that lists the file's tasks.
func needTask(w *flytestar.Workflow, file string, args []string) (string, error) {
	if len(args) > 1 {
		return args[1], nil
	}
	g := w.Graph()
	var names []string
	for i, t := range g.Tasks {
		if t.Listed {
			names = append(names, g.FullName(i))
		}
	}
	err := usage("which task of %s?", file)
	if len(names) == 0 {
		return "", err.WithHint("it has none")
	}
	return "", err.WithHint("it has %s", strings.Join(names, ", "))
}

// completeFile completes FILE, and TASK after it.
func completeFile(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return []string{"star"}, cobra.ShellCompDirectiveFilterFileExt
	}
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	w, err := flytestar.Load(cmd.Context(), args[0], flytestar.Options{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer w.Close()
	var names []string
	for _, t := range w.Graph().Tasks {
		if t.Listed {
			names = append(names, t.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
