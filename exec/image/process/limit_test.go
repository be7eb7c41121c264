package process

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
)

// endless is a sandbox whose containers say something and then never end.
type endless struct{ exec.Sandbox }

func (endless) Run(ctx context.Context, c *exec.Container) (*exec.Exit, error) {
	io.WriteString(c.Stderr, "connecting to the mirror\n")
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestLimit(t *testing.T) {
	r := &Runner{Sandbox: Limited(endless{}, time.Millisecond), Platform: hostPlatform}
	err := r.Run(t.Context(), &exec.Container{Name: "apt"})
	var failed *Failed
	if !errors.As(err, &failed) || failed.Error() != "ran longer than 1ms" {
		t.Fatalf("a container without end: %v", err)
	}
	if d := failed.At(diag.Position{}, "commands"); !strings.Contains(d.Hint, "--step-timeout") || len(d.Notes) != 1 || !strings.Contains(d.Notes[0].Msg, "connecting") {
		t.Errorf("%v, %q, %v", d, d.Hint, d.Notes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Sandbox = Limited(endless{}, time.Hour)
	if err := r.Run(ctx, &exec.Container{Name: "apt"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
