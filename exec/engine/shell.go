package engine

import (
	"strings"
	"unicode"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// checkShell refuses paths of inputs that a shell would read as more than a path: those that stand
// within the text that it runs, and have a space or the like. Names of files are a user's, who need
// not know that a shell reads them.
func checkShell(command []string, inputs []exec.Input) error {
	i := plan.ShellText(command)
	if i < 0 {
		return nil
	}
	text := command[i]
	for _, at := range placeholder().FindAllStringSubmatchIndex(text, -1) {
		group, name := text[at[2]:at[3]], text[at[4]:at[5]]
		if group != "inputs" {
			continue
		}
		within := quoted(text[:at[0]])
		for _, in := range inputs {
			if strings.HasPrefix(in.Path, exec.InputsPath+"/"+name+"/") && !plainPath(in.Path, within) {
				return diag.Errorf(diag.Position{}, diag.Task, "the path %.300q of input %q stands in text that a shell runs, which would read more in it than a path", in.Path, name).
					WithHint(`give {{.inputs.%s}} as an argument of its own, as in ["sh", "-c", 'cat "$1"', "sh", "{{.inputs.%s}}"], or write a script that has "$%s"`, name, name, name)
			}
		}
	}
	return nil
}

// plainPath reports whether a shell takes a path for one word and nothing else. Within quotes more
// is plain, but only what does no harm if quoted is wrong.
func plainPath(path string, quoted bool) bool {
	return !strings.ContainsFunc(path, func(r rune) bool {
		switch {
		case r == unicode.ReplacementChar:
			return true
		case unicode.In(r, unicode.Letter, unicode.Mark, unicode.Digit), strings.ContainsRune("._/@%+=:,-", r):
			return false
		}
		return !quoted || !strings.ContainsRune(" ()[]{}#~", r)
	})
}

// quoted reports whether what follows a shell's text stands within quotes. It doesn't know
// here-documents and the patterns of case.
func quoted(text string) bool {
	open := []byte{0} // what is open: 0, quotes, ( or `
	for i := 0; i < len(text); i++ {
		c, in := text[i], open[len(open)-1]
		switch {
		case c == '\\' && in != '\'':
			i++
		case c == in && strings.IndexByte("'\"`", c) >= 0, c == ')' && in == '(':
			open = open[:len(open)-1]
		case in == '\'':
		case c == '"', c == '`', c == '\'' && in != '"', c == '(' && (in != '"' || i > 0 && text[i-1] == '$'):
			open = append(open, c)
		case c == '#' && in != '"' && (i == 0 || strings.IndexByte(" \t\n;&|(", text[i-1]) >= 0):
			n := strings.IndexByte(text[i:], '\n')
			if n < 0 {
				return false // in a comment
			}
			i += n
		}
	}
	in := open[len(open)-1]
	return in == '"' || in == '\''
}
