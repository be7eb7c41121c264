package check

import (
	"context"
	"maps"
	"sync"

	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// Options say how a session evaluates modules.
type Options struct {
	// Evaluate evaluates the module entry and returns its graph. It reads all modules through
	// source. What is wrong with them is a *diag.Error or a diag.List.
	Evaluate func(ctx context.Context, entry string, source interp.Source) (*plan.Graph, error)
	Tool     evaluator.Options // how the processes run that look at the syntax
	Platform string            // what images are for: "linux/amd64"
}

// Session is open on one workspace. Its methods may be called concurrently.
type Session struct {
	root *workspace.Root
	opts Options

	mu      sync.Mutex
	overlay map[string][]byte
}

// Open returns a session on a workspace, which the caller goes on owning.
func Open(root *workspace.Root, opts Options) *Session {
	return &Session{root: root, opts: opts, overlay: map[string][]byte{}}
}

// Update sets the source of a module, a path in the workspace, in place of its file's. There
// needn't be a file. A nil source stands for the file's own again.
func (s *Session) Update(module string, source []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if source == nil {
		delete(s.overlay, module)
		return
	}
	s.overlay[module] = source
}

// unsaved returns the overlay as it is now.
func (s *Session) unsaved() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.overlay)
}

// Format returns the source of a module, laid out anew; name is for positions. If the source is at
// fault, the error is a *diag.Error or a diag.List. tool says how to run the process that does
// this.
func Format(ctx context.Context, name string, source []byte, tool evaluator.Options) ([]byte, error) {
	return lint.Format(ctx, lint.Module{Path: name, Source: source}, tool)
}
