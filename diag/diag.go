// Package diag defines the one form in which flytestar reports problems: a position, a message, a
// code, a hint, and notes that point elsewhere.
//
//   - [Error] is one finding; [List] is several, sorted by position.
//   - [Class] says who is at fault. It decides the exit code.
//   - [Rule] is a kind of finding. [Fix] is the edit that mends one.
//   - [Render] prints findings for people, with the source line and a caret.
//   - [Suggest] picks the "did you mean" candidate for a misspelt name.
//
// The package is a leaf: of flytestar it imports only internal/text.
package diag

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a module. It has a slash-separated path relative to the workspace, and a
// line and column that count from 1. A zero Line means the whole file. An empty File means no place
// at all, as in an error of the machine.
type Position struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
}

// IsValid reports whether p names a file.
func (p Position) IsValid() bool { return p.File != "" }

// String returns "file:line:col" without the parts that are unknown.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Compare orders positions by file, line and column.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Col, q.Col))
}

// Class says what kind of thing went wrong. The command line maps it to its exit code (spec.md,
// "Exit codes").
type Class string

// The classes, and the exit code of each.
const (
	Source Class = "source" // 3: the workflow file is at fault; the zero value means this too
	Limit  Class = "limit"  // 3 while loading, 1 in a body: a limit was exceeded
	Usage  Class = "usage"  // 2: the command line, an unknown task, a bad input
	Task   Class = "task"   // 1: a task failed
	Build  Class = "build"  // 4: an image could not be built
	System Class = "system" // 5: the machine or the network failed
)

// Severity separates errors, which stop a run, from warnings and infos, which don't.
type Severity string

// The severities. The empty one counts as an error.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityInfo    Severity = "info" // worth knowing; often nothing to mend
)

// Note points at a second place that belongs to a finding.
type Note struct {
	Pos Position `json:"pos"`
	Msg string   `json:"message"`
}

// Error is one error or warning at a position. Msg is lower case and has no final full stop. Hint
// says what to do, and is printed on its own line.
type Error struct {
	Pos      Position `json:"pos"`
	Severity Severity `json:"severity,omitempty"`
	Class    Class    `json:"class,omitempty"`
	Code     string   `json:"code,omitempty"` // "FS101", or empty
	Msg      string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
	Notes    []Note   `json:"notes,omitempty"`
	Fix      *Fix     `json:"fix,omitempty"` // the edit that lint --fix would make; nil: none
	// Err is the cause, for errors.Is. It isn't printed or sent on.
	Err error `json:"-"`
}

// Errorf returns an error at pos. A %w verb sets the cause.
func Errorf(pos Position, class Class, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Pos: pos, Class: class, Msg: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint returns e with its hint set, for use in a return statement.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Error returns "file:line:col: message [code]".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Pos.IsValid() {
		b.WriteString(e.Pos.String() + ": ")
	}
	b.WriteString(e.Msg)
	if e.Code != "" {
		b.WriteString(" [" + e.Code + "]")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsWarning reports whether e is a warning or an info. These let a run go on.
func (e *Error) IsWarning() bool { return e.Severity == SeverityWarning || e.Severity == SeverityInfo }

// List holds several findings. Its error text is that of the first finding, and says how many
// follow.
type List []*Error

// Error implements error.
func (l List) Error() string {
	switch len(l) {
	case 0:
		return "no findings"
	case 1:
		return l[0].Error()
	}
	return fmt.Sprintf("%s (and %d more)", l[0].Error(), len(l)-1)
}

// Unwrap lets errors.Is and errors.As see every finding.
func (l List) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// Sort orders the findings by position, then code, then message.
func (l List) Sort() {
	slices.SortStableFunc(l, func(a, b *Error) int {
		return cmp.Or(a.Pos.Compare(b.Pos), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Msg, b.Msg))
	})
}

// Errors returns the findings that aren't warnings.
func (l List) Errors() List {
	var out List
	for _, e := range l {
		if !e.IsWarning() {
			out = append(out, e)
		}
	}
	return out
}

// Err returns l as an error if any finding is an error, else nil.
func (l List) Err() error {
	if len(l.Errors()) == 0 {
		return nil
	}
	return l
}
