// Package layer turns layers of images into directories, and a container's changes into a layer.
//
//   - [Open] opens a directory of unpacked layers. [Unpacked.Layers] unpacks those of an image, each
//     once, however many processes want it, and checks their digests. unpack_linux.go writes a
//     layer's entries, paths_linux.go finds their directories, whiteout_linux.go writes what a layer
//     removes, stack_linux.go looks into the layers below.
//   - [Diff] reads what a container has changed in an overlay of such directories.
//
// A layer is a tar. Neither the tar nor what a container leaves can be trusted: nothing is written
// outside of a layer's directory, and reading changes follows no links. Unpacking and reading agree
// on whiteouts, which say what a layer removes from those below, and on extended attributes.
//
// It needs Linux. On other systems the package is empty.
package layer
