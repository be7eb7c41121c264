// Package exec turns plans into results.
//
//   - The [Engine] drives a run: the call tree, concurrency, retries, failures, logs.
//   - It asks a [Builder] for images, an [Executor] to run attempts, and a
//     [Store] to keep artifacts. It asks [Bodies] to evaluate orchestrators.
//   - [Sandbox] runs one process in a container made of layers; builders and the
//     local executor both stand on it.
//
// exec declares these and implements only the engine. exec/image has the
// Builder, exec/local the Sandbox, the Executor and the Store for this machine,
// exec/exectest the suite that every Executor passes. exec imports neither
// Starlark nor its own children.
package exec

import (
	"context"
	"io"
	"time"

	"github.com/flytestar/flytestar/plan"
)

// Builder turns images as declared into OCI images in a store of its own.
// Its methods may be called concurrently; what two images share is built once,
// also across processes.
type Builder interface {
	// State fills in img's State, Digest and Why. It reads local state only:
	// no network, no writes.
	State(ctx context.Context, img plan.BuildImage) (plan.BuildImage, error)
	// Build returns the digest of img's manifest ("sha256:…"), building what
	// isn't there yet. When it returns, also on cancellation, nothing of it
	// is still running and the store holds no half-written blob. Errors are
	// *diag.Error of class Build or System.
	Build(ctx context.Context, img plan.BuildImage, watch Watch) (string, error)
	// Image opens an image that Build returned.
	Image(ctx context.Context, digest string) (*Image, error)
}

// Image is a built image, as a sandbox needs it.
type Image struct {
	Digest  string   // of its manifest
	Layers  []Layer  // bottom first
	Env     []string // KEY=VALUE
	Workdir string
	User    string // "", "name", "uid" or "uid:gid"
}

// Layer is one layer of an image: a tar stream whose content DiffID names.
type Layer interface {
	// DiffID is "sha256:…" of the uncompressed tar.
	DiffID() string
	// Uncompressed opens the tar. The caller closes it.
	Uncompressed() (io.ReadCloser, error)
}

// Sandbox runs processes in containers on this machine.
type Sandbox interface {
	// Run runs c to its end. When it returns, no process, mount, cgroup or
	// temporary directory of c is left, whatever the outcome. Cancelling ctx
	// kills all of c's processes; Run then returns ctx's error. Any other
	// error means that the machine couldn't run c. A process that ran and
	// failed is no error: see Exit.
	Run(ctx context.Context, c *Container) (*Exit, error)
}

// Container is one process to run, and what it may see and use. Paths in
// Mounts' Source, Diff and logs are this machine's; all others are the container's.
type Container struct {
	Name     string  // for messages and the host name: letters, digits, "-"
	Layers   []Layer // bottom first
	Args     []string
	Env      []string // KEY=VALUE, the whole environment
	Workdir  string   // made if missing; default "/"
	User     string   // as Image.User; default root of the user namespace
	Mounts   []Mount
	Files    []File // small files, written before start
	Network  bool   // the host's network instead of none
	Resource plan.Resources
	Stdout   io.Writer
	Stderr   io.Writer
	// Diff, if set, receives what the process changed in its root file system once it has exited with 0,
	// as the tar of an OCI layer: ids as the container sees them, whiteouts for what
	// is gone, entries sorted by path, without Mounts, Files and their mount points.
	Diff io.Writer
}

// Mount binds a path of this machine.
type Mount struct {
	Source   string // file or directory
	Target   string // absolute; made if missing
	Writable bool
}

// File is a small file in a container, owned by its root and read-only.
type File struct {
	Path string
	Mode uint32 // permission bits
	Data []byte
}

// Exit is how a container's process ended.
type Exit struct {
	Code     int    // exit code; 128 + signal where Signal is set
	Signal   string // "SIGKILL", … or empty
	OOM      bool   // the kernel killed a process of it for want of memory
	Duration time.Duration
	MaxRSS   int64 // bytes: the greatest memory use, 0 where unknown
}

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

// Store keeps artifacts by content. What it has never changes.
type Store interface {
	// PutFile reads r to its end and keeps it.
	PutFile(ctx context.Context, name string, r io.Reader) (plan.File, error)
	// PutDir keeps the regular files, with their executable bit, and directories of a tree.
	PutDir(ctx context.Context, name string, tree []Entry) (plan.Dir, error)
	// Open reads a file's content. It is an error, matching fs.ErrNotExist, for the store not to have it.
	Open(ctx context.Context, f plan.File) (io.ReadCloser, error)
}

// Entry is a member of a tree to be kept.
type Entry struct {
	Path       string // slash-separated, relative, clean
	Dir        bool
	Executable bool
	Open       func() (io.ReadCloser, error) // for files
}

// Bodies evaluates the bodies of orchestrators.
type Bodies interface {
	// Body evaluates the body of task, by full name, and returns its value,
	// which is not yet checked against the task's output type. What the body
	// asks for goes to host. An error in the body is a *diag.Error; an
	// action's failure that the body let through is the *plan.Failure that host returned.
	Body(ctx context.Context, task string, inputs map[string]plan.Value, host plan.Host) (plan.Value, error)
}

// Watch is told what happens in a build or a run, for progress and events. It is
// called from several goroutines, must be quick, and may be nil.
type Watch func(Event)

// Event is one thing that happened. Only the fields of its kind are set.
type Event struct {
	Time   time.Time     `json:"time"`
	Kind   EventKind     `json:"kind"`
	Image  string        `json:"image,omitempty"`  // an image's environments, joined by ","
	Step   string        `json:"step,omitempty"`   // image: what is being done, e.g. "pip pytest"
	Bytes  int64         `json:"bytes,omitempty"`  // image: of the step, so far
	Total  int64         `json:"total,omitempty"`  // image: of the step, 0 where unknown
	Digest string        `json:"digest,omitempty"` // image.done
	Action string        `json:"action,omitempty"`
	Parent string        `json:"parent,omitempty"`
	Task   string        `json:"task,omitempty"`
	Number int           `json:"attempt,omitempty"`
	Line   string        `json:"line,omitempty"` // action.log
	Error  *plan.Failure `json:"error,omitempty"`
	Msg    string        `json:"message,omitempty"`
}

// EventKind tells events apart.
type EventKind string

// The kinds of event.
const (
	ImageStep     EventKind = "image.step"     // a step of an image has begun, or got on
	ImageHit      EventKind = "image.hit"      // an image was there
	ImageDone     EventKind = "image.done"     // an image was built
	ImageFailed   EventKind = "image.failed"   //
	ActionQueued  EventKind = "action.queued"  // waits for a slot
	ActionStarted EventKind = "action.started" // an orchestrator's body, or an attempt, has begun
	ActionLog     EventKind = "action.log"     // a line that the attempt wrote
	ActionRetried EventKind = "action.retried" // an attempt failed and another will follow
	ActionDone    EventKind = "action.done"
	ActionFailed  EventKind = "action.failed"
	Warning       EventKind = "warning" // Msg has something the user must be told
)
