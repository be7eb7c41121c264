package exec

import (
	"context"
	"io"

	"github.com/flytestar/flytestar/plan"
)

// Attempt is one try of an action: what the engine hands to an Executor.
// It names everything by content, so that an Executor may be far away.
type Attempt struct {
	Run       string // the run's id
	Action    string // the action's id
	Number    int    // from 1
	Task      string // full name
	Image     string // manifest digest
	Args      []string
	Env       []string // KEY=VALUE, on top of the image's
	User      string   // instead of the image's, if set
	Files     []File
	Inputs    []Input
	Resources plan.Resources
	Network   bool
	Log       io.Writer // stdout and stderr as they come; the Executor writes from one goroutine at a time
}

// Input is an artifact mounted read-only into an attempt.
type Input struct {
	Path     string     // absolute, in the container
	Artifact plan.Value // a plan.File or a plan.Dir
}

// Where attempts find things.
const (
	InputsPath    = "/var/inputs"      // inputs by name
	InputsJSON    = "/var/inputs.json" // scalars by name, as JSON
	OutputsPath   = "/var/outputs"     // an empty, writable directory
	WorkspacePath = "/workspace"       // the include set, read-only; also the working directory where the image has none
)

// Result is how an attempt ended.
type Result struct {
	Exit
	// Outputs has each top-level entry of OutputsPath, put into the Store: a
	// plan.File or a plan.Dir. Only regular files and directories count; what
	// else lies there is listed in Refused. Empty unless Code is 0.
	Outputs map[string]plan.Value
	Refused []string // "name: what it is"
}

// Executor runs attempts somewhere. Attempts run concurrently; the engine bounds how many.
type Executor interface {
	// Run runs one attempt to its end. A process that failed is a Result, not
	// an error; an error means that the attempt could not be run (class
	// System), or ctx's error after cancellation, when everything of the
	// attempt is gone.
	Run(ctx context.Context, a *Attempt) (*Result, error)
}
