package plan

import "regexp"

// What names match: those of environments, and those of tasks.
const (
	NamePattern     = `^[a-z0-9]+([_-][a-z0-9]+)*$`
	TaskNamePattern = `^[A-Za-z_][A-Za-z0-9_-]*$`
)

// maxName bounds the length of a name, in bytes.
const maxName = 128

var (
	nameRE     = regexp.MustCompile(NamePattern)
	taskNameRE = regexp.MustCompile(TaskNamePattern)
)

// ValidName reports whether s can name an environment.
func ValidName(s string) bool { return len(s) <= maxName && nameRE.MatchString(s) }

// ValidTaskName reports whether s can name a task.
func ValidTaskName(s string) bool { return len(s) <= maxName && taskNameRE.MatchString(s) }
