//go:build !linux

package locktest

import "errors"

// Attempts returns the names of everything that [Able] tries: nothing here.
func Attempts() []string { return nil }

// Able names what a process could do: there is no lockdown here.
func Able(int) string { return "everything: there is no lockdown here" }

// WithoutCalls works only on Linux.
func WithoutCalls(string) error { return errors.New("only on Linux") }
