//go:build !linux

package sandbox

import (
	"context"
	"runtime"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
)

var _ exec.Sandbox = (*Sandbox)(nil)

// Sandbox runs processes in containers. There are none on this system.
type Sandbox struct{}

const elsewhere = "check, plan and graph work here; build and run on a Linux machine, or in a Linux VM on this one"

// New returns an error of class System: containers are Linux's.
func New(Options) (*Sandbox, error) { return nil, unsupported() }

func unsupported() *diag.Error {
	return diag.Errorf(diag.Position{}, diag.System, "containers can't run on %s: they need Linux", runtime.GOOS).WithHint(elsewhere)
}

// Run returns the error that New does.
func (*Sandbox) Run(context.Context, *exec.Container) (*exec.Exit, error) { return nil, unsupported() }

// Sweep removes nothing.
func (*Sandbox) Sweep(context.Context) (Swept, error) { return Swept{}, nil }

// Probe says that this isn't Linux.
func Probe() []Finding {
	return []Finding{{Name: "linux", Needed: true, Detail: "this is " + runtime.GOOS, Hint: elsewhere}}
}
