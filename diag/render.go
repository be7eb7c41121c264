package diag

import (
	"fmt"
	"io"
	"strings"

	"github.com/flytestar/flytestar/internal/text"
)

// Lines returns a module's source lines for [Render]. It returns nil if they aren't available; the
// caret is then left out.
type Lines func(file string) []string

// Render writes each finding as
//
//	file:line:col: message [code]
//	    the source line
//	      ^
//	  note: file:line:col: message
//	  hint: what to do
//
// Further lines of a message, note or hint are indented. A warning or info says so before its
// message. Render returns the error of writing to w.
func Render(w io.Writer, l List, lines Lines) error {
	for _, e := range l {
		if err := render(w, e, lines); err != nil {
			return err
		}
	}
	return nil
}

func render(w io.Writer, e *Error, lines Lines) error {
	var b strings.Builder
	if e.Pos.IsValid() {
		b.WriteString(place(e.Pos) + ": ")
	}
	if e.IsWarning() {
		b.WriteString(string(e.Severity) + ": ")
	}
	b.WriteString(indented(e.Msg, "    "))
	if e.Code != "" {
		b.WriteString(" [" + e.Code + "]")
	}
	b.WriteByte('\n')
	b.WriteString(excerpt(e.Pos, lines)) // excerpt shows printable lines only, or the caret would be off
	for _, n := range e.Notes {
		if n.Pos.IsValid() {
			fmt.Fprintf(&b, "  note: %s: %s\n", place(n.Pos), indented(n.Msg, "        "))
		} else {
			fmt.Fprintf(&b, "  note: %s\n", indented(n.Msg, "        "))
		}
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "  hint: %s\n", indented(e.Hint, "        "))
	}
	_, err := io.WriteString(w, text.Safe(b.String()))
	return err
}

// indented puts indent before each line of s except the first. So text that a message quotes can't
// pass for another finding, note or hint.
func indented(s, indent string) string { return strings.ReplaceAll(s, "\n", "\n"+indent) }

// place returns a position on one line, whatever the file's name contains.
func place(p Position) string { return strings.ReplaceAll(p.String(), "\n", " ") }

// maxExcerpt is the largest part of a source line that is shown, in bytes.
const maxExcerpt = 200

// excerpt returns the source line at p and a caret under its column.
func excerpt(p Position, lines Lines) string {
	if lines == nil || p.Line < 1 {
		return ""
	}
	all := lines(p.File)
	if p.Line > len(all) {
		return ""
	}
	line := strings.TrimRight(all[p.Line-1], "\r\n")
	if len(line) > maxExcerpt || text.Safe(line) != line {
		return ""
	}
	if p.Col < 1 {
		return "    " + line + "\n"
	}
	// Keep tabs, so that the caret is in the terminal's column of the error.
	pad := []rune(line)
	if p.Col-1 < len(pad) {
		pad = pad[:p.Col-1]
	}
	for i, r := range pad {
		if r != '\t' {
			pad[i] = ' '
		}
	}
	return "    " + line + "\n    " + string(pad) + "^\n"
}
