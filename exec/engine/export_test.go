package engine

import "errors"

// What tests in engine_test see of the package.
var (
	ActionID   = actionID
	CheckShell = checkShell
	Expand     = expand
	ReadResult = readResult
)

// Hint returns what an error of ReadResult says to return instead, or "".
func Hint(err error) string {
	var r *raised
	if errors.As(err, &r) {
		return r.hint
	}
	return ""
}

// ExceptionClass returns the class of the exception that ReadResult returned as its error, or "".
func ExceptionClass(err error) string {
	var r *raised
	if errors.As(err, &r) {
		return r.class
	}
	return ""
}
