//go:build !linux

package debian_test

import (
	"errors"

	"github.com/flytestar/flytestar/exec"
)

func newSandbox(string) (exec.Sandbox, error) {
	return nil, errors.New("the tests' sandbox needs Linux")
}
