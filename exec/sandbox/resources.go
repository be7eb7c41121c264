package sandbox

import (
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Unsupported returns why no container on any machine can have resources, or nil. The error has no
// position.
func Unsupported(r plan.Resources) *diag.Error {
	switch {
	case r.Disk != 0:
		return broken("a limit of disk can't be enforced by the local executor").
			WithHint("leave disk out of resources; what tasks write shares the disk that flytestar's home is on")
	case r.GPU != 0:
		return broken("the local executor can't give GPUs to containers").WithHint("leave gpu out of resources")
	}
	return nil
}

// broken returns an error that the machine is to blame for.
func broken(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, diag.System, format, args...)
}
