package image_test

import (
	"path/filepath"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/local"
)

func initSandbox() { local.Init() }

// newSandbox returns this machine's sandbox, which keeps unpacked layers in home.
func newSandbox(home string) (exec.Sandbox, error) {
	return local.NewSandbox(local.Options{Home: filepath.Join(home, "sandbox")})
}
