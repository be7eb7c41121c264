package pyfmt

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Template returns template.format(*args, **kwargs). Fields of a specification, as in {:{width}}, are
// filled in too. plain is Starlark's own method, which takes no specifications.
func Template(plain *starlark.Builtin, th *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	template := string(plain.Receiver().(starlark.String))
	if !strings.Contains(template, ":") {
		return plain.CallInternal(th, args, kwargs)
	}
	f := &filler{args: args, kwargs: kwargs}
	text, err := f.fill(template, true)
	if err != nil {
		return nil, err
	}
	return starlark.String(text), nil
}

// filler fills in a template.
type filler struct {
	args         starlark.Tuple
	kwargs       []starlark.Tuple
	auto, manual bool // kinds of numbers that were used
	next         int
}

// fill returns template with its fields filled in. Only fields of the outermost level nest others.
func (f *filler) fill(template string, nests bool) (string, error) {
	var out strings.Builder
	for rest := template; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			out.WriteString(rest)
			break
		}
		out.WriteString(rest[:i])
		if strings.HasPrefix(rest[i+1:], rest[i:i+1]) { // {{ or }}
			out.WriteByte(rest[i])
			rest = rest[i+2:]
			continue
		}
		if rest[i] == '}' {
			return "", errors.New("format: single '}' in format")
		}
		end := fieldEnd(rest, i)
		if end < 0 {
			return "", errors.New("format: unmatched '{' in format")
		}
		text, err := f.field(rest[i+1:end], nests)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
		rest = rest[end+1:]
	}
	return out.String(), nil
}

// fieldEnd returns where the field that begins at i ends, or -1.
func fieldEnd(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// field returns the text of a field: name!conversion:specification.
func (f *filler) field(field string, nests bool) (string, error) {
	name, spec, _ := strings.Cut(field, ":")
	name, conversion, converts := strings.Cut(name, "!")
	v, err := f.value(name)
	if err != nil {
		return "", err
	}
	if strings.Contains(spec, "{") {
		if !nests {
			return "", errors.New("format: fields nest too deeply")
		}
		if spec, err = f.fill(spec, false); err != nil {
			return "", err
		}
	}
	switch {
	case !converts:
	case conversion == "r":
		v = starlark.String(v.String())
	case conversion == "s":
		v = starlark.String(str(v))
	default:
		return "", fmt.Errorf("format: unknown conversion %q", conversion)
	}
	return Format(v, spec)
}

// value returns the argument of that name or number.
func (f *filler) value(name string) (starlark.Value, error) {
	n, err := strconv.Atoi(name)
	switch {
	case name == "":
		f.auto, n = true, f.next
		f.next++
	case err == nil && n >= 0 && name[0] != '+':
		f.manual = true
	default:
		return f.named(name)
	}
	switch {
	case f.auto && f.manual:
		return nil, errors.New("format: cannot switch between manual field specification and automatic field numbering")
	case n >= len(f.args):
		return nil, errors.New("format: tuple index out of range")
	}
	return f.args[n], nil
}

func (f *filler) named(name string) (starlark.Value, error) {
	for _, kv := range f.kwargs {
		if kv[0] == starlark.String(name) {
			return kv[1], nil
		}
	}
	if strings.ContainsAny(name, ".[") {
		return nil, fmt.Errorf("format: %q looks into a value, which fields can't: pass that part as an argument", name)
	}
	return nil, fmt.Errorf("format: keyword %s not found", name)
}

// str returns str(v).
func str(v starlark.Value) string {
	if s, ok := v.(starlark.String); ok {
		return string(s)
	}
	return v.String()
}

// conversion matches what may follow a %, up to its type.
var conversion = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:\(([^)]*)\))?([-+ #0]*)(\*|\d*)(?:\.(\*|\d*))?[hlL]?`)
})

// detailed matches a conversion with flags, a width or a precision.
var detailed = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`%(?:\([^)]*\))?(?:[-+ #0*.]|\d)`)
})

// Percent returns format % x.
func Percent(format string, x starlark.Value) (starlark.Value, error) {
	if !detailed().MatchString(format) {
		return starlark.Binary(syntax.PERCENT, starlark.String(format), x)
	}
	p := &percent{x: x}
	var out strings.Builder
	for rest := format; ; {
		before, after, more := strings.Cut(rest, "%")
		out.WriteString(before)
		if !more {
			break
		}
		m := conversion().FindStringSubmatchIndex(after)
		text, err := p.convert(after, m)
		if err != nil {
			return nil, err
		}
		out.WriteString(text)
		_, n := utf8.DecodeRuneInString(after[m[1]:])
		rest = after[m[1]+n:]
	}
	if tuple, ok := x.(starlark.Tuple); !p.keyed && (ok && p.next < len(tuple) || !ok && p.next == 0) {
		if _, mapping := x.(starlark.Mapping); !mapping {
			return nil, errors.New("too many arguments for format string")
		}
	}
	return starlark.String(out.String()), nil
}

// percent takes the arguments of the operator %.
type percent struct {
	x     starlark.Value
	next  int
	keyed bool
}

// convert returns the text of one conversion. m has where its parts are in s.
func (p *percent) convert(s string, m []int) (string, error) {
	part := func(i int) string {
		if m[2*i] < 0 {
			return ""
		}
		return s[m[2*i]:m[2*i+1]]
	}
	if m[1] == len(s) {
		return "", errors.New("incomplete format")
	}
	verb := s[m[1]]
	if verb == '%' {
		return "%", nil
	}
	if strings.IndexByte("diuoxXeEfFgGcrs", verb) < 0 {
		r, _ := utf8.DecodeRuneInString(s[m[1]:])
		return "", fmt.Errorf("unknown conversion %%%c", r)
	}
	f := &spec{fill: ' ', precision: -1, verb: verb}
	var err error
	if f.width, err = p.amount(part(3), 0); err != nil {
		return "", err
	}
	if m[8] >= 0 {
		if f.precision, err = p.amount(part(4), 0); err != nil {
			return "", err
		}
		f.precision = max(f.precision, 0)
	}
	flags := part(2)
	f.alternate = strings.Contains(flags, "#")
	for _, sign := range []byte{' ', '+'} {
		if strings.IndexByte(flags, sign) >= 0 {
			f.sign = sign
		}
	}
	switch {
	case f.width < 0:
		f.align, f.width = '<', -f.width
	case strings.Contains(flags, "-"):
		f.align = '<'
	case strings.Contains(flags, "0"):
		f.fill, f.align = '0', '0'
	}
	var v starlark.Value
	if m[2] >= 0 {
		v, err = p.key(part(1))
	} else {
		v, err = p.argument()
	}
	if err != nil {
		return "", err
	}
	return f.convert(v)
}

// amount returns a width or precision, which may be an argument.
func (p *percent) amount(s string, otherwise int) (int, error) {
	if s != "*" {
		n, _, err := number(s, otherwise)
		return n, err
	}
	v, err := p.argument()
	if err != nil {
		return 0, err
	}
	n, err := starlark.AsInt32(v)
	if err != nil || n > MaxWidth || n < -MaxWidth {
		return 0, fmt.Errorf("* wants an int of at most %d, got %s", MaxWidth, v.Type())
	}
	return n, nil
}

// argument returns the next argument.
func (p *percent) argument() (starlark.Value, error) {
	tuple, ok := p.x.(starlark.Tuple)
	if !ok {
		tuple = starlark.Tuple{p.x}
	}
	if p.next >= len(tuple) {
		return nil, errors.New("not enough arguments for format string")
	}
	p.next++
	return tuple[p.next-1], nil
}

// key returns the value of a key.
func (p *percent) key(key string) (starlark.Value, error) {
	p.keyed = true
	d, ok := p.x.(starlark.Mapping)
	if !ok {
		return nil, errors.New("format requires a mapping")
	}
	v, found, err := d.Get(starlark.String(key))
	if err == nil && !found {
		err = fmt.Errorf("key not found: %s", key)
	}
	return v, err
}

// convert formats v as the operator % does.
func (s *spec) convert(v starlark.Value) (string, error) {
	switch s.verb {
	case 's', 'r', 'c':
		text := v.String()
		if s.verb == 's' {
			text = str(v)
		}
		if s.verb == 'c' { // Starlark checks what a character is
			one, err := starlark.Binary(syntax.PERCENT, starlark.String("%c"), starlark.Tuple{v})
			if err != nil {
				return "", err
			}
			text, s.precision = str(one), -1
		}
		if s.precision >= 0 && utf8.RuneCountInString(text) > s.precision {
			text = string([]rune(text)[:s.precision])
		}
		if s.align == '0' {
			s.fill, s.align = ' ', '>'
		}
		return s.pad("", text, '>'), nil
	case 'd', 'i', 'u', 'o', 'x', 'X':
		i, err := starlark.NumberToInt(v)
		if err != nil {
			return "", fmt.Errorf("%%%c format requires integer: %v", s.verb, err)
		}
		return s.digits(i)
	}
	f, ok := starlark.AsFloat(v)
	if !ok {
		return "", fmt.Errorf("%%%c format requires float, not %s", s.verb, v.Type())
	}
	return s.float(f)
}

// digits formats an int for the operator %, where a precision is the least number of digits.
func (s *spec) digits(i starlark.Int) (string, error) {
	base := 10
	switch s.verb {
	case 'o':
		base = 8
	case 'x', 'X':
		base = 16
	}
	digits, negative := strings.CutPrefix(i.BigInt().Text(base), "-")
	if n := s.precision - len(digits); n > 0 {
		digits = strings.Repeat("0", n) + digits
	}
	prefix := s.signOf(negative)
	if s.alternate && base != 10 {
		prefix += "0" + string(s.verb)
	}
	if s.verb == 'X' {
		digits = strings.ToUpper(digits)
	}
	return s.number(prefix, digits, "", 3), nil
}
