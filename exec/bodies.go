package exec

import (
	"context"

	"github.com/flytestar/flytestar/plan"
)

// Bodies evaluates the bodies of orchestrators.
type Bodies interface {
	// Body evaluates the body of a task, by full name, and returns its value. The caller checks the
	// value against the task's output type. The body's calls and other requests go to host. An error
	// in the body is a *diag.Error. If the body let the failure of a call through, the error is the
	// *plan.Failure that host returned.
	Body(ctx context.Context, task string, inputs map[string]plan.Value, host plan.Host) (plan.Value, error)
}
