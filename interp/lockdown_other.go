//go:build !linux

package interp

import "errors"

// lockDown has no means here but those of the language and of Go's runtime:
// the budget of each thread, the wall clock, and a soft limit on memory.
func lockDown(Limits) ([]Layer, error) {
	missing := errors.New("it exists only on Linux")
	return []Layer{layer("limits", missing), layer("landlock", missing), layer("seccomp", missing)}, nil
}
