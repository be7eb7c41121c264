package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flytestar/flytestar"
	"github.com/flytestar/flytestar/cmd/flytestar/console"
	"github.com/flytestar/flytestar/evaluator/lockdown"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/interp"
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
	flags.VarP(f, "output", "o", "format of the output")
}

// limitFlag is a flag that sets a limit of the evaluator.
type limitFlag struct{ interp.Limit }

// Set implements pflag.Value.
func (f limitFlag) Set(text string) error {
	n, err := f.parse(text)
	if err != nil || n < f.Min || n > f.Max {
		form := "a number from %s to %s"
		switch f.Field.(type) {
		case *int64:
			form = "bytes, or a number with Ki, Mi, Gi, Ti, K, M, G or T, from %s to %s"
		case *time.Duration:
			form = `a time such as "30s" or "5m", from %s to %s`
		}
		return fmt.Errorf("want "+form, f.Show(f.Min), f.Show(f.Max))
	}
	f.Limit.Set(n)
	return nil
}

// parse returns the number that text means for this limit.
func (f limitFlag) parse(text string) (int64, error) {
	switch f.Field.(type) {
	case *int64:
		return parseSize(text)
	case *time.Duration:
		d, err := time.ParseDuration(text)
		return int64(d), err
	}
	return strconv.ParseInt(text, 10, 64)
}

// String implements pflag.Value. The flag has no default of its own: 0 means the default of the
// limit.
func (f limitFlag) String() string { return "" }

// Type implements pflag.Value.
func (f limitFlag) Type() string {
	switch f.Field.(type) {
	case *int64:
		return "SIZE"
	case *time.Duration:
		return "TIME"
	}
	return "N"
}

// units are the suffixes of a size, the same as in resources.
var units = []struct {
	suffix string
	factor int64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
	{"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1},
}

// parseSize returns the number of bytes in a text such as 512Mi.
func parseSize(text string) (int64, error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.factor {
			break
		}
		return n * u.factor, nil
	}
	return 0, fmt.Errorf("%q isn't a size", text)
}

// loadOptions are the flags of every verb that loads a file.
type loadOptions struct {
	workspace string
	evaluatorOptions
}

func (o *loadOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.workspace, "workspace", "", "the workspace, the `DIR` that load can see (default: FILE's nearest ancestor with flytestar.toml, else FILE's directory)")
	o.evaluatorOptions.addFlags(flags)
}

// evaluatorOptions are the flags of every verb that reads source.
type evaluatorOptions struct {
	requireSandbox bool
	verbose        bool
	limits         interp.Limits
}

func (o *evaluatorOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.requireSandbox, "require-sandbox", false, "fail unless the evaluator can be locked down in full")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "show more on standard error")
	for _, l := range o.limits.All() {
		name := string(l.Name)
		flags.Var(limitFlag{l}, name, fmt.Sprintf("%s (default %s)", l.Bounds, l.Show(l.Default)))
		flags.Lookup(name).Annotations = map[string][]string{limitGroup: nil}
	}
}

// limitGroup marks the flags that --help lists separately.
const limitGroup = "limit"

// usageWithLimits returns a usage function that lists the limits after all other flags.
func usageWithLimits(usual func(*cobra.Command) error) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		limits := pflag.NewFlagSet("", pflag.ContinueOnError)
		limits.SortFlags = false
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if _, ok := f.Annotations[limitGroup]; ok {
				apart := *f
				limits.AddFlag(&apart)
				f.Hidden = true
			}
		})
		err := usual(cmd)
		limits.VisitAll(func(f *pflag.Flag) { cmd.Flags().Lookup(f.Name).Hidden = false })
		if err == nil && limits.HasFlags() {
			_, err = fmt.Fprintf(cmd.OutOrStderr(), "\nLimits of the evaluator (a turn is what it does without waiting):\n%s", limits.FlagUsages())
		}
		return err
	}
}

// graphOnly returns the facade's options for verbs that don't run anything.
func (o *loadOptions) graphOnly(a *app) flytestar.Options {
	opts := o.options(a)
	opts.GraphOnly = true
	return opts
}

// options returns the facade's options that these flags decide.
func (o *loadOptions) options(a *app) flytestar.Options {
	opts := o.evaluatorOptions.options(a)
	opts.Workspace = o.workspace
	return opts
}

func (o *evaluatorOptions) options(a *app) flytestar.Options {
	return flytestar.Options{Limits: o.limits, RequireSandbox: o.requireSandbox, Locked: a.told(o.verbose)}
}

// workOptions are the flags of the verbs that build or run.
type workOptions struct {
	load    loadOptions
	jobs    int
	step    time.Duration
	runtime string
	events  string
	quiet   bool
}

func (o *workOptions) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&o.jobs, "jobs", 0, "run at most `N` containers at a time (default: the number of CPUs)")
	flags.DurationVar(&o.step, "step-timeout", time.Hour, "end a container of a build after `TIME`")
	flags.StringVar(&o.runtime, "runtime", "", "use the OCI runtime `NAME` on PATH instead of flytestar's own sandbox")
	flags.StringVar(&o.events, "events", "", "write every event to `FILE`, as one JSON object per line")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "show neither progress nor logs on standard error")
	o.load.addFlags(flags)
}

// with loads file, calls do with the workflow, then closes the workflow and the console. Only then
// does the caller write to standard output.
func (o *workOptions) with(ctx context.Context, a *app, file string, do func(*flytestar.Workflow) error) (err error) {
	if o.jobs < 0 {
		return usage("--jobs %d: want 1 or more, or 0 for the number of CPUs", o.jobs)
	}
	if o.step <= 0 {
		return usage("--step-timeout %v: want more than 0", o.step)
	}
	opts := o.load.options(a)
	opts.Jobs, opts.StepTimeout, opts.Runtime = o.jobs, o.step, o.runtime
	shown := console.New(a.err, o.quiet, o.load.verbose)
	defer closeInto(&err, shown.Close)
	opts.Watch = shown.Watch
	opts.Print = shown.Print
	opts.Locked = shown.Locked
	if o.events != "" {
		log, e := console.NewEvents(o.events)
		if e != nil {
			return e
		}
		defer func() { a.closeEvents(log, &err) }()
		watch := opts.Watch
		opts.Watch = func(e exec.Event) { watch(e); log.Watch(e) }
		opts.Locked = func(l lockdown.State) { shown.Locked(l); log.Locked(l) }
	}
	return a.load(ctx, file, opts, do)
}

// closeEvents closes the log of --events. An event that couldn't be written is an error of the verb,
// or a line beside the error that it has already.
func (a *app) closeEvents(log *console.Events, err *error) {
	e := log.Close()
	switch {
	case e == nil:
	case *err == nil:
		*err = e
	default:
		io.WriteString(a.err, text.SafeLine("flytestar: "+e.Error())+"\n")
	}
}

// told returns a function to call with the evaluator's lockdown, for commands without a console. It
// stores the lockdown, and says once what the user must know. Several evaluators may start at the
// same time.
func (a *app) told(verbose bool) func(lockdown.State) {
	var mu sync.Mutex
	return func(l lockdown.State) {
		mu.Lock()
		defer mu.Unlock()
		again := a.sandbox != nil && a.sandbox.Level == l.Level
		a.sandbox = &l
		if line := console.LockdownLine(l, verbose); line != "" && !again {
			fmt.Fprintln(a.err, line)
		}
	}
}

// load loads file, calls do with the workflow, and closes it.
func (a *app) load(ctx context.Context, file string, opts flytestar.Options, do func(*flytestar.Workflow) error) (err error) {
	a.lines = flytestar.Lines(file, opts)
	opts.Notice = func(notice string) { fmt.Fprintln(a.err, text.Safe("flytestar: "+notice)) }
	w, err := flytestar.Load(ctx, file, opts)
	if err != nil {
		return err
	}
	defer closeInto(&err, w.Close)
	return do(w)
}

// closeInto stores the error of close, unless there already is an error.
func closeInto(err *error, close func() error) {
	if e := close(); e != nil && *err == nil {
		*err = e
	}
}

// fileAndTask checks the arguments FILE TASK of a verb. None of the first two may be a flag of
// flytestar, since it would have no effect there.
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
			return usage("%q follows FILE", arg).WithHint("flags of flytestar come before FILE: %s", cmd.UseLine())
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
	// Require the full sandbox: at a press of the tab key there is no way to warn that it isn't.
	w, err := flytestar.Load(cmd.Context(), args[0], flytestar.Options{RequireSandbox: true})
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
