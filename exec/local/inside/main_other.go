//go:build !linux

package inside

// Main does nothing: containers need Linux, so nothing here starts a process
// that would be the first of one.
func Main() {}
