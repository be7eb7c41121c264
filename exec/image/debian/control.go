package debian

import (
	"bytes"
	"fmt"
	"strings"
)

// field is one field of a control paragraph. A value keeps its continuation
// lines, each with its leading blank, joined by newlines.
type field struct{ name, value string }

// paragraph is one stanza of a file in Debian's control format (deb822).
type paragraph []field

// get returns the value of a field, whose name is compared without case; "" if missing.
func (p paragraph) get(name string) string {
	for _, f := range p {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// words returns a field's value split at blanks.
func (p paragraph) words(name string) []string { return strings.Fields(p.get(name)) }

// parseControl parses all paragraphs of a file. Lines that begin with "#" are
// comments. It errs, with the line's number, on what is no field, no
// continuation and no blank line, and on a field that is there twice.
func parseControl(data []byte) ([]paragraph, error) {
	var all []paragraph
	var p paragraph
	for n, line := range strings.Split(string(bytes.TrimPrefix(data, []byte("\ufeff"))), "\n") {
		line = strings.TrimRight(line, " \t\r")
		switch {
		case line == "":
			if p != nil {
				all, p = append(all, p), nil
			}
		case line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if p == nil {
				return nil, fmt.Errorf("line %d: a continuation line without a field", n+1)
			}
			p[len(p)-1].value += "\n" + line
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok || name == "" || strings.ContainsAny(name, " \t") {
				return nil, fmt.Errorf("line %d: %.60q is no field", n+1, line)
			}
			if p.has(name) {
				return nil, fmt.Errorf("line %d: a second %q field", n+1, name)
			}
			p = append(p, field{name, strings.TrimSpace(value)})
		}
	}
	if p != nil {
		all = append(all, p)
	}
	return all, nil
}

func (p paragraph) has(name string) bool {
	for _, f := range p {
		if strings.EqualFold(f.name, name) {
			return true
		}
	}
	return false
}

// write appends p in control format.
func (p paragraph) write(b *bytes.Buffer) {
	for _, f := range p {
		b.WriteString(f.name + ":")
		if !strings.HasPrefix(f.value, "\n") {
			b.WriteByte(' ')
		}
		b.WriteString(f.value + "\n")
	}
}
