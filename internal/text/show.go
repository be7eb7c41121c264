package text

import (
	"fmt"
	"unicode"
)

// IsControl reports whether r moves the cursor or reorders text: what is shown then isn't what is
// there.
func IsControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || IsBidi(r)
}

// IsBidi reports whether r is one of Unicode's nine bidirectional controls.
func IsBidi(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// Mark is the byte order mark that some editors write at the beginning of a file.
const Mark = "\ufeff"

// Hidden is a character that makes a text show as something else than programs read.
type Hidden struct {
	At   int    // where it begins, in bytes
	Rune rune   // the character
	What string // "the control character U+001B, which …"
}

// FindHidden returns the first character of s that editors and terminals may not show, or show as
// the end of a line where programs read on, or the other way round. A newline, also after a carriage
// return, a tab, and a byte order mark at the beginning are no such characters. Nor are those that
// only choose how the characters around them look: joiners, and the selectors of emoji.
func FindHidden(s string) (Hidden, bool) {
	for i, r := range s {
		if what := hidden(s, i, r); what != "" {
			return Hidden{i, r, what}, true
		}
	}
	return Hidden{}, false
}

// hidden says what r hides, which is at i in s.
func hidden(s string, i int, r rune) string {
	switch {
	case r == '\n' || r == '\t' || r >= ' ' && r < 0x7f:
		return ""
	case r == '\r':
		if i+1 < len(s) && s[i+1] == '\n' {
			return ""
		}
		return "a carriage return without a newline, which ends a line for some programs and not for others"
	case r == '\v' || r == '\f' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029:
		return fmt.Sprintf("the character U+%04X, which ends a line for some programs and not for others", r)
	case IsBidi(r):
		return fmt.Sprintf("the bidirectional control U+%04X, which makes text read otherwise than it runs", r)
	case IsControl(r):
		return fmt.Sprintf("the control character U+%04X, which terminals obey and don't show", r)
	case unseen(r) && (i > 0 || r != '\ufeff'):
		return fmt.Sprintf("the character U+%04X, which can't be seen", r)
	}
	return ""
}

// unseen reports whether r has no width and no look of its own.
func unseen(r rune) bool {
	switch {
	case r == 0x200c || r == 0x200d || r == 0xfe0e || r == 0xfe0f: // part of words and of emoji
		return false
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r): // they are seen
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
