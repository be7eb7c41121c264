package plan

import (
	"context"
	"fmt"

	"github.com/flytestar/flytestar/diag"
)

// Host answers the requests of an orchestrator's running body. In the parent the engine implements
// it, once per action. In the evaluator it is a pipe to the engine. All methods may be called from
// several goroutines.
type Host interface {
	// Call runs an action and returns its result, which has the callee's output type. If the action
	// failed, the error is a *[Failure]. Any other error ends the body.
	Call(ctx context.Context, c Invocation) (Value, error)
	// Read returns a file's content. A file larger than max bytes is an error.
	Read(ctx context.Context, f File, max int64) ([]byte, error)
	// Files returns the files of a directory whose paths match a pattern, sorted by path. More than
	// MaxFiles files are an error, and so is a pattern without the form of those of include.
	Files(ctx context.Context, d Dir, pattern string) ([]File, error)
	// Text makes an artifact from text.
	Text(ctx context.Context, name, text string) (File, error)
}

// BodyHost is the Host that a body uses.
type BodyHost interface {
	Host
	// Await waits until done is closed, which some answer causes. One goroutine at a time calls it.
	// Whoever measures the body's computing time stops the clock during the wait. Read, Files and
	// Text are such waits too.
	Await(done <-chan struct{})
}

// Invocation is a task call in a body.
type Invocation struct {
	// Ordinal numbers the calls and starts of one body from 0, in the order in which the body makes
	// them. map numbers its items before any starts. A function that was started numbers its own,
	// from 0. Within, Ordinal and the caller's identity together identify the action.
	Ordinal int
	Within  []Start          // the functions that were started and led to the call, the outermost first
	Task    string           // full name of the callee
	Label   Label            // for people
	Inputs  map[string]Value // by name, defaults filled in
	Pos     diag.Position    // of the call
}

// Start is a function that a body has started.
type Start struct {
	Ordinal  int           `json:"ordinal"`  // among the calls and starts around it
	Function string        `json:"function"` // its name
	Pos      diag.Position `json:"pos,omitzero"`
}

// MaxFiles bounds how many files Host.Files returns.
const MaxFiles = 100_000

// MaxStarts bounds how deep started functions nest.
const MaxStarts = 100

// FailureKind says why an action failed. It is error.kind in attempt's result.
type FailureKind string

// The kinds of failure.
const (
	FailUser      FailureKind = "user"   // the task's own code: exit code, exception, a missing or badly typed output
	FailSystem    FailureKind = "system" // the machine
	FailOOM       FailureKind = "oom"
	FailTimeout   FailureKind = "timeout"
	FailCancelled FailureKind = "cancelled"
	FailRetries   FailureKind = "retries_exhausted" // all of several attempts failed; Message is about the last one
)

// Failure says how an action failed. It is an error, and a value for attempt.
type Failure struct {
	Kind    FailureKind   `json:"kind"`
	Type    string        `json:"type,omitempty"` // the class of a Python function's exception, as "ValueError"
	Message string        `json:"message"`
	Hint    string        `json:"hint,omitempty"`
	Task    string        `json:"task"` // full name
	Label                 // of the call
	Action  string        `json:"action"` // the action's id
	Pos     diag.Position `json:"pos,omitzero"`
	Log     string        `json:"log,omitempty"`      // the tail of the last attempt's log
	LogFile string        `json:"log_file,omitempty"` // where the whole log is kept; empty: nothing was written
	// Frames are the function calls within the failed body, from Pos outwards. Only the failure of
	// an orchestrator's body has them.
	Frames []diag.Note `json:"frames,omitempty"`
	// Callers are the callers from the failed action to the run's first one. Each says whose body
	// called, and where.
	Callers []Caller `json:"callers,omitempty"`
}

// Caller is an action whose body passed on the failure of a call.
type Caller struct {
	Task   string `json:"task"` // full name
	Label         // of the call that made the caller
	Action string `json:"action"`
	// Function is a function that the body has started and that made the call. The next caller is
	// where it was started.
	Function string        `json:"function,omitempty"`
	Pos      diag.Position `json:"pos,omitzero"` // of the call, in Task's body
}

// Error implements error.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s", f.Task, f.Message) }
