package exec

import (
	"context"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Recorder keeps what actions come to, so that an action which is asked for again needn't run again.
// A journal is one: it answers for the same run. A cache is another: it answers for other runs.
// Its methods may be called concurrently, for different actions. Their errors end the run.
type Recorder interface {
	// Begin is asked before an action runs. It returns the action's outcome if it knows one, and then
	// the action doesn't run. Otherwise it returns nil. The artifacts of an outcome are in the Store.
	Begin(ctx context.Context, a *Action) (*Outcome, error)
	// Attempt is told before each attempt of an action begins. The number counts from 1.
	Attempt(ctx context.Context, a *Action, number int) error
	// End is told an action's outcome, before anything relies on it: its caller gets the outcome
	// after End has returned. It is also told an outcome that a recorder asked later knew. An action
	// that was cancelled has no outcome.
	End(ctx context.Context, a *Action, o *Outcome) error
}

// Action is one task call of a run, as a Recorder sees it. The recorder doesn't change it.
type Action struct {
	Run     string
	ID      string
	Parent  string                // the caller's id; empty for the first action of a run
	Ordinal int                   // of the call among those of its caller's body, or of the function that the body started
	Within  []plan.Start          // the functions that the body started and that led to the call, the outermost first
	Task    string                // full name
	Label   plan.Label            // of the call, for people
	Pos     diag.Position         // of the call; of the task for the first action
	Inputs  map[string]plan.Value // by name, defaults filled in
	Spec    *Spec                 // of its attempts; nil for an orchestrator
}

// Outcome is what an action came to: a value, or a failure.
type Outcome struct {
	Value   plan.Value
	Failure *plan.Failure // nil: the action succeeded
}
