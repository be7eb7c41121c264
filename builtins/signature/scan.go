package signature

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file turns Python source into tokens, line by logical line.

// kind tells tokens apart.
type kind byte

const (
	name   kind = iota // also keywords
	number             // as written
	text               // a string literal, as written
	op                 // anything else
)

// token is a token of a logical line.
type token struct {
	kind kind
	text string
	line int // from 1
}

func (t token) is(s string) bool { return t.text == s && t.kind != text }

// line is a logical line: a statement, or the header of a block.
type line struct {
	indent int // columns before it
	tokens []token
}

// maxTokens bounds the tokens of a file, and maxNesting the depth of its brackets and f-strings.
const (
	maxTokens  = 1 << 20
	maxNesting = 100
)

// scanner reads tokens.
type scanner struct {
	src    string
	at     int
	line   int
	tokens int
	lines  []line
}

// scan returns the logical lines of a file.
func scan(src string) ([]line, error) {
	src = strings.TrimPrefix(src, "\ufeff")
	src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	s := &scanner{src: src, line: 1}
	for s.at < len(s.src) {
		if err := s.logicalLine(); err != nil {
			return nil, fmt.Errorf("line %d: %w", s.line, err)
		}
	}
	return s.lines, nil
}

// logicalLine reads up to the end of a logical line.
func (s *scanner) logicalLine() error {
	l := line{indent: s.indent()}
	depth := 0
	for s.at < len(s.src) {
		c := s.src[s.at]
		switch {
		case c == '\n':
			s.at++
			s.line++
			if depth == 0 {
				s.add(l)
				return nil
			}
		case c == ' ', c == '\t', c == '\f':
			s.at++
		case c == '#':
			s.comment()
		case c == '\\' && strings.HasPrefix(s.src[s.at+1:], "\n"):
			s.at += 2
			s.line++
		default:
			first := s.line
			t, err := s.token()
			if err != nil {
				s.line = first
				return err
			}
			switch {
			case t.kind != op:
			case strings.Contains("([{", t.text):
				depth++
			case strings.Contains(")]}", t.text):
				depth--
			}
			if depth < 0 || depth > maxNesting {
				return fmt.Errorf("brackets don't match, or nest deeper than %d", maxNesting)
			}
			if s.tokens++; s.tokens > maxTokens {
				return fmt.Errorf("more than %d words", maxTokens)
			}
			l.tokens = append(l.tokens, t)
		}
	}
	s.add(l)
	if depth > 0 {
		return fmt.Errorf("a bracket isn't closed")
	}
	return nil
}

func (s *scanner) add(l line) {
	if len(l.tokens) > 0 {
		s.lines = append(s.lines, l)
	}
}

// indent reads the space at the beginning of a line. A tab goes to the next multiple of eight.
func (s *scanner) indent() int {
	n := 0
	for ; s.at < len(s.src); s.at++ {
		switch s.src[s.at] {
		case ' ':
			n++
		case '\t':
			n += 8 - n%8
		case '\f':
			n = 0
		default:
			return n
		}
	}
	return n
}

func (s *scanner) comment() {
	if end := strings.IndexByte(s.src[s.at:], '\n'); end >= 0 {
		s.at += end
		return
	}
	s.at = len(s.src)
}

// token reads one token.
func (s *scanner) token() (token, error) {
	start, first := s.at, s.line
	end := s.word()
	switch {
	case end > start && s.quoted(end):
		prefix := strings.ToLower(s.src[start:end])
		s.at = end
		err := s.str(strings.ContainsAny(prefix, "ft"), 0)
		return token{text, s.src[start:s.at], first}, err
	case end > start:
		s.at = end
		k := name
		if c := s.src[start]; c >= '0' && c <= '9' {
			k = number
			s.fraction()
		}
		return token{k, s.src[start:s.at], first}, nil
	case s.src[start] == '.' && start+1 < len(s.src) && s.src[start+1] >= '0' && s.src[start+1] <= '9':
		s.fraction()
		return token{number, s.src[start:s.at], first}, nil
	case s.src[start] == '"' || s.src[start] == '\'':
		err := s.str(false, 0)
		return token{text, s.src[start:s.at], first}, err
	}
	for _, o := range []string{"...", "**=", "//=", ">>=", "<<=", "->", ":=", "**", "//", "==", "!=", "<=", ">=", "+=", "-=", "*=", "/=", "|=", "&=", "^=", "%=", "@="} {
		if strings.HasPrefix(s.src[start:], o) {
			s.at += len(o)
			return token{op, o, first}, nil
		}
	}
	_, size := utf8.DecodeRuneInString(s.src[start:])
	s.at += size
	return token{op, s.src[start:s.at], first}, nil
}

// word returns the end of the name or number that begins here, or here if none does.
func (s *scanner) word() int {
	for i, r := range s.src[s.at:] {
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && (i == 0 || !unicode.IsMark(r)) || r == utf8.RuneError {
			return s.at + i
		}
	}
	return len(s.src)
}

// fraction reads the rest of a number, from its point or its exponent's sign on.
func (s *scanner) fraction() {
	for s.at < len(s.src) {
		c := s.src[s.at]
		sign := (c == '+' || c == '-') && s.at > 0 && s.src[s.at-1]|0x20 == 'e' && !strings.HasPrefix(strings.ToLower(s.number()), "0x")
		if c != '.' && c != '_' && !sign && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return
		}
		s.at++
	}
}

// number returns what was read of the number up to here.
func (s *scanner) number() string {
	i := s.at
	for i > 0 && (s.src[i-1] == '.' || s.src[i-1] == '_' || s.src[i-1] >= '0' && s.src[i-1] <= '9' || s.src[i-1]|0x20 >= 'a' && s.src[i-1]|0x20 <= 'z') {
		i--
	}
	return s.src[i:s.at]
}

// quoted reports whether what was read up to end is the prefix of a string.
func (s *scanner) quoted(end int) bool {
	if end >= len(s.src) || s.src[end] != '"' && s.src[end] != '\'' || end-s.at > 2 {
		return false
	}
	for _, c := range strings.ToLower(s.src[s.at:end]) {
		if !strings.ContainsRune("rbuft", c) {
			return false
		}
	}
	return true
}

// str reads a string literal from its quotes on. An f-string has expressions in braces, which may
// have strings of the same quotes.
func (s *scanner) str(formatted bool, depth int) error {
	quotes := s.src[s.at : s.at+1]
	if strings.HasPrefix(s.src[s.at:], strings.Repeat(quotes, 3)) {
		quotes = strings.Repeat(quotes, 3)
	}
	s.at += len(quotes)
	for s.at < len(s.src) {
		rest := s.src[s.at:]
		switch c := rest[0]; {
		case strings.HasPrefix(rest, quotes):
			s.at += len(quotes)
			return nil
		case c == '\\' && len(rest) > 1 && (!formatted || rest[1] != '{' && rest[1] != '}'):
			if rest[1] == '\n' {
				s.line++
			}
			s.at += 2
		case c == '\n':
			if len(quotes) == 1 {
				return fmt.Errorf("a string isn't closed")
			}
			s.line++
			s.at++
		case formatted && (strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}")):
			s.at += 2
		case formatted && c == '{':
			if err := s.replacement(depth + 1); err != nil {
				return err
			}
		default:
			s.at++
		}
	}
	return fmt.Errorf("a string isn't closed")
}

// replacement reads an f-string's expression in braces, with its format.
func (s *scanner) replacement(depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("strings nest deeper than %d", maxNesting)
	}
	nested, format := 0, false
	for s.at++; s.at < len(s.src); {
		c := s.src[s.at]
		switch {
		case c == '}' && nested == 0:
			s.at++
			return nil
		case format && c == '{':
			if err := s.replacement(depth + 1); err != nil {
				return err
			}
			continue
		case format && (c == '"' || c == '\'' || c == '\n'):
			return nil // the string ends, or its format isn't one
		case format:
		case c == '"' || c == '\'':
			if err := s.str(s.formattedHere(), depth+1); err != nil {
				return err
			}
			continue
		case strings.IndexByte("([{", c) >= 0:
			nested++
		case strings.IndexByte(")]}", c) >= 0:
			nested--
		case c == '\n':
			s.line++
		case c == '#':
			s.comment()
			continue
		case c == ':' && nested == 0:
			format = true
		}
		s.at++
	}
	return fmt.Errorf("a brace isn't closed")
}

// formattedHere reports whether the string that begins here has the prefix of an f-string.
func (s *scanner) formattedHere() bool {
	i := s.at
	for i > 0 && strings.IndexByte("rRbBfFtT", s.src[i-1]) >= 0 {
		i--
	}
	return strings.ContainsAny(s.src[i:s.at], "fFtT")
}
