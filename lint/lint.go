// Package lint reads modules as text and syntax: what can be found without evaluating them, how they
// are laid out, and the edits that mend findings.
//
//   - [Rules] and [Buildtools] list what is found (rules.go). The checks are in names.go, blocks.go,
//     values.go and secrets.go, and those of buildtools in buildtools.go.
//   - [Check] runs them on modules. [Report.Apply] then removes the findings that comments suppress
//     (suppress.go, comments.go).
//   - [Format] lays a module out anew, unless that changes what the module means (format.go,
//     same.go).
//   - [Edit] makes the edits that findings carry (edit.go, depends.go, images.go).
//   - Package findings writes them for other programs.
//
// No source is parsed in this process. [Check], [Format] and [Edit] run one of [Tools] in a process
// of its own. There, starlark-go's parser comes first and checks how deep the syntax nests:
// buildtools would overflow the stack.
package lint

import (
	"context"
	"encoding/json"
	"fmt"

	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/interp"
)

// Module is the source of a module.
type Module struct {
	Path   string `json:"path"` // relative to the workspace, clean, with slashes
	Source []byte `json:"source"`
}

// TaskSite is where a task is declared.
type TaskSite struct {
	Pos    diag.Position `json:"pos"`    // of the constructor's call
	Output bool          `json:"output"` // calls return something other than None
}

// Names of the tools.
const (
	checkTool  = "lint"
	formatTool = "fmt"
	editTool   = "fix"
)

// Tools are the parts of this package that parse source, for [evaluator.Init]. language says which
// names are predeclared. Only the tool's process calls it.
func Tools(language func(interp.Limits) interp.Language) map[string]evaluator.Tool {
	return map[string]evaluator.Tool{
		checkTool: tool(func(r *checkRequest) (*Report, error) {
			return check(r, language(r.Limits.Defaults()).Predeclared)
		}),
		formatTool: tool(formatModule),
		editTool:   tool(editModule),
	}
}

// tool makes a tool of a function of plain data. If the function panics, in a check of buildtools
// say, that is an error of the program and not of the source.
func tool[In, Out any](f func(*In) (*Out, error)) evaluator.Tool {
	return func(in []byte) (data []byte, err error) {
		defer func() {
			if r := recover(); r != nil {
				err = diag.Errorf(diag.Position{}, diag.System, "this is flytestar's fault: reading the source ended in a panic: %v", r)
			}
		}()
		var request In
		if err := json.Unmarshal(in, &request); err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
		answer, err := f(&request)
		if err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	}
}

// run runs a tool in a process of its own. [evaluator.RunTool] says which options count.
func run[Out any](ctx context.Context, name string, request any, options evaluator.Options) (*Out, error) {
	in, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	out, err := evaluator.RunTool(ctx, name, in, options)
	if err != nil {
		return nil, err
	}
	var answer Out
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, unasked("%w", err)
	}
	return &answer, nil
}

// unasked is the error for an answer that no tool gives, unless the source took the tool over.
func unasked(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, diag.System, "the evaluator broke its rules: "+format, args...)
}

// position translates a position of starlark-go.
func position(p syntax.Position) diag.Position {
	return diag.Position{File: p.Filename(), Line: int(p.Line), Col: int(p.Col)}
}
