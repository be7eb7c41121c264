package signature

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

// This file reads literals.

var errNotLiteral = errors.New("isn't a literal")

// literal returns the value of a literal, or of a name that the top level binds once, to a literal.
func (f *File) literal(t []token, depth int) (plan.Value, error) {
	switch {
	case len(t) == 0 || depth > maxNesting:
		return nil, errNotLiteral
	case t[0].kind == text:
		return unquote(t)
	case t[0].is("-"), t[0].is("+"):
		return negated(f, t, depth)
	case t[0].is("[") || t[0].is("(") || t[0].is("{"):
		return f.container(t, depth)
	case len(t) > 1:
		return nil, errNotLiteral
	case t[0].kind == number:
		return parseNumber(t[0].text)
	case t[0].kind == name:
		return f.named(t[0].text, depth)
	}
	return nil, errNotLiteral
}

func negated(f *File, t []token, depth int) (plan.Value, error) {
	v, err := f.literal(t[1:], depth+1)
	if err != nil || len(t) != 2 || t[1].kind != number {
		return nil, errNotLiteral
	}
	if t[0].is("+") {
		return v, nil
	}
	switch v := v.(type) {
	case int64:
		return -v, nil
	case float64:
		return -v, nil
	}
	return nil, errNotLiteral
}

func (f *File) named(n string, depth int) (plan.Value, error) {
	switch n {
	case "None":
		return nil, nil
	case "True", "False":
		return n == "True", nil
	}
	if all := f.bound[n]; depth == 0 && len(all) == 1 && all[0].kind == assigned && !all[0].conditional && len(all[0].value) > 0 {
		return f.literal(all[0].value, 1)
	}
	return nil, errNotLiteral
}

// container reads a list, a tuple, which is a list here, or a dict.
func (f *File) container(t []token, depth int) (plan.Value, error) {
	in, after := bracketed(t, t[0].text)
	if len(after) > 0 || len(t) < 2 || !t[len(t)-1].is(map[string]string{"[": "]", "(": ")", "{": "}"}[t[0].text]) {
		return nil, errNotLiteral
	}
	parts := split(in, ",")
	if t[0].is("{") {
		return f.dict(parts, depth)
	}
	if t[0].is("(") && len(parts) == 1 && !in[len(in)-1].is(",") {
		return f.literal(parts[0], depth+1)
	}
	l := make([]plan.Value, len(parts))
	for i, p := range parts {
		var err error
		if l[i], err = f.literal(p, depth+1); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (f *File) dict(parts [][]token, depth int) (plan.Value, error) {
	d := map[string]plan.Value{}
	for _, p := range parts {
		k, v, ok := cut(p, ":")
		if !ok {
			return nil, errNotLiteral
		}
		key, err := f.literal(k, depth+1)
		s, isText := key.(string)
		if err != nil || !isText {
			return nil, errNotLiteral
		}
		if d[s], err = f.literal(v, depth+1); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func parseNumber(s string) (plan.Value, error) {
	s = strings.ReplaceAll(strings.ToLower(s), "_", "")
	if i, err := strconv.ParseInt(s, 0, 64); err == nil && !(len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9') {
		return i, nil
	}
	if strings.HasSuffix(s, "j") {
		return nil, errNotLiteral
	}
	if strings.HasPrefix(s, "0x") || !strings.ContainsAny(s, ".e") {
		return nil, fmt.Errorf("%.40s isn't an int of 64 bits", s)
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil {
		return x, nil
	}
	return nil, errNotLiteral
}

// unquote returns the text of string literals that follow each other.
func unquote(t []token) (string, error) {
	var out strings.Builder
	for _, x := range t {
		if x.kind != text {
			return "", errNotLiteral
		}
		at := strings.IndexAny(x.text, `"'`)
		prefix, body := strings.ToLower(x.text[:at]), x.text[at:]
		n := 1
		if len(body) >= 6 && body[:3] == strings.Repeat(body[:1], 3) {
			n = 3
		}
		if strings.ContainsAny(prefix, "fbt") || len(body) < 2*n {
			return "", errNotLiteral
		}
		body = body[n : len(body)-n]
		if strings.Contains(prefix, "r") {
			out.WriteString(body)
			continue
		}
		s, err := unescape(body)
		if err != nil {
			return "", err
		}
		out.WriteString(s)
	}
	return out.String(), nil
}

var escapes = map[byte]string{'\n': "", '\\': `\`, '\'': "'", '"': `"`, 'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}

// unescape returns the text of a string's body.
func unescape(s string) (string, error) {
	var out strings.Builder
	for {
		at := strings.IndexByte(s, '\\')
		if at < 0 || at+1 == len(s) {
			out.WriteString(s)
			return out.String(), nil
		}
		out.WriteString(s[:at])
		rest := s[at+1:]
		c := rest[0]
		s = rest[1:]
		if e, ok := escapes[c]; ok {
			out.WriteString(e)
			continue
		}
		digits, base := 0, 16
		switch {
		case c == 'x':
			digits = 2
		case c == 'u':
			digits = 4
		case c == 'U':
			digits = 8
		case c == 'N':
			return "", errNotLiteral
		case c >= '0' && c <= '7':
			s = rest
			for base = 8; digits < 3 && digits < len(s) && s[digits] >= '0' && s[digits] <= '7'; {
				digits++
			}
		default: // no escape
			out.WriteByte('\\')
			s = rest
			continue
		}
		if len(s) < digits {
			return "", errNotLiteral
		}
		r, err := strconv.ParseUint(s[:digits], base, 32)
		if err != nil || r > 0x10ffff || r >= 0xd800 && r < 0xe000 {
			return "", errNotLiteral
		}
		out.WriteRune(rune(r))
		s = s[digits:]
	}
}
