// Package check finds what is wrong with the modules of a workspace, and mends it. A [Session] is
// open as long as somebody works on them: a command for a moment, an editor for hours. It has an
// overlay of sources that aren't saved (session.go).
//
//   - [Session.Lint] returns the findings of modules: what evaluating them shows, what package
//     resolve finds in their graphs, what package lint finds in their syntax (lint.go).
//   - [Session.Fix] makes the edits that findings carry (fix.go).
//   - [Linted.Replacements] returns the edits one by one, for other programs (replace.go).
//   - [Format] lays a module out anew.
//   - [Rules] lists all rules by which something can be found (rules.go).
//
// Nothing is written: the edits are returned, and package workspace writes them.
package check
