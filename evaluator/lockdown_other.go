//go:build !linux

package evaluator

import (
	"errors"
	"github.com/flytestar/flytestar/interp"
)

// closeInherited has nothing to do here: what [startProcess] hands down is all
// that isn't marked to be closed, unless whoever started flytestar has left files open.
func closeInherited() error { return nil }

// lockDown has no means here but those of the language and of Go's runtime:
// the budget of each thread, the wall clock, and a soft limit on memory.
func lockDown(interp.Limits) ([]Layer, error) {
	missing := errors.New("it exists only on Linux")
	layers := make([]Layer, len(layerNames))
	for i, name := range layerNames {
		layers[i] = layer(name, "", missing)
	}
	return layers, nil
}
