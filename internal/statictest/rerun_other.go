//go:build !linux

package statictest

import "os/exec"

// endTogether does nothing: only Linux can do it.
func endTogether(*exec.Cmd) {}
