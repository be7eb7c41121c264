package builtins

import (
	"regexp"
	"strings"
	"sync"
)

// argsRE finds the line that begins a docstring's section about arguments.
var argsRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^(Args|Arguments|Inputs):[ \t]*$`) })

// argRE is a line of that section that begins an argument's text.
var argRE = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\s+([\pL_][\pL\p{Nd}_]*)\s*(?:\([^)]*\))?:\s*(.*)$`)
})

// sectionRE is a line that begins a further section.
var sectionRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\S`) })

// readDocstring splits a docstring into the text about the function and the
// texts about its arguments, each on one line.
func readDocstring(doc string) (text string, args map[string]string) {
	doc = dedent(doc)
	args = map[string]string{}
	if !strings.Contains(doc, "s:") { // every heading ends so; most docstrings have no heading
		return doc, args
	}
	at := argsRE().FindStringIndex(doc)
	if at == nil {
		return doc, args
	}
	text = strings.TrimSpace(doc[:at[0]])
	name := ""
	parts := map[string][]string{} // lines of each argument's text
	lines := strings.Split(doc[at[1]:], "\n")
	for i, line := range lines {
		if sectionRE().MatchString(line) {
			text += "\n\n" + strings.Join(lines[i:], "\n")
			break
		}
		if m := argRE().FindStringSubmatch(line); m != nil {
			name = m[1]
			parts[name] = []string{m[2]}
		} else if more := strings.TrimSpace(line); name != "" && more != "" {
			parts[name] = append(parts[name], more)
		}
	}
	for name, lines := range parts {
		args[name] = strings.TrimSpace(strings.Join(lines, " "))
	}
	return text, args
}

// dedent removes the indentation that all lines after the first share, and the space around the
// text.
func dedent(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\t", "    "), "\n")
	indent := -1
	for _, l := range lines[1:] {
		if rest := strings.TrimLeft(l, " "); rest != "" && (indent < 0 || len(l)-len(rest) < indent) {
			indent = len(l) - len(rest)
		}
	}
	for i := range lines {
		if i > 0 {
			lines[i] = lines[i][min(max(indent, 0), len(lines[i])):]
		}
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
