// Package interp turns the source of a workflow into a program, and runs that. It works in one
// process; package evaluator starts it in a process of its own.
//
//   - A [Loader] reads an entry module and everything that it loads. It checks all of them, and
//     only then executes them. The result is a [Program].
//   - [Program.Graph] is what the modules declare. [Program.Body] evaluates an orchestrator's body.
//   - A [Compiler] compiles modules without executing them, to be kept.
//   - [Limits] bounds what all this may cost.
//   - [Files] serves the modules of a directory.
//
// interp knows no builtin: a [Language] says what a workflow file may use. Errors are *diag.Error
// or diag.List, of the classes Source and Limit, and of the class Task in bodies.
package interp

// A file's way through the package: files.go reads it; source.go and names.go check it;
// interp/summary keeps what is used of its syntax later; load.go executes it; errors.go makes
// findings of what went wrong. limits.go counts, and universe.go bounds the functions that steps
// don't.

import (
	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/interp/summary"
	"github.com/flytestar/flytestar/plan"
)

// Language says what a workflow file may use, and what becomes of it. Each program has a Language
// of its own, so the functions may share state.
type Language struct {
	// Predeclared are the names that every module sees. No module may bind them.
	Predeclared starlark.StringDict
	// ModuleLocal is the key of a thread-local. While a thread runs a module's top level, it holds
	// the module's path, a string. It is unset in bodies.
	ModuleLocal string
	// PythonLocal is the key of a thread-local. While a thread runs a module's top level, it holds a
	// func(path string) ([]byte, error) that reads a Python file, if the source is a [PythonSource].
	PythonLocal string
	// Finished is called at the end of a module's top level, before the globals are frozen. It may
	// be nil.
	Finished func(th *starlark.Thread, m *Module) error
	// Graph makes the graph once every module is frozen. all is in the order in which the modules
	// finished; entry is the last.
	Graph func(entry *Module, all []*Module) (*plan.Graph, error)
	// Body evaluates the body of the orchestrator with that full name. Each call has a goroutine
	// and a thread of its own; several run at once. host stops answering when the body ends or is
	// cancelled.
	Body func(b *Body, task string, inputs map[string]plan.Value, host plan.BodyHost) (plan.Value, error)
}

// Module is a file that has been loaded.
type Module struct {
	Path    string              // relative to the workspace, clean, with slashes
	Summary *summary.Summary    // of its syntax
	Globals starlark.StringDict // frozen once the module has finished
	Digest  plan.Digest         // of the source; empty for a module that came compiled
	Loads   []plan.Load         // in source order

	program *starlark.Program
	loads   map[string]string // path, by the name as written
	binds   map[string]bool   // the names of its globals; made by the first call of has
}

// Source returns the source of modules.
type Source interface {
	// ReadModule returns the source of the module at path, which is as in [Module]. Its error
	// should be a *diag.Error; the loader fills in the load statement's position. The caller
	// doesn't change the bytes.
	ReadModule(path string) ([]byte, error)
}

// PythonSource is a Source that has Python files too, whose signatures modules ask for.
type PythonSource interface {
	Source
	// ReadPython returns the file at path, of which [CheckPythonPath] approves. Its error matches
	// fs.ErrNotExist if there is none.
	ReadPython(path string) ([]byte, error)
}

// CompiledSource is a Source that may have a module in its compiled form.
type CompiledSource interface {
	Source
	// ReadCompiled returns the module's source, or else what a [Compiler] made of it.
	ReadCompiled(path string) (source, compiled []byte, err error)
}
