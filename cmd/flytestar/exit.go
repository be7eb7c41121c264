package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// The exit codes of spec.md, "Exit codes". A signal's code is 128 and the number of the signal.
const (
	exitDone   = 0
	exitTask   = 1
	exitUsage  = 2
	exitSource = 3
	exitBuild  = 4
	exitSystem = 5
	exitSignal = 128
)

// status is the exit code of an error that has already been reported.
type status int

func (s status) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// interrupted says that a signal cancelled a context.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string {
	if i.signal == syscall.SIGINT {
		return "interrupted"
	}
	return "terminated (" + i.signal.String() + ")"
}

// withSignals returns a context that the first SIGINT, SIGTERM or SIGHUP cancels. The cause is an
// interrupted. The second signal ends the process at once. SIGPIPE is caught, so a closed standard
// output is an error of writing. Ignoring SIGPIPE instead would be inherited by tasks.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	go func() {
		for range 2 {
			s, ok := <-signals
			if !ok {
				return
			}
			if ctx.Err() != nil {
				os.Exit(exitSignal + int(s.(syscall.Signal)))
			}
			cancel(interrupted{s.(syscall.Signal)})
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		signal.Stop(pipe)
		close(signals)
		cancel(nil)
	}
}

// exitCode maps an error to the process's exit code.
func exitCode(ctx context.Context, err error) int {
	var (
		sig     interrupted
		done    status
		failure *plan.Failure
		list    diag.List
		one     *diag.Error
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(context.Cause(ctx), &sig):
		return exitSignal + int(sig.signal)
	case errors.As(err, &done):
		return int(done)
	case errors.As(err, &failure):
		if failure.Kind == plan.FailSystem {
			return exitSystem
		}
		return exitTask
	case errors.As(err, &list) && len(list.Errors()) > 0:
		return classCode(list.Errors()[0].Class)
	case errors.As(err, &one):
		return classCode(one.Class)
	}
	return exitSystem
}

func classCode(c diag.Class) int {
	switch c {
	case diag.Usage:
		return exitUsage
	case diag.Task:
		return exitTask
	case diag.Build:
		return exitBuild
	case diag.System:
		return exitSystem
	}
	return exitSource // Source, Limit
}

// flagWords returns the words of a pflag message that look like long flags.
func flagWords(msg string) []string {
	var words []string
	for _, w := range strings.FieldsFunc(msg, func(r rune) bool { return strings.ContainsRune(" ,:=\"`'", r) }) {
		if strings.HasPrefix(w, "--") && len(w) > 2 {
			words = append(words, w)
		}
	}
	return words
}
