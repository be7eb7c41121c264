//go:build !linux

package image_test

import (
	"errors"

	"github.com/flytestar/flytestar/exec"
)

func newSandbox(string) (exec.Sandbox, error) {
	return nil, errors.New("the tests' sandbox needs Linux")
}
