// Package layer turns the layers of images into directories, and the changes of a container into a layer.
//
//   - [Open] opens a directory of unpacked layers. [Unpacked.Layer] unpacks one, once, however many
//     processes want it, and checks that it is what its digest says.
//   - [Diff] reads what a container has changed in an overlay of such directories.
//
// A layer is a tar, and neither the tar nor what a container leaves is trusted. Nothing is written
// outside of a layer's directory, and no link is followed when a difference is read. Both directions
// agree on whiteouts, which say what of lower layers is gone, and on extended attributes. Linux only:
// elsewhere the package is empty.
package layer
