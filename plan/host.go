package plan

import (
	"context"
	"fmt"

	"github.com/flytestar/flytestar/diag"
)

// Host answers what an orchestrator's body asks for while it runs. In the
// parent the engine implements it, once per action; in the evaluator it is a
// pipe to that. All methods may be called from several goroutines.
type Host interface {
	// Call runs an action and returns its result, which is of the callee's
	// output type. An action that failed is a *[Failure]; any other error
	// ends the body.
	Call(ctx context.Context, c Invocation) (Value, error)
	// Read returns a file's content. It is an error for the file to be larger than max bytes.
	Read(ctx context.Context, f File, max int64) ([]byte, error)
	// Text makes an artifact of text.
	Text(ctx context.Context, name, text string) (File, error)
}

// BodyHost is a Host as the body has it that asks.
type BodyHost interface {
	Host
	// Await returns once done is closed, which some answer leads to. Only the
	// thread of the body calls it: whoever measures how long a body computes
	// stops the clock meanwhile. Read and Text are such waits as well.
	Await(done <-chan struct{})
}

// Invocation is a task call in a body.
type Invocation struct {
	// Ordinal numbers the calls of one body from 0, in the order in which the
	// body makes them: map numbers its items before any starts. With the
	// caller's identity it identifies the action.
	Ordinal int
	Task    string           // full name of the callee
	Inputs  map[string]Value // by name, defaults filled in
	Pos     diag.Position    // of the call
}

// FailureKind says why an action failed, as error.kind in attempt's result.
type FailureKind string

// The kinds of failure.
const (
	FailUser      FailureKind = "user"   // the task's own code: exit code, exception, a missing or badly typed output
	FailSystem    FailureKind = "system" // the machine
	FailOOM       FailureKind = "oom"
	FailTimeout   FailureKind = "timeout"
	FailCancelled FailureKind = "cancelled"
	FailRetries   FailureKind = "retries_exhausted" // all of several attempts failed; Message has the last
)

// Failure is how an action failed. It is an error, and a value for attempt.
type Failure struct {
	Kind    FailureKind   `json:"kind"`
	Message string        `json:"message"`
	Task    string        `json:"task"`   // full name
	Action  string        `json:"action"` // the action's id
	Pos     diag.Position `json:"pos,omitzero"`
	Log     string        `json:"log,omitempty"`      // the tail of the last attempt's log
	LogFile string        `json:"log_file,omitempty"` // where the whole log is kept; empty: nothing was written
	// Frames lead from Pos outwards within the body that failed, nearest first: where each function was
	// called. They are there only if the body of an orchestrator failed.
	Frames []diag.Note `json:"frames,omitempty"`
	// Callers lead from the action that failed to the run's first: whose body called, and where.
	Callers []Caller `json:"callers,omitempty"`
}

// Caller is an action whose body let the failure of a call through.
type Caller struct {
	Task   string        `json:"task"` // full name
	Action string        `json:"action"`
	Pos    diag.Position `json:"pos,omitzero"` // of the call, in Task's body
}

// Error implements error.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s", f.Task, f.Message) }
