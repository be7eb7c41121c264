// Package plan is the contract between flytestar's halves, and between its two processes. It is
// plain data that can be written as JSON; nothing in it acts.
//
//   - [Graph] is the result of evaluating a workflow file: [Environment], [Image], [Task] and the
//     [Call]s between tasks. The evaluator makes it, everything else reads it.
//   - [Plan] is what running one task of a graph would do, and which images it needs.
//   - [Type] and [Value] are what passes between tasks, with [File] and [Dir].
//   - [Host] is what an orchestrator's body may ask for. [Failure] is how an action fails.
//
// The package is a leaf: it imports only diag and internal/text. Nothing in it knows Starlark,
// containers or registries. Paths are slash-separated and relative to the workspace.
package plan

import (
	"encoding/json"
	"fmt"
	"path"
	"time"

	"github.com/flytestar/flytestar/diag"
)

// Version is the version of the graph's JSON form.
const Version = 2

// Graph is a frozen workflow: everything that its files declare. Its parts refer to each other by
// indices into its slices.
type Graph struct {
	Version      int           `json:"version"`
	Entry        string        `json:"entry"`   // the module that was asked for
	Modules      []Module      `json:"modules"` // in the order in which they finished loading; Entry is last
	Images       []Image       `json:"images"`
	Environments []Environment `json:"environments"`
	Tasks        []Task        `json:"tasks"`
	Calls        []Call        `json:"calls"`
	Sites        []Site        `json:"sites,omitempty"`
	Artifacts    []Artifact    `json:"artifacts,omitempty"` // each once
}

// Artifact is a File or Dir of the workspace, made by file(...) or dir(...).
type Artifact struct {
	Path string        `json:"path"`
	Dir  bool          `json:"dir,omitempty"`
	Pos  diag.Position `json:"pos"` // of the first call that made it
}

// Value returns the reference to a that values hold until a run has put it into the store.
func (a *Artifact) Value() Value {
	f := File{Name: path.Base(a.Path), Workspace: a.Path}
	if a.Dir {
		return Dir(f)
	}
	return f
}

// Module is one loaded file.
type Module struct {
	Path   string `json:"path"`
	Digest Digest `json:"digest"` // of its source
	Loads  []Load `json:"loads,omitempty"`
}

// Load is a load statement of a module.
type Load struct {
	Path string        `json:"path"` // of the module that is loaded
	Pos  diag.Position `json:"pos"`
}

// Image is an image as declared: a base, and the steps that extend it, in order.
type Image struct {
	Name  string        `json:"name,omitempty"` // as given by clone(name=)
	Base  Base          `json:"base"`
	Steps []Step        `json:"steps,omitempty"`
	Pos   diag.Position `json:"pos"` // where the last step was added
}

// Base is what an image starts from.
type Base struct {
	Kind   BaseKind      `json:"kind"`
	Suite  string        `json:"suite,omitempty"`  // debian: the release's code name
	Python bool          `json:"python,omitempty"` // debian: with python3
	Ref    string        `json:"ref,omitempty"`    // ref: a registry reference, or "oci:DIR" with DIR in the workspace
	Pos    diag.Position `json:"pos"`
}

// BaseKind tells bases apart.
type BaseKind string

// The kinds of base.
const (
	BaseDebian  BaseKind = "debian"
	BaseRef     BaseKind = "ref"
	BaseScratch BaseKind = "scratch"
)

// Step is one extension of an image. Only the fields of its kind are set.
type Step struct {
	Kind StepKind      `json:"kind"`
	Pos  diag.Position `json:"pos"`

	Packages       []string          `json:"packages,omitempty"`         // pip: PEP 508 requirements; apt: package names, "name=version" to pin
	IndexURL       string            `json:"index_url,omitempty"`        // pip, requirements
	ExtraIndexURLs []string          `json:"extra_index_urls,omitempty"` // pip, requirements
	Pre            bool              `json:"pre,omitempty"`              // pip, requirements: pre-releases count
	Commands       []string          `json:"commands,omitempty"`         // commands: each run by /bin/sh -c
	Network        bool              `json:"network,omitempty"`          // commands
	EnvVars        map[string]string `json:"env_vars,omitempty"`         // env
	Src            string            `json:"src,omitempty"`              // requirements, file, folder: a path in the workspace
	Dst            string            `json:"dst,omitempty"`              // file, folder: a path in the image
	Ignore         []string          `json:"ignore,omitempty"`           // folder: patterns left out
	Name           string            `json:"name,omitempty"`             // workdir: the directory; user: the user
}

// StepKind tells steps apart.
type StepKind string

// The kinds of step.
const (
	StepPip          StepKind = "pip"
	StepRequirements StepKind = "requirements"
	StepApt          StepKind = "apt"
	StepCommands     StepKind = "commands"
	StepEnv          StepKind = "env"
	StepFile         StepKind = "file"
	StepFolder       StepKind = "folder"
	StepWorkdir      StepKind = "workdir"
	StepUser         StepKind = "user"
)

// MakesLayer reports whether a step adds a layer to the image, or more than one.
func (k StepKind) MakesLayer() bool {
	switch k {
	case StepPip, StepRequirements, StepApt, StepCommands, StepFile, StepFolder:
		return true
	}
	return false
}

// MaxLayers is how many layers an image can have: as many as a kernel's overlay takes.
const MaxLayers = 500

// NoImage is the Image of an environment that has none.
const NoImage = -1

// Environment is a task_environment.
type Environment struct {
	Name        string            `json:"name"`
	Image       int               `json:"image"` // into Graph.Images, or NoImage
	DependsOn   []int             `json:"depends_on,omitempty"`
	Resources   Resources         `json:"resources,omitzero"`
	EnvVars     map[string]string `json:"env_vars,omitempty"`
	Network     bool              `json:"network,omitempty"`
	Description string            `json:"description,omitempty"`
	Pos         diag.Position     `json:"pos"`
	// DependsOnPos is the position of the depends_on list. Without a list it is Pos.
	DependsOnPos diag.Position `json:"depends_on_pos"`
	// Global is the first global that the environment is bound to. Hints use it. It may be empty.
	Global string `json:"global,omitempty"`
	// Module is the module that Global belongs to. Empty means the module of Pos. They differ if a
	// macro made the environment.
	Module string `json:"module,omitempty"`
}

// Task is a task. Its full name is Environment.Name + "." + Name.
type Task struct {
	Name    string        `json:"name"`
	Env     int           `json:"env"` // into Graph.Environments
	Body    Body          `json:"body"`
	Inputs  []Param       `json:"inputs,omitempty"` // in positional order
	Outputs []Param       `json:"outputs,omitempty"`
	Single  bool          `json:"single,omitempty"`  // declared with output=: Outputs has one element, named "output", and its value is the result
	Include []string      `json:"include,omitempty"` // patterns relative to Dir, or to the workspace after "//"
	Dir     string        `json:"dir"`               // the declaring module's directory in the workspace, "." for its root
	Retries int           `json:"retries,omitempty"` // further attempts after the first
	Timeout time.Duration `json:"timeout,omitempty"` // longest run of an attempt, in nanoseconds; 0: none

	Resources *Resources        `json:"resources,omitempty"` // instead of the environment's
	EnvVars   map[string]string `json:"env_vars,omitempty"`  // on top of the environment's
	Doc       string            `json:"doc,omitempty"`
	Pos       diag.Position     `json:"pos"`
	Listed    bool              `json:"listed,omitempty"` // among the entry module's globals, or loaded by it
}

// Body is what a task runs. Exactly one of its forms is set.
type Body struct {
	Kind     BodyKind      `json:"kind"`
	Pos      diag.Position `json:"pos,omitzero"`       // starlark: the function's
	File     string        `json:"file,omitempty"`     // python: a file in the workspace
	Root     string        `json:"root,omitempty"`     // python: the directory where the package of File begins; empty: found out
	Function string        `json:"function,omitempty"` // python; starlark: the function's name
	Command  []string      `json:"command,omitempty"`
	Script   string        `json:"script,omitempty"`
	// Signature is what the source of a python task's function shows, to be compared with what the
	// task declares. It is nil if the inputs were taken from it, or if it isn't known for sure.
	Signature *Signature `json:"signature,omitempty"`
}

// Signature is the signature of a Python function.
type Signature struct {
	Line     int         `json:"line"` // of its def, in the body's file
	Params   []Parameter `json:"params,omitempty"`
	Keywords bool        `json:"keywords,omitempty"` // it takes every keyword (**kwargs)
	Returns  *Type       `json:"returns,omitempty"`  // nil: not known
}

// Parameter returns the parameter of a name, or nil.
func (s *Signature) Parameter(name string) *Parameter {
	for i := range s.Params {
		if s.Params[i].Name == name {
			return &s.Params[i]
		}
	}
	return nil
}

// Parameter is a parameter of a Python function.
type Parameter struct {
	Name           string `json:"name"`
	Type           *Type  `json:"type,omitempty"`            // nil: not known
	Optional       bool   `json:"optional,omitempty"`        // it has a default
	PositionalOnly bool   `json:"positional_only,omitempty"` // it can't be given by name
}

// BodyKind tells bodies apart.
type BodyKind string

// The kinds of body. Every switch over them has a case for each kind, and .ci/run checks that. So
// no switch can mistake a new kind for another one.
const (
	BodyStarlark BodyKind = "starlark" // an orchestrator
	BodyPython   BodyKind = "python"
	BodyCommand  BodyKind = "command"
	BodyScript   BodyKind = "script"
)

// InContainer reports whether the task runs in a container of its environment.
func (t *Task) InContainer() bool { return t.Body.Kind.InContainer() }

// InContainer reports whether a body of this kind runs in a container of its task's environment.
func (k BodyKind) InContainer() bool {
	switch k {
	case BodyStarlark:
		return false
	case BodyPython, BodyCommand, BodyScript:
		return true
	}
	panic(fmt.Sprintf("plan: a body of kind %q", k)) // Graph.Validate refuses it
}

// Param is an input or an output.
type Param struct {
	Name    string          `json:"name"`
	Type    Type            `json:"type"`
	Default json.RawMessage `json:"default,omitempty"` // a value in [MarshalValue]'s form; empty: required
	Doc     string          `json:"doc,omitempty"`
	Glob    string          `json:"glob,omitempty"`   // output of a command or script: it is what this pattern matches in the working directory
	Stdout  bool            `json:"stdout,omitempty"` // output of a command or script: it is the process's standard output
}

// Resources are the limits of an attempt. A zero field means no limit.
type Resources struct {
	MilliCPU int64 `json:"milli_cpu,omitempty"` // thousandths of a core
	Memory   int64 `json:"memory,omitempty"`    // bytes
	GPU      int   `json:"gpu,omitempty"`
	Disk     int64 `json:"disk,omitempty"` // bytes of scratch space
	Shm      int64 `json:"shm,omitempty"`  // bytes of /dev/shm
}

// Call is an edge of the call graph: a task whose body can call another. It is found without
// running anything.
type Call struct {
	Caller   int           `json:"caller"` // into Graph.Tasks
	Callee   int           `json:"callee"`
	Pos      diag.Position `json:"pos"`                // where the callee is mentioned in code that the caller reaches
	Possible bool          `json:"possible,omitempty"` // found only through a container look-up or getattr
	Sites    []int         `json:"sites,omitempty"`    // into Graph.Sites: where code that the caller reaches calls the callee by name
}

// Site is a place where code names the task that it calls, and the arguments there.
type Site struct {
	Task      int           `json:"task"` // into Graph.Tasks
	How       SiteKind      `json:"how"`
	Pos       diag.Position `json:"pos"`                 // where the call begins
	Arguments []Argument    `json:"arguments,omitempty"` // as written; for attempt, those that it passes on
	Open      bool          `json:"open,omitempty"`      // it also has *args or **kwargs, so there may be further arguments
	Unused    bool          `json:"unused,omitempty"`    // the call is a statement: nothing looks at its result
}

// SiteKind tells the ways to call a task apart.
type SiteKind string

// The ways to call a task.
const (
	SiteCall    SiteKind = "call"    // t(…)
	SiteStart   SiteKind = "start"   // t.start(…), or start(t, …)
	SiteMap     SiteKind = "map"     // t.map(…), whose arguments are map's own
	SiteAttempt SiteKind = "attempt" // attempt(t, …)
)

// Argument is an argument of a call in source.
type Argument struct {
	Name    string        `json:"name,omitempty"`    // empty: positional
	Literal Kind          `json:"literal,omitempty"` // the type of a value that is written out, such as a scalar, list or dict; empty: unknown
	Pos     diag.Position `json:"pos"`               // where the value begins
}

// FullName returns "environment.task".
func (g *Graph) FullName(task int) string {
	t := &g.Tasks[task]
	return g.Environments[t.Env].Name + "." + t.Name
}

// Closure returns env and the environments that it reaches through depends_on. Each comes after
// those that it depends on. The walk is iterative and linear.
func (g *Graph) Closure(env int) []int {
	type frame struct{ env, next int }
	var order []int
	seen := make([]bool, len(g.Environments))
	seen[env] = true
	stack := []frame{{env: env}}
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		deps := g.Environments[f.env].DependsOn
		if f.next == len(deps) {
			order = append(order, f.env)
			stack = stack[:len(stack)-1]
			continue
		}
		dep := deps[f.next]
		f.next++
		if !seen[dep] {
			seen[dep] = true
			stack = append(stack, frame{env: dep})
		}
	}
	return order
}
