package exec

import (
	"context"

	"github.com/flytestar/flytestar/plan"
)

// Bodies evaluates the bodies of orchestrators.
type Bodies interface {
	// Body evaluates the body of task, by full name, and returns its value,
	// which is not yet checked against the task's output type. What the body
	// asks for goes to host. An error in the body is a *diag.Error; an
	// action's failure that the body let through is the *plan.Failure that host returned.
	Body(ctx context.Context, task string, inputs map[string]plan.Value, host plan.Host) (plan.Value, error)
}
