package exec

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	"github.com/flytestar/flytestar/plan"
)

// Executor runs attempts somewhere: on this machine, say. Its methods may be called concurrently.
// exec/exectest has the suite that every Executor passes.
type Executor interface {
	// Run runs one attempt to its end. It calls a.Started once, when the attempt's process has
	// really started, and before it returns; it doesn't call it for an attempt that never starts.
	//
	// A process that failed is a Result, not an error. An error says that the attempt couldn't be
	// run: a *diag.Error of class Task where the task or its image is to blame, else one of class
	// System. When ctx ends, Run ends the attempt and returns ctx's error. The
	// attempt's process is asked to end first, and has a moment to do so, in which it may still log.
	// When Run returns, nothing of the attempt is under way.
	Run(ctx context.Context, a *Attempt) (*Result, error)
	// Capacity says what the executor has for attempts. The engine asks once per run.
	Capacity(ctx context.Context) (Capacity, error)
	// Reap deals with the attempts of a run that an earlier driver left under way when it died: it
	// ends them, or adopts them. An executor that adopts an attempt returns that attempt's
	// outcome when Run is called with the same Spec and Address. The engine calls Reap before
	// the first attempt of a run. A run that left nothing is no error, and
	// attempts of other runs aren't touched.
	Reap(ctx context.Context, run string) error
}

// Capacity is what an executor has for attempts.
type Capacity struct {
	Attempts int // how many it runs at a time if nobody asks for another number; at least 1
}

// Attempt is one try of an action.
type Attempt struct {
	Spec
	Address
	Resources plan.Resources
	Log       io.Writer // stdout and stderr as they come; the executor writes from one goroutine at a time
	Started   func()    // told when the process has started: see [Executor]
}

// Address says which attempt it is. It has no influence on the result.
type Address struct {
	Run    string // the run's id
	Action string // the action's id
	Number int    // of the attempt, from 1
	Task   string // the task's full name
}

// Spec is everything that can change an attempt's result. It names files by their content, so that
// an executor may be far away.
type Spec struct {
	Image   ImageRef
	Args    []string
	Env     []string // KEY=VALUE, on top of the image's
	User    string   // instead of the image's, if set
	Files   []File
	Inputs  []Input
	Outputs []plan.Param // as the task declares them; see Result
	Strict  bool         // what Outputs doesn't declare isn't kept
	Network bool
	Secrets []Secret
}

// ImageRef names a built image.
type ImageRef struct {
	Digest plan.Digest // of its manifest
	Name   string      // a reference that the executor can pull it by; empty on the machine that built it
}

// Input is an artifact that an attempt can read.
type Input struct {
	Path     string     // absolute, in the container
	Artifact plan.Value // a plan.File or a plan.Dir
}

// Secret refers to a secret value. The executor looks it up by its key: a Spec never has the value.
type Secret struct {
	Key    string
	EnvVar string // the variable that has the value; empty: none
	Path   string // the file that has the value, absolute, in the container; empty: none
}

// Secrets looks up the values of secrets.
type Secrets interface {
	// Secret returns the value of a key. A key without a value is a *diag.Error of class Usage.
	Secret(ctx context.Context, key string) ([]byte, error)
}

// Digest covers the whole Spec but the name of its image, which the container doesn't see. An
// artifact's name counts as a part of its path. Equal digests mean equal results, as far as the
// task itself allows; so the digest is a part of the action's key.
func (s *Spec) Digest() plan.Digest {
	h := sha256.New()
	// %q writes each string so that no two different ones, and no two different lists, look the same.
	fmt.Fprintf(h, "spec 1\nimage %q\nargs %q\nenv %q\nuser %q\nnetwork %t\n", s.Image.Digest, s.Args, s.Env, s.User, s.Network)
	for _, f := range s.Files {
		fmt.Fprintf(h, "file %q %o %x\n", f.Path, f.Mode, sha256.Sum256(f.Data))
	}
	for _, in := range s.Inputs {
		kind, digest := "", plan.Digest("")
		switch a := in.Artifact.(type) {
		case plan.File:
			kind, digest = "File", a.Digest
		case plan.Dir:
			kind, digest = "Dir", a.Digest
		}
		fmt.Fprintf(h, "input %q %s %q\n", in.Path, kind, digest)
	}
	for _, out := range s.Outputs {
		t, err := json.Marshal(out.Type)
		if err != nil {
			panic(err) // a type is plain data
		}
		fmt.Fprintf(h, "output %q %s\n", out.Name, t)
		if out.Stdout || out.Glob != "" {
			fmt.Fprintf(h, "from %t %q\n", out.Stdout, out.Glob)
		}
	}
	if s.Strict {
		fmt.Fprintf(h, "strict\n")
	}
	for _, secret := range s.Secrets {
		fmt.Fprintf(h, "secret %q %q %q\n", secret.Key, secret.EnvVar, secret.Path)
	}
	return plan.DigestSum(h)
}

// Where attempts find things.
const (
	InputsPath    = "/var/inputs"      // inputs by name
	InputsJSON    = "/var/inputs.json" // all inputs by name, as JSON
	OutputsPath   = "/var/outputs"     // an empty directory that the attempt can write to
	WorkspacePath = "/workspace"       // the include set, read-only
	WorkPath      = "/var/work"        // the working directory where the image has none: a copy of the include set, not kept
)

// Result is how an attempt ended.
type Result struct {
	Exit
	// Outputs has the top-level entries of OutputsPath, put into the Store: each a plan.File or a
	// plan.Dir. If the attempt is Strict, only those are looked at that a declared output names. It has
	// standard output as a plan.File, which isn't logged then, where a declared output
	// has Stdout. Where one has a Glob, it has a []plan.Value of what that matches in the working
	// directory, sorted by path: Files, or Dirs where the type says so. Only what the attempt wrote
	// there counts. It is empty unless Code is 0.
	Outputs map[string]plan.Value
	// Refused lists what lies in OutputsPath and can't be kept, as "name: what it is". Only regular
	// files and directories can.
	Refused []string
}
