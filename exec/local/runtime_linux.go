package local

import (
	osexec "os/exec"
	"path/filepath"
)

// findRuntime finds an OCI runtime on PATH. No name is no runtime.
func findRuntime(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	found, err := osexec.LookPath(name)
	if err == nil {
		found, err = filepath.Abs(found)
	}
	if err != nil {
		return "", broken("the OCI runtime %s can't be found: %w", name, err).WithHint("install it, or leave --runtime out")
	}
	return found, nil
}
