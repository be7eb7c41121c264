package plan

import "regexp"

// NamePattern is what the names of environments and tasks match.
const NamePattern = `^[a-z0-9]+([_-][a-z0-9]+)*$`

// maxName bounds the length of a name, in bytes.
const maxName = 128

var nameRE = regexp.MustCompile(NamePattern)

// ValidName reports whether s can name an environment.
func ValidName(s string) bool { return len(s) <= maxName && nameRE.MatchString(s) }
