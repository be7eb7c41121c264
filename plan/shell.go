package plan

import (
	"path"
	"slices"
	"strings"
)

// shells are the programs that run the text after -c.
var shells = []string{"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash"}

// ShellText returns the index of the argument that a shell runs as its program, as in
// ["sh", "-ec", TEXT] and ["timeout", "10", "bash", "-c", TEXT]; -1 if there is none.
func ShellText(command []string) int {
	for i, arg := range command {
		if !slices.Contains(shells, path.Base(arg)) {
			continue
		}
		if n := textAfter(command[i+1:]); n >= 0 {
			return i + 1 + n
		}
	}
	return -1
}

// textAfter returns the index of the text among a shell's arguments; -1 without -c.
func textAfter(args []string) int {
	runs := false
	for i := 0; i < len(args); i++ {
		option := args[i]
		short := len(option) > 1 && (option[0] == '-' || option[0] == '+') && option[1] != '-'
		switch {
		case short:
			runs = runs || option[0] == '-' && strings.Contains(option, "c")
			if strings.HasSuffix(strings.ToLower(option), "o") {
				i++ // the name of an option: -o pipefail
			}
		case option == "--rcfile" || option == "--init-file":
			i++
		case strings.HasPrefix(option, "--"):
		case runs:
			return i
		default:
			return -1
		}
	}
	return -1
}
