package plan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/flytestar/flytestar/diag"
)

// Value is what passes between tasks. Its dynamic type is one of
//
//	nil  bool  int64  float64 (finite)  string (valid UTF-8)
//	[]Value  map[string]Value  Struct  File  Dir
//
// Values are trees. Whoever passes one on doesn't change it afterwards.
type Value any

// Struct is a struct or record: fields by name.
type Struct map[string]Value

// File is a reference to an immutable file in the artifact store, or to a file of the workspace that
// a run puts there before it starts. The latter has a name and a Workspace only.
type File struct {
	Name      string `json:"name"`                // base name that the task sees
	Digest    Digest `json:"digest"`              // of the content
	Size      int64  `json:"size"`                // bytes
	Workspace string `json:"workspace,omitempty"` // path in the workspace; Name is its last part
}

// Dir is a reference to an immutable directory, as File is to a file.
type Dir struct {
	Name      string `json:"name"`
	Digest    Digest `json:"digest"` // of its manifest
	Size      int64  `json:"size"`   // bytes of all files in it
	Workspace string `json:"workspace,omitempty"`
}

// inWorkspace is the encoded form of a File or Dir of the workspace.
type inWorkspace struct {
	Name      string `json:"name"`
	Workspace string `json:"workspace"`
}

// The bounds of a value that passes between tasks.
const (
	MaxValue = 10 << 20 // bytes of its encoded form, unless a limit says otherwise
	MaxDepth = 64       // nesting: each list, dict and struct around a value is a level
)

// MapArtifacts returns v with each File and Dir in it replaced by f's value. The rest is shared.
func MapArtifacts(v Value, f func(Value) (Value, error)) (Value, error) {
	switch v := v.(type) {
	case File, Dir:
		return f(v)
	case []Value:
		list := make([]Value, len(v))
		for i, x := range v {
			var err error
			if list[i], err = MapArtifacts(x, f); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]Value:
		out := make(map[string]Value, len(v))
		for k, x := range v {
			var err error
			if out[k], err = MapArtifacts(x, f); err != nil {
				return nil, err
			}
		}
		return out, nil
	case Struct:
		m, err := MapArtifacts(map[string]Value(v), f)
		if err != nil {
			return nil, err
		}
		return Struct(m.(map[string]Value)), nil
	}
	return v, nil
}

// EachArtifact calls f for each File and Dir in v until one call fails.
func EachArtifact(v Value, f func(Value) error) error {
	switch v := v.(type) {
	case File, Dir:
		return f(v)
	case []Value:
		for _, x := range v {
			if err := EachArtifact(x, f); err != nil {
				return err
			}
		}
	case map[string]Value:
		for _, x := range v {
			if err := EachArtifact(x, f); err != nil {
				return err
			}
		}
	case Struct:
		return EachArtifact(map[string]Value(v), f)
	}
	return nil
}

// MarshalValue returns the canonical form of v, which is the same for equal values. It is JSON with
// sorted keys, and a float always has a point or an exponent. What JSON can't express is an object
// with one key: {"$file": …}, {"$dir": …}, {"$struct": …}, and {"$dict": …} for a dict with a key
// that begins with "$".
func MarshalValue(v Value) ([]byte, error) { return marshal(v, maxEncoded) }

// CheckValue returns an error if v can't pass between tasks. If v takes more than limit bytes in
// its encoded form (0: MaxValue), the error has class Limit.
func CheckValue(v Value, limit int64) error {
	_, err := marshal(v, ValueLimit(limit))
	return err
}

// ValueLimit returns limit, or the default if limit is zero.
func ValueLimit(limit int64) int64 { return cmp.Or(limit, MaxValue) }

// ErrValue is the limit on a value that passes between tasks.
const ErrValue = diag.LimitName("max-value")

// maxEncoded is the largest encoded form, whatever a limit says, in bytes.
const maxEncoded = 256 << 20

func marshal(v Value, limit int64) ([]byte, error) {
	e := encoder{limit: limit}
	if err := e.encode(v, 0); err != nil {
		return nil, err
	}
	return e.Bytes(), e.size()
}

type encoder struct {
	bytes.Buffer
	limit int64
}

// size returns an error if the output so far is too large.
func (e *encoder) size() error {
	if int64(e.Len()) <= e.limit {
		return nil
	}
	return ErrValue.Errorf("value takes more than the %d bytes that may pass between tasks", e.limit).
		WithHint("pass a File, or raise the limit with %s", ErrValue.Flag())
}

func (e *encoder) encode(v Value, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("value nests deeper than %d", MaxDepth)
	}
	if err := e.size(); err != nil { // stop early: a shared structure can be exponentially large
		return err
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
		return e.tagged("$struct", func() error { return e.object(v, depth) })
	case File:
		return e.artifact("$file", v)
	case Dir:
		return e.artifact("$dir", File(v))
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

// json writes v as encoding/json does, without escaping for HTML.
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
			return inside(fmt.Sprintf("[%d]", i), err)
		}
	}
	e.WriteByte(']')
	return nil
}

// artifact writes a File, or a Dir, which has the same fields.
func (e *encoder) artifact(tag string, f File) error {
	if err := f.validate(); err != nil {
		return err
	}
	if f.Workspace != "" {
		return e.tagged(tag, func() error { return e.json(inWorkspace{f.Name, f.Workspace}) })
	}
	return e.tagged(tag, func() error { return e.json(f) })
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
			return inside("."+k, err)
		}
	}
	e.WriteByte('}')
	return nil
}

// UnmarshalValue reads [MarshalValue]'s form. It accepts only what MarshalValue can have written.
// Only white space, the order of keys and the spelling of numbers and strings may differ.
func UnmarshalValue(data []byte) (Value, error) {
	if len(data) > maxEncoded {
		return nil, fmt.Errorf("value takes %d bytes, more than %d", len(data), maxEncoded)
	}
	if err := strictText(data); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	if s, ok := plainString(data); ok {
		return s, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decode(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("there is more text after the value")
	}
	return v, nil
}

// plainString returns the JSON string in data if nothing in it is escaped. Most strings are like
// this, and making a decoder takes longer.
func plainString(data []byte) (s string, ok bool) {
	if len(data) < 2 || data[0] != '"' || data[len(data)-1] != '"' {
		return "", false
	}
	text := data[1 : len(data)-1]
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' {
			return "", false
		}
	}
	return string(text), true
}

func decode(d *json.Decoder, depth int) (Value, error) {
	if depth > MaxDepth {
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
		return decodeObject(d, depth)
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

// decodeObject reads what follows a "{": a dict, or one tag with its content.
func decodeObject(d *json.Decoder, depth int) (Value, error) {
	var tag string
	var held Value
	m, err := members(d, func(k string) (Value, error) {
		if tag != "" {
			return nil, fmt.Errorf("tag %q among other keys", tag)
		}
		if !strings.HasPrefix(k, "$") {
			return decode(d, depth+1)
		}
		var err error
		tag = k
		held, err = decodeTagged(d, tag, depth)
		return held, err
	})
	if err != nil || tag == "" {
		return m, err
	}
	if len(m) != 1 {
		return nil, fmt.Errorf("tag %q among other keys", tag)
	}
	return held, nil
}

// decodeTagged reads the content of a tag. Keys in it aren't tags.
func decodeTagged(d *json.Decoder, tag string, depth int) (Value, error) {
	switch tag {
	case "$file", "$dir", "$struct", "$dict":
	default:
		return nil, fmt.Errorf("unknown tag %q", tag)
	}
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return nil, fmt.Errorf("%s wants an object", tag)
	}
	m, err := members(d, func(string) (Value, error) { return decode(d, depth+1) })
	if err != nil {
		return nil, err
	}
	switch tag {
	case "$struct":
		return Struct(m), nil
	case "$dict":
		for k := range m {
			if strings.HasPrefix(k, "$") {
				return m, nil
			}
		}
		return nil, fmt.Errorf("$dict without a key that begins with $")
	}
	f, err := artifact(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tag, err)
	}
	if tag == "$dir" {
		return Dir(f), nil
	}
	return f, nil
}

// members reads an object's keys and closing brace. value reads each member's value.
func members(d *json.Decoder, value func(key string) (Value, error)) (map[string]Value, error) {
	m := map[string]Value{}
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return nil, err
		}
		k := tok.(string) // the decoder allows nothing else here
		if _, dup := m[k]; dup {
			return nil, fmt.Errorf("key %q is given twice", k)
		}
		if m[k], err = value(k); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return m, err
}

// artifact makes a File from its members.
func artifact(m map[string]Value) (File, error) {
	name, ok1 := m["name"].(string)
	if where, ok := m["workspace"].(string); ok && ok1 && where != "" && len(m) == 2 {
		f := File{Name: name, Workspace: where}
		return f, f.validate()
	}
	digest, ok2 := m["digest"].(string)
	size, ok3 := m["size"].(int64)
	if !ok1 || !ok2 || !ok3 || len(m) != 3 {
		return File{}, fmt.Errorf("want a name, a digest and a size")
	}
	f := File{Name: name, Digest: Digest(digest), Size: size}
	return f, f.validate()
}

// validate returns the reason why f can't be a reference to an artifact, or nil.
func (f File) validate() error {
	switch {
	case !ValidFileName(f.Name):
		return fmt.Errorf("%q is no file name", f.Name)
	case f.Workspace != "" && (!fs.ValidPath(f.Workspace) || path.Base(f.Workspace) != f.Name || f.Digest != "" || f.Size != 0):
		return fmt.Errorf("%q isn't the path in the workspace of %q", f.Workspace, f.Name)
	case f.Workspace != "":
		return nil
	case !f.Digest.Valid():
		return fmt.Errorf("%q is no digest", f.Digest)
	case f.Size < 0:
		return fmt.Errorf("size %d is negative", f.Size)
	}
	return nil
}
