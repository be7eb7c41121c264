package text

import "github.com/mattn/go-runewidth"

// columns decides widths as most terminals do, whatever the locale says: a character of ambiguous
// width takes one column.
var columns = &runewidth.Condition{StrictEmojiNeutral: true}

// Width returns how many columns s takes on a terminal.
func Width(s string) int { return columns.StringWidth(s) }

// Cut shortens s to max columns.
func Cut(s string, max int) string { return columns.Truncate(s, max, "") }
