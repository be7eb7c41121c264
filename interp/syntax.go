package interp

import (
	"bytes"
	"regexp"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/text"
)

// This file finds what can be found in a module that doesn't parse. Starlark's parser stops at its
// first error. So each statement of the top level is parsed by itself.

// maxSyntaxErrors bounds how many statements are reported.
const maxSyntaxErrors = 20

// statement is a statement of the top level, as bytes of the source.
type statement struct{ start, end, line int }

// unparsed reports the first error of each statement that doesn't parse, and the names that nothing
// defines in those that do. first is the error of the module as a whole.
func unparsed(path string, source []byte, predeclared starlark.StringDict, limits Limits, first *diag.Error) diag.List {
	if first.Class != diag.Source {
		return diag.List{first}
	}
	source = bytes.TrimPrefix(source, []byte(text.Mark))
	explain(first, source)
	var found diag.List
	good := bytes.Clone(source)
	words := map[string]bool{}
	for _, s := range statements(source) {
		_, err := dialect.Parse(path, syntax.FilePortion{Content: source[s.start:s.end], FirstLine: int32(s.line), FirstCol: 1}, 0)
		if err == nil {
			continue
		}
		if len(found) < maxSyntaxErrors { // an explanation reads the source again
			e := syntaxError(path, err)
			if s.end < len(source) {
				e.Msg = strings.Replace(e.Msg, "got end of file", "got the end of the statement", 1)
			}
			explain(e, source)
			found = append(found, e)
		}
		for _, w := range wordRE().FindAll(source[s.start:s.end], -1) {
			words[string(w)] = true
		}
		for i := s.start; i < s.end; i++ {
			if good[i] != '\n' {
				good[i] = ' '
			}
		}
	}
	if len(found) == 0 {
		return diag.List{first}
	}
	f, err := parseText(path, good, limits)
	if err != nil {
		return found
	}
	r := newResolver(f, predeclared, len(source))
	r.assumed = words
	r.resolve(f, path)
	return append(found, r.found...)
}

var wordRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[A-Za-z_]\w*`) })

// Beginnings of lines at the first column.
var (
	// joinsRE matches a line that goes on with the statement before it.
	joinsRE = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:[ \t#)\]}\r\n]|$|(?:else|elif|except|finally)\b)`)
	})
	// beginsRE matches a line that begins a statement, even if a bracket is open: it has been left
	// open by mistake.
	beginsRE = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:def \w|class \w|load\(|import \w|from \w+ import\b|\w+ = )`)
	})
)

// statements splits source into the statements of its top level. A decorator belongs to the
// function below.
func statements(source []byte) []statement {
	var out []statement
	depth, line, lineStart, decorated := 0, 1, true, false
	for i := 0; i < len(source); {
		if lineStart {
			lineStart = false
			rest := source[i:min(len(source), i+100)]
			if !joinsRE().Match(rest) && (depth == 0 || beginsRE().Match(rest)) {
				if n := len(out); n > 0 && !decorated {
					out[n-1].end = i
				}
				if !decorated {
					out = append(out, statement{i, len(source), line})
				}
				depth, decorated = 0, rest[0] == '@'
			}
		}
		switch c := source[i]; {
		case c == '\n':
			line, lineStart = line+1, true
			i++
		case c == '#':
			i = endOfLine(source, i)
		case c == '"' || c == '\'':
			end := endOfString(source, i)
			if end < 0 {
				end = endOfLine(source, i)
			}
			line += bytes.Count(source[i:end], []byte("\n"))
			i = end
		default:
			switch c {
			case '(', '[', '{':
				depth++
			case ')', ']', '}':
				depth = max(0, depth-1)
			}
			i++
		}
	}
	return out
}
