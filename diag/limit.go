package diag

import "fmt"

// LimitName names a limit: it is the flag that raises it, without dashes, the
// code of the errors that say it was exceeded, and their cause, for errors.Is.
type LimitName string

// Error implements error.
func (l LimitName) Error() string { return string(l) + " exceeded" }

// Errorf returns an error of class Limit that l was exceeded, with a hint at the
// flag. Its message says what was limited, and to how much. It has no position.
func (l LimitName) Errorf(format string, args ...any) *Error {
	return &Error{
		Class: Limit, Code: string(l), Err: l,
		Msg:  fmt.Sprintf(format, args...),
		Hint: fmt.Sprintf("raise it with --%s if this is meant", string(l)),
	}
}

// At returns e with its position set, for use in a return statement.
func (e *Error) At(pos Position) *Error {
	e.Pos = pos
	return e
}
