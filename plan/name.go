package plan

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The patterns of names: of environments, and of tasks.
const (
	NamePattern     = `^[a-z0-9]+([_-][a-z0-9]+)*$`
	TaskNamePattern = `^[A-Za-z_][A-Za-z0-9_-]*$`
)

// maxName is the longest name, in bytes.
const maxName = 128

// ValidName reports whether s can name an environment, so it matches [NamePattern].
func ValidName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case isLower(c) || isDigit(c):
		case c == '_' || c == '-': // only between others
			if i == 0 || i == len(s)-1 || s[i-1] == '_' || s[i-1] == '-' {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// ValidTaskName reports whether s can name a task, so it matches [TaskNamePattern].
func ValidTaskName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !isLower(c|0x20) && c != '_' && (i == 0 || !isDigit(c) && c != '-') {
			return false
		}
	}
	return true
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// ValidParam reports whether s can name an input, an output or a record's field. Such a name is an
// identifier: letters of any script, digits and "_".
func ValidParam(s string) bool {
	if s == "" || len(s) > maxName || !utf8.ValidString(s) {
		return false
	}
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return true
}

// ReservedVariable reports whether a script's input can't have that name: as an environment variable
// it would change how programs run.
func ReservedVariable(name string) bool {
	for _, prefix := range []string{"LD_", "FLYTESTAR_", "PYTHON", "PERL5", "BASH_", "GIT_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "PATH", "HOME", "IFS", "ENV", "SHELL", "USER", "PWD", "OLDPWD", "TMPDIR", "LANG", "TERM", "CDPATH", "SHELLOPTS",
		"GCONV_PATH", "HOSTNAME", "NODE_OPTIONS", "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "VIRTUAL_ENV", "PS4":
		return true
	}
	return strings.HasPrefix(name, "LC_")
}

// maxFileName is the longest file name on Linux file systems, in bytes.
const maxFileName = 255

// ValidFileName reports whether s can be the base name of a [File] or [Dir].
func ValidFileName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= maxFileName &&
		utf8.ValidString(s) && !strings.ContainsAny(s, "/\x00")
}

// LoadPath returns the path that a load statement in the module from uses for the module to. It is
// relative if to is below from's directory, else it starts at the workspace. Both arguments are
// paths in the workspace.
func LoadPath(from, to string) string {
	dir := path.Dir(from)
	if dir == "." {
		return to
	}
	if rel, ok := strings.CutPrefix(to, dir+"/"); ok {
		return rel
	}
	return "//" + to
}
