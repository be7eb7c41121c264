// Package sandboxtest has what tests of sandboxes, and of what runs in them, share. Linux only:
// elsewhere the package is empty.
package sandboxtest
