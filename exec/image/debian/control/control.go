// Package control reads and writes what Debian's files have in common: paragraphs of fields
// (control.go), and relations between packages with their versions (relation.go).
package control

import (
	"bytes"
	"fmt"
	"strings"
)

// Field is one field of a paragraph. A value keeps its continuation lines, each with its leading
// blank, joined by newlines.
type Field struct{ Name, Value string }

// Paragraph is one stanza of a file in Debian's control format (deb822).
type Paragraph []Field

// Get returns the value of a field; "" if there is none. Case doesn't count in the name.
func (p Paragraph) Get(name string) string {
	for _, f := range p {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Add adds a field at the end.
func (p *Paragraph) Add(name, value string) { *p = append(*p, Field{name, value}) }

// Words returns a field's value, split at blanks.
func (p Paragraph) Words(name string) []string { return strings.Fields(p.Get(name)) }

// Parse parses all paragraphs of a file. Lines that begin with "#" are comments. A line that is no
// field, continuation or blank line is an error with its number, and so is a second field of the
// same name.
func Parse(data []byte) ([]Paragraph, error) {
	var all []Paragraph
	var p Paragraph
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
			p[len(p)-1].Value += "\n" + line
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok || name == "" || strings.ContainsAny(name, " \t") {
				return nil, fmt.Errorf("line %d: %.60q isn't a field", n+1, line)
			}
			if p.has(name) {
				return nil, fmt.Errorf("line %d: a second %q field", n+1, name)
			}
			p = append(p, Field{name, strings.TrimSpace(value)})
		}
	}
	if p != nil {
		all = append(all, p)
	}
	return all, nil
}

func (p Paragraph) has(name string) bool {
	for _, f := range p {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

// Write appends p in control format.
func (p Paragraph) Write(b *bytes.Buffer) {
	for _, f := range p {
		b.WriteString(f.Name + ":")
		if !strings.HasPrefix(f.Value, "\n") {
			b.WriteByte(' ')
		}
		b.WriteString(f.Value + "\n")
	}
}
