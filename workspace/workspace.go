// Package workspace is the directory that a workflow lives in: where it is, what is in it, and
// how its files are changed. It has the one answer to the question which files a graph reads, so
// that what is checked is what is digested, built and carried:
//
//   - [Locate] finds the root, [Open] opens it, [Lines] reads excerpts for messages (locate.go,
//     root.go, lines.go).
//   - [Folder] lists what a source folder holds once its ignore rules are applied (folder.go,
//     ignore.go).
//   - [Include] selects files by patterns, [Carried] the files that a task's container sees
//     (include.go, glob.go). exclude.go says what both leave out by themselves.
//   - [ReadRequirements] reads a requirements file and those that it includes (requirements.go).
//   - [FindLayout] finds the image that an "oci:DIR" base names (layout.go).
//   - [Reader] answers the questions above, and whether a file can be read. It works out each
//     answer once (reader.go, readable.go).
//   - [ReadSettings] reads flytestar.toml (settings.go).
//   - [Write] replaces source files, all or none (write.go).
//
// Files come through an fs.FS that is rooted at the workspace, usually [Root.FS], which no symbolic
// link leads out of. Their content is untrusted: whatever is read has a bound, and no pattern, pipe
// or device makes a reader wait.
package workspace
