package diag

import "fmt"

// LimitName names a limit. The flag that raises the limit has this name, after two dashes. Errors
// that say it was exceeded have this name as their code, and as their cause for errors.Is.
type LimitName string

// Error implements error.
func (l LimitName) Error() string { return string(l) + " exceeded" }

// Flag returns the flag that raises the limit, with its dashes.
func (l LimitName) Flag() string { return "--" + string(l) }

// Errorf returns an error of class Limit which says that l was exceeded. The message says what was
// limited, and to how much. The hint names the flag. The error has no position.
func (l LimitName) Errorf(format string, args ...any) *Error {
	return &Error{
		Class: Limit, Code: string(l), Err: l,
		Msg:  fmt.Sprintf(format, args...),
		Hint: fmt.Sprintf("raise it with %s if this is meant", l.Flag()),
	}
}

// At returns e with its position set, for use in a return statement.
func (e *Error) At(pos Position) *Error {
	e.Pos = pos
	return e
}
