// Package interp turns source into modules, and does so in a process of its own.
//
// What the language is comes in as a [Language]: interp knows no builtin. It has two halves.
//
// In one process, and used by tests as it is:
//   - [Load] reads an entry module and all that it loads, checks and executes them.
//   - [Limits] bounds what that may cost.
//   - Errors are *diag.Error or diag.List, of classes Source and Limit.
//
// Across two processes:
//   - [Init] is called first thing in main. In the evaluator, the re-executed
//     binary, it doesn't return: it locks the process down and serves.
//   - [Start] makes an evaluator, gives it the source that it asks for, and
//     returns the graph. [Evaluator.Body] then evaluates orchestrators in it.
//   - [RunTool] runs other work on source, such as formatting, in such a process.
//   - [Files] is the directory from which source is served. Where [Options]
//     has a directory for them, modules are kept compiled (compile.go, cache.go).
//
// The evaluator has no file system and no network. What it says is untrusted:
// the parent bounds it, checks its form, and kills the evaluator when it lies
// or takes too long.
package interp

// A file's way through the package: files.go reads it, source.go and
// names.go check it, interp/summary keeps of its syntax what is used later, load.go executes it, errors.go makes findings of what went wrong. limits.go counts. message.go has what the two processes say to each
// other, serve.go the evaluator's side, evaluator.go and bodies.go the parent's. spawn_*.go
// says as whom the evaluator runs, lockdown*.go what it gives up.

import (
	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/interp/summary"
	"github.com/flytestar/flytestar/plan"
)

// Language is what a workflow file may use, and what becomes of it. An
// evaluator has one of its own, so the functions may share state.
type Language struct {
	// Predeclared are the names that every module sees and none may bind.
	Predeclared starlark.StringDict
	// ModuleLocal is the key of the thread-local that holds the path, a
	// string, of the module whose top level the thread runs. It is unset in bodies.
	ModuleLocal string
	// Finished is called when a module's top level has ended, before its
	// globals are frozen. It may be nil.
	Finished func(th *starlark.Thread, m *Module) error
	// Graph makes the graph once every module is frozen. all is in the order
	// in which the modules finished; entry is the last.
	Graph func(entry *Module, all []*Module) (*plan.Graph, error)
	// Body evaluates the body of the orchestrator with that full name. It is
	// called on a goroutine and a thread of its own, and several run at once.
	// host stops answering when the body ends or is cancelled.
	Body func(th *starlark.Thread, task string, inputs map[string]plan.Value, host plan.BodyHost) (plan.Value, error)
}

// Module is a file that has been loaded.
type Module struct {
	Path    string              // relative to the workspace, clean, with slashes
	Summary *summary.Summary    // of its syntax
	Globals starlark.StringDict // frozen once the module has finished
	Digest  string              // "sha256:…" of the source; in an evaluator, whose parent knows it, it may be empty
	Loads   []plan.Load         // in source order

	program *starlark.Program
	loads   map[string]string // path by the name as written
	binds   map[string]bool   // the names of its globals; made when it is first asked
}

// Source has the modules' source.
type Source interface {
	// ReadModule returns the source of the module at a path as in
	// [Module.Path]. An error is best a *diag.Error; its position is filled in
	// with the load statement's. The caller doesn't change the bytes.
	ReadModule(path string) ([]byte, error)
}

// CompiledSource is a Source that may have a module compiled, and then needn't give its source.
type CompiledSource interface {
	Source
	// ReadCompiled returns the module's source, or what a [Compiler] has made of it.
	ReadCompiled(path string) (source, compiled []byte, err error)
}
