package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flytestar/flytestar/exec"
)

// Limited returns a sandbox whose containers run for limit at most; the error then is a [*TimedOut].
func Limited(s exec.Sandbox, limit time.Duration) exec.Sandbox {
	if s == nil {
		return nil
	}
	return limited{s, limit}
}

type limited struct {
	exec.Sandbox
	limit time.Duration
}

// TimedOut says that a container of a build ran for too long.
type TimedOut struct {
	Name  string // of the container
	Limit time.Duration
}

// Error implements error.
func (e *TimedOut) Error() string { return fmt.Sprintf("%s ran longer than %v", e.Name, e.Limit) }

var errLimit = errors.New("the container's time is over")

// Run implements [exec.Sandbox].
func (s limited) Run(ctx context.Context, c *exec.Container) (*exec.Exit, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit, errLimit)
	defer cancel()
	exit, err := s.Sandbox.Run(ctx, c)
	if err != nil && context.Cause(ctx) == errLimit {
		return nil, &TimedOut{c.Name, s.limit}
	}
	return exit, err
}
