package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Value is what passes between tasks. Its dynamic type is one of
//
//	nil  bool  int64  float64 (finite)  string (valid UTF-8)
//	[]Value  map[string]Value  Struct  File  Dir
//
// Values are trees: whoever hands one on doesn't change it afterwards.
type Value any

// Struct is a struct or record: fields by name.
type Struct map[string]Value

// File is a reference to an immutable file in the artifact store.
type File struct {
	Name   string `json:"name"`   // base name that the task sees
	Digest string `json:"digest"` // "sha256:…" of the content
	Size   int64  `json:"size"`   // bytes
}

// Dir is a reference to an immutable directory in the artifact store.
type Dir struct {
	Name   string `json:"name"`
	Digest string `json:"digest"` // "sha256:…" of its manifest
	Size   int64  `json:"size"`   // bytes of all files in it
}

// What a value at a boundary may be at most.
const (
	MaxValue = 10 << 20 // bytes of its encoded form
	MaxDepth = 64       // nesting
)

// MarshalValue returns the canonical form of v, the same for equal values: JSON
// with sorted keys, where a float always has a point or an exponent, and what
// JSON has no word for is an object with one key: {"$file": …}, {"$dir": …},
// {"$struct": …}, and {"$dict": …} for a dict that has a key beginning with "$".
func MarshalValue(v Value) ([]byte, error) {
	e := encoder{}
	if err := e.encode(v, 0); err != nil {
		return nil, err
	}
	if e.Len() > MaxValue {
		return nil, fmt.Errorf("value takes %d bytes, more than the %d that may pass between tasks (hint: pass a File)", e.Len(), MaxValue)
	}
	return e.Bytes(), nil
}

type encoder struct{ bytes.Buffer }

func (e *encoder) encode(v Value, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("value nests deeper than %d", MaxDepth)
	}
	if e.Len() > MaxValue { // stop early: a shared structure can be exponentially large
		return fmt.Errorf("value takes more than the %d bytes that may pass between tasks (hint: pass a File)", MaxValue)
	}
	switch v := v.(type) {
	case nil:
		e.WriteString("null")
	case bool:
		e.WriteString(strconv.FormatBool(v))
	case int64:
		e.WriteString(strconv.FormatInt(v, 10))
	case float64:
		return e.float(v)
	case string:
		return e.string(v)
	case []Value:
		return e.list(v, depth)
	case map[string]Value:
		return e.dict(v, depth)
	case Struct:
		return e.tagged("$struct", func() error { return e.object(v, depth+1) })
	case File:
		return e.tagged("$file", func() error { return e.json(v) })
	case Dir:
		return e.tagged("$dir", func() error { return e.json(v) })
	default:
		return fmt.Errorf("a Go %T is no value", v)
	}
	return nil
}

func (e *encoder) float(f float64) error {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return fmt.Errorf("float %v isn't finite", f)
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	e.WriteString(s)
	return nil
}

func (e *encoder) string(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("string isn't valid UTF-8")
	}
	return e.json(s)
}

// json writes what encoding/json makes of v, without escaping for HTML.
func (e *encoder) json(v any) error {
	enc := json.NewEncoder(&e.Buffer)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	e.Truncate(e.Len() - 1) // the newline that Encode adds
	return nil
}

func (e *encoder) list(l []Value, depth int) error {
	e.WriteByte('[')
	for i, x := range l {
		if i > 0 {
			e.WriteByte(',')
		}
		if err := e.encode(x, depth+1); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	e.WriteByte(']')
	return nil
}

func (e *encoder) dict(m map[string]Value, depth int) error {
	for k := range m {
		if strings.HasPrefix(k, "$") {
			return e.tagged("$dict", func() error { return e.object(m, depth) })
		}
	}
	return e.object(m, depth)
}

func (e *encoder) tagged(tag string, write func() error) error {
	e.WriteString(`{"` + tag + `":`)
	if err := write(); err != nil {
		return err
	}
	e.WriteByte('}')
	return nil
}

func (e *encoder) object(m map[string]Value, depth int) error {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	e.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			e.WriteByte(',')
		}
		if err := e.string(k); err != nil {
			return err
		}
		e.WriteByte(':')
		if err := e.encode(m[k], depth+1); err != nil {
			return fmt.Errorf(".%s: %w", k, err)
		}
	}
	e.WriteByte('}')
	return nil
}

// UnmarshalValue reads [MarshalValue]'s form. It accepts nothing that
// MarshalValue can't have written, but for white space and the order of keys.
func UnmarshalValue(data []byte) (Value, error) {
	if len(data) > MaxValue {
		return nil, fmt.Errorf("value takes %d bytes, more than %d", len(data), MaxValue)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decode(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the value")
	}
	return v, nil
}

func decode(d *json.Decoder, depth int) (Value, error) {
	if depth > 2*MaxDepth { // tags count as levels here
		return nil, fmt.Errorf("value nests deeper than %d", MaxDepth)
	}
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := tok.(type) {
	case nil, bool, string:
		return t, nil
	case json.Number:
		return decodeNumber(t.String())
	case json.Delim:
		if t == '[' {
			return decodeList(d, depth)
		}
		m, err := decodeObject(d, depth)
		if err != nil {
			return nil, err
		}
		return untag(m)
	}
	return nil, fmt.Errorf("unexpected %v", tok)
}

func decodeNumber(s string) (Value, error) {
	if !strings.ContainsAny(s, ".eE") {
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("int %s doesn't fit 64 bits", s)
		}
		return i, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("float %s is out of range", s)
	}
	return f, nil
}

func decodeList(d *json.Decoder, depth int) (Value, error) {
	l := []Value{}
	for d.More() {
		v, err := decode(d, depth+1)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	_, err := d.Token()
	return l, err
}

func decodeObject(d *json.Decoder, depth int) (map[string]Value, error) {
	m := map[string]Value{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		k := key.(string) // the decoder allows nothing else here
		if _, dup := m[k]; dup {
			return nil, fmt.Errorf("key %q stands twice", k)
		}
		// What a tag holds is read as it is, so that its keys aren't tags again.
		if strings.HasPrefix(k, "$") && len(m) == 0 {
			m[k], err = decodeTagged(d, k, depth)
		} else {
			m[k], err = decode(d, depth+1)
		}
		if err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return m, err
}

func decodeTagged(d *json.Decoder, tag string, depth int) (Value, error) {
	switch tag {
	case "$file":
		var f File
		err := d.Decode(&f)
		return f, err
	case "$dir":
		var f Dir
		err := d.Decode(&f)
		return f, err
	case "$struct", "$dict":
		if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
			return nil, fmt.Errorf("%s wants an object", tag)
		}
		m := map[string]Value{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			if m[key.(string)], err = decode(d, depth+1); err != nil {
				return nil, err
			}
		}
		if _, err := d.Token(); err != nil {
			return nil, err
		}
		if tag == "$struct" {
			return Struct(m), nil
		}
		return m, nil
	}
	return nil, fmt.Errorf("unknown tag %q", tag)
}

// untag replaces an object with one tag by what the tag holds.
func untag(m map[string]Value) (Value, error) {
	for k, v := range m {
		if !strings.HasPrefix(k, "$") {
			continue
		}
		if len(m) != 1 {
			return nil, fmt.Errorf("tag %q among other keys", k)
		}
		return v, nil
	}
	return m, nil
}
