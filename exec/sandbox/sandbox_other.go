//go:build !linux

package sandbox

import (
	"context"
	"runtime"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

var _ exec.Sandbox = (*Sandbox)(nil)

// Sandbox can't run containers on this system.
type Sandbox struct{}

const elsewhere = "check, plan and graph work here; build and run on a Linux machine, or in a Linux VM on this one"

// New returns an error of class System: containers need Linux.
func New(Options) (*Sandbox, error) { return nil, unsupported() }

func unsupported() *diag.Error {
	return diag.Errorf(diag.Position{}, diag.System, "containers can't run on %s: they need Linux", runtime.GOOS).WithHint(elsewhere)
}

// Run returns the same error as New.
func (*Sandbox) Run(context.Context, *exec.Container) (*exec.Exit, error) { return nil, unsupported() }

// Unpack returns the same error as New.
func (*Sandbox) Unpack(context.Context, []exec.Layer) error { return unsupported() }

// Limits returns the same error as New.
func (*Sandbox) Limits(plan.Resources) error { return unsupported() }

// Unswept returns nil.
func (*Sandbox) Unswept() error { return nil }

// Sweep does nothing.
func (*Sandbox) Sweep(context.Context) (Swept, error) { return Swept{}, nil }

// Probe says that this system isn't Linux.
func Probe() []Finding {
	return []Finding{{Name: "linux", Needed: true, Detail: "this is " + runtime.GOOS, Hint: elsewhere}}
}
