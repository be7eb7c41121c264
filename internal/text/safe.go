package text

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Safe returns s with everything spelt out that a terminal or an editor may take as anything but
// text: control characters other than newline and tab, bytes that aren't UTF-8, bidirectional
// controls and other format characters.
func Safe(s string) string {
	if !strings.ContainsFunc(s, steers) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case steers(r) && r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case steers(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// steers reports whether a terminal may take r as anything but text.
func steers(r rune) bool {
	return r != '\n' && r != '\t' &&
		(unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r&0xfffe == 0xfffe) // noncharacters
}

// OneLine is [Safe] for text that must stay on its line: a newline in it is spelt out, so that what
// follows can't pass for a line of its own.
func OneLine(s string) string { return Safe(strings.ReplaceAll(s, "\n", `\n`)) }

// SafeLine is [Safe] for one line of a log. It drops what a carriage return makes a terminal
// overwrite.
func SafeLine(line string) string {
	line = strings.TrimRight(line, "\r\n")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	return Safe(line)
}

// Clip shortens s to max bytes, without cutting a character, and marks the cut.
func Clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	cut := max
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
