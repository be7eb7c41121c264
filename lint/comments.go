package lint

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/text"
)

// comment is a comment as it stands in the source.
type comment struct {
	text       string // from "#" to the end of the line, without space there
	start, end int    // bytes
	pos        diag.Position
	whole      bool // it has its line to itself
}

// findComments returns a module's comments, in order. The source is known to parse. Neither parser
// does this: starlark-go's loses comments that follow brackets.
func findComments(path string, source []byte) []comment {
	var out []comment
	line, lineStart := 1, len(source)-len(unmarked(source))
	for i := lineStart; i < len(source); {
		switch c := source[i]; c {
		case '\n':
			i++
			line, lineStart = line+1, i
		case '#':
			end := i + lineLength(source[i:])
			said := strings.TrimRight(string(source[i:end]), " \t\r")
			out = append(out, comment{
				text: said, start: i, end: i + len(said),
				pos:   diag.Position{File: path, Line: line, Col: utf8.RuneCount(source[lineStart:i]) + 1},
				whole: len(bytes.TrimLeft(source[lineStart:i], " \t")) == 0,
			})
			i = end
		case '"', '\'':
			n := stringLength(source[i:])
			if at := bytes.LastIndexByte(source[i:i+n], '\n'); at >= 0 {
				line += bytes.Count(source[i:i+n], []byte("\n"))
				lineStart = i + at + 1
			}
			i += n
		default:
			i++
		}
	}
	return out
}

// unmarked returns source without a byte order mark, which may begin it. It counts as no column.
func unmarked(source []byte) []byte { return bytes.TrimPrefix(source, []byte(text.Mark)) }

// lineLength returns the number of bytes before the next newline.
func lineLength(source []byte) int {
	if i := bytes.IndexByte(source, '\n'); i >= 0 {
		return i
	}
	return len(source)
}

// stringLength returns the length of the string literal at the start of source, from its first
// quote. A quote after a backslash doesn't end the literal, not even a raw one.
func stringLength(source []byte) int {
	quote := source[:1]
	if triple := bytes.Repeat(quote, 3); bytes.HasPrefix(source, triple) {
		quote = triple
	}
	for i := len(quote); i < len(source); i++ {
		switch {
		case source[i] == '\\':
			i++
		case bytes.HasPrefix(source[i:], quote):
			return i + len(quote)
		}
	}
	return len(source)
}
