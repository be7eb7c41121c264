// Package pyfmt formats and rounds values as Python does.
//
//   - [Format] formats one value by a format specification, such as ">8.2f".
//   - [Template] is the method format of strings, and [Percent] their operator % (template.go).
//   - [Round] is the function round (round.go).
//
// The functions are pure, and the size of what they return is bounded by their arguments and by
// [MaxWidth]. Errors have no position.
package pyfmt

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
)

// MaxWidth bounds the width and the precision of a specification, in characters.
const MaxWidth = 10_000

// spec is a format specification: [[fill]align][sign][#][0][width][,|_][.precision][type].
type spec struct {
	fill      rune
	align     byte // '<', '>', '^' or '='; 0: as the value's type has it
	sign      byte // '+', '-' or ' '; 0: as '-'
	alternate bool // 0x before hexadecimal digits
	width     int
	group     byte // ',' or '_' between groups of digits; 0: none
	precision int  // -1: none
	verb      byte // the type; 0: none
}

// Format returns v as format(v, text) does in Python.
func Format(v starlark.Value, text string) (string, error) {
	s, err := parse(text)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case starlark.String:
		return s.string(string(v))
	case starlark.Bool:
		if text == "" {
			return v.String(), nil
		}
		return s.int(starlark.MakeInt(map[starlark.Bool]int{true: 1}[v]))
	case starlark.Int:
		return s.int(v)
	case starlark.Float:
		return s.float(float64(v))
	}
	if text == "" {
		return v.String(), nil
	}
	return "", fmt.Errorf("a %s takes no format %q: make it a string first, by str(x)", v.Type(), text)
}

// parse reads a specification.
func parse(text string) (*spec, error) {
	s := &spec{fill: ' ', precision: -1}
	rest, filled := text, false
	if r, n := utf8.DecodeRuneInString(rest); n > 0 && len(rest) > n && isAlign(rest[n]) {
		s.fill, s.align, rest, filled = r, rest[n], rest[n+1:], true
	} else if rest != "" && isAlign(rest[0]) {
		s.align, rest = rest[0], rest[1:]
	}
	if rest != "" && strings.IndexByte("+- ", rest[0]) >= 0 {
		s.sign, rest = rest[0], rest[1:]
	}
	if strings.HasPrefix(rest, "#") {
		s.alternate, rest = true, rest[1:]
	}
	if strings.HasPrefix(rest, "0") {
		if !filled {
			s.fill = '0'
		}
		if s.align == 0 {
			s.align = '0' // '=' for numbers, '<' for strings
		}
		rest = rest[1:]
	}
	var err error
	if s.width, rest, err = number(rest, 0); err != nil {
		return nil, err
	}
	if rest != "" && (rest[0] == ',' || rest[0] == '_') {
		s.group, rest = rest[0], rest[1:]
	}
	if strings.HasPrefix(rest, ".") {
		if s.precision, rest, err = number(rest[1:], -1); err != nil {
			return nil, err
		}
		if s.precision < 0 {
			return nil, errors.New("format: the precision is missing")
		}
	}
	if len(rest) == 1 && strings.Contains("bcdeEfFgGosxX%", rest) {
		s.verb, rest = rest[0], ""
	}
	if rest != "" {
		return nil, fmt.Errorf("format: %q isn't understood in %q", rest, text)
	}
	return s, nil
}

func isAlign(c byte) bool { return c == '<' || c == '>' || c == '^' || c == '=' }

// number takes a number from the front of s; without one it is otherwise.
func number(s string, otherwise int) (n int, rest string, err error) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == 0 {
		return otherwise, s, nil
	}
	n, err = strconv.Atoi(s[:i])
	if err != nil || n > MaxWidth {
		return 0, "", fmt.Errorf("format: the width or precision %.20s is larger than %d", s[:i], MaxWidth)
	}
	return n, s[i:], nil
}

// refuse returns the error of a part that the type doesn't have.
func (s *spec) refuse(part, what string) error {
	return fmt.Errorf("format: %s can't be given with %s", part, what)
}

// string formats a string.
func (s *spec) string(text string) (string, error) {
	switch {
	case s.verb != 0 && s.verb != 's':
		return "", fmt.Errorf("format: type %q is for numbers, not for a string", s.verb)
	case s.sign != 0:
		return "", s.refuse("a sign", "a string")
	case s.alternate:
		return "", s.refuse("#", "a string")
	case s.group != 0:
		return "", s.refuse(string(s.group), "a string")
	case s.align == '=':
		return "", s.refuse("=", "a string")
	}
	if s.precision >= 0 && utf8.RuneCountInString(text) > s.precision {
		text = string([]rune(text)[:s.precision])
	}
	return s.pad("", text, '<'), nil
}

// int formats an int.
func (s *spec) int(i starlark.Int) (string, error) {
	base := 10
	switch s.verb {
	case 'e', 'E', 'f', 'F', 'g', 'G', '%':
		f := i.Float()
		if f-f != 0 {
			return "", errors.New("format: the int is too large for a float")
		}
		return s.float(float64(f))
	case 's':
		return "", errors.New("format: type 's' is for strings, not for an int")
	case 'c':
		return s.char(i)
	case 'b':
		base = 2
	case 'o':
		base = 8
	case 'x', 'X':
		base = 16
	}
	if s.precision >= 0 {
		return "", s.refuse("a precision", "an int")
	}
	size := 3
	if base != 10 {
		if size = 4; s.group == ',' {
			return "", s.refuse(",", "type "+strconv.QuoteRune(rune(s.verb)))
		}
	}
	digits := i.BigInt().Text(base)
	digits, negative := strings.CutPrefix(digits, "-")
	prefix := s.signOf(negative)
	if s.alternate && base != 10 {
		prefix += "0" + strings.ToLower(string(s.verb))
	}
	if s.verb == 'X' {
		prefix, digits = strings.ToUpper(prefix), strings.ToUpper(digits)
	}
	return s.number(prefix, digits, "", size), nil
}

// char formats an int as the character with that code.
func (s *spec) char(i starlark.Int) (string, error) {
	code, ok := i.Int64()
	switch {
	case !ok || code < 0 || code > utf8.MaxRune:
		return "", fmt.Errorf("format: there is no character %s", i)
	case s.sign != 0 || s.precision >= 0 || s.alternate || s.group != 0:
		return "", s.refuse("a sign, #, a separator or a precision", "type 'c'")
	}
	return s.pad("", string(rune(code)), '>'), nil
}

// float formats a float.
func (s *spec) float(f float64) (string, error) {
	if s.alternate {
		return "", s.refuse("#", "a float")
	}
	var text, tail string
	precision := s.precision
	if precision < 0 && s.verb != 0 {
		precision = 6
	}
	switch s.verb {
	case 0:
		text = shortest(f, precision)
	case '%':
		text, tail = strconv.FormatFloat(f*100, 'f', precision, 64), "%"
	case 'e', 'E', 'f', 'F':
		text = strconv.FormatFloat(f, s.verb|0x20, precision, 64)
	case 'g', 'G':
		text = strconv.FormatFloat(f, 'g', max(precision, 1), 64)
	default:
		return "", fmt.Errorf("format: type %q isn't for a float", s.verb)
	}
	text = strings.ToLower(strings.TrimPrefix(text, "+"))
	text, negative := strings.CutPrefix(text, "-")
	if s.verb == 'E' || s.verb == 'F' || s.verb == 'G' {
		text = strings.ToUpper(text)
	}
	whole := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if whole < 0 {
		whole = len(text)
	}
	return s.number(s.signOf(negative), text[:whole], text[whole:]+tail, 3), nil
}

// shortest formats a float without a type: as str does, or with so many digits and one after the
// point at least.
func shortest(f float64, precision int) string {
	if precision < 0 {
		return starlark.Float(f).String()
	}
	precision = max(precision, 1)
	text := strconv.FormatFloat(f, 'e', precision-1, 64)
	mantissa, exponent, ok := strings.Cut(text, "e")
	if !ok {
		return text
	}
	if n, _ := strconv.Atoi(exponent); n >= -4 && n < precision-1 {
		text = strconv.FormatFloat(f, 'g', precision, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text
	}
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	return mantissa + "e" + exponent
}

// signOf returns the sign to write.
func (s *spec) signOf(negative bool) string {
	switch {
	case negative:
		return "-"
	case s.sign == '+' || s.sign == ' ':
		return string(s.sign)
	}
	return ""
}

// number puts a number together: its digits in groups, zeros to the width if these are asked for.
func (s *spec) number(prefix, digits, tail string, size int) string {
	zeros := s.align == '0' || s.align == '=' && s.fill == '0'
	if zeros && digits != "" {
		for len(prefix)+len(grouped(digits, s.group, size))+len(tail) < s.width {
			digits = "0" + digits
		}
	}
	return s.pad(prefix, grouped(digits, s.group, size)+tail, '>')
}

// grouped writes a separator between groups of digits, from the right.
func grouped(digits string, separator byte, size int) string {
	if separator == 0 || len(digits) <= size {
		return digits
	}
	first := len(digits) % size
	if first == 0 {
		first = size
	}
	var b strings.Builder
	b.WriteString(digits[:first])
	for i := first; i < len(digits); i += size {
		b.WriteByte(separator)
		b.WriteString(digits[i : i+size])
	}
	return b.String()
}

// pad fills up to the width. otherwise is the alignment of the value's type.
func (s *spec) pad(prefix, text string, otherwise byte) string {
	n := s.width - utf8.RuneCountInString(prefix) - utf8.RuneCountInString(text)
	if n <= 0 {
		return prefix + text
	}
	align := s.align
	switch {
	case align == 0, align == '0' && otherwise == '<':
		align = otherwise
	case align == '0':
		align = '='
	}
	fill := func(n int) string { return strings.Repeat(string(s.fill), n) }
	switch align {
	case '<':
		return prefix + text + fill(n)
	case '^':
		return fill(n/2) + prefix + text + fill(n-n/2)
	case '=':
		return prefix + fill(n) + text
	}
	return fill(n) + prefix + text
}
