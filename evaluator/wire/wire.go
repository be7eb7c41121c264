// Package wire puts messages between two processes into bytes.
//
//   - [Append] and [Read] are the written form: a struct is its fields in order, a number a varint;
//     a string, slice or map is its length and what it holds; a pointer says whether something
//     follows. Both processes are the same program, so a message carries no names. A field with the
//     tag json:"-" isn't sent.
//   - [Pipe] sends and receives messages up to a size.
//
// Unlike JSON, Read is safe with data from someone whom the reader doesn't trust: it allocates at
// most a multiple of what was sent.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Bounds of what reading a message allocates, in bytes. What is short to write may be long to keep:
// a struct of empty fields takes the most, 8 to 24 bytes for each byte written.
const (
	growth    = 16      // for each byte of the message
	smallRead = 1 << 20 // for any message
	spread    = 2       // for each byte that a message may have
)

// room returns how many bytes reading may allocate for a message up to a limit.
func room(limit int64) int { return int(min(limit, math.MaxInt/4))*spread + smallRead }

// maxDepth bounds how deep a message's content nests. Types nest deepest, see plan.Type.
const maxDepth = 256

// shape describes a type.
type shape struct {
	kind   reflect.Kind
	size   int     // bytes
	elem   *shape  // of a pointer, slice or map
	fields []field // of a struct: those that are sent
}

type field struct {
	index int
	*shape
}

// shapes holds the shapes made so far, by type.
var shapes struct {
	sync.RWMutex
	of map[reflect.Type]*shape
}

func shapeOf(t reflect.Type) *shape {
	shapes.RLock()
	s := shapes.of[t]
	shapes.RUnlock()
	if s != nil {
		return s
	}
	shapes.Lock()
	defer shapes.Unlock()
	if shapes.of == nil {
		shapes.of = map[reflect.Type]*shape{}
	}
	return newShape(t)
}

// newShape makes and keeps the shape of a type. The type may hold itself.
func newShape(t reflect.Type) *shape {
	if s := shapes.of[t]; s != nil {
		return s
	}
	s := &shape{kind: t.Kind(), size: int(t.Size())}
	shapes.of[t] = s
	switch s.kind {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		s.elem = newShape(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				s.fields = append(s.fields, field{i, newShape(f.Type)})
			}
		}
	}
	return s
}

// Append appends v, a struct or a pointer to one, to b. It also returns how many bytes reading it
// allocates at most.
func Append(b []byte, v any) ([]byte, int) {
	w := writer{b: b}
	x := reflect.Indirect(reflect.ValueOf(v))
	w.value(shapeOf(x.Type()), x)
	return w.b, w.taken
}

type writer struct {
	b     []byte
	taken int // see reader.take
}

func (w *writer) length(n int) { w.b = binary.AppendUvarint(w.b, uint64(n)) }

func (w *writer) value(s *shape, v reflect.Value) {
	switch s.kind {
	case reflect.Bool:
		w.flag(v.Bool())
	case reflect.Int, reflect.Int64:
		w.b = binary.AppendVarint(w.b, v.Int())
	case reflect.Uint64:
		w.b = binary.AppendUvarint(w.b, v.Uint())
	case reflect.String:
		w.string(v.String())
	case reflect.Pointer:
		w.flag(!v.IsNil())
		if !v.IsNil() {
			w.taken += s.elem.size
			w.value(s.elem, v.Elem())
		}
	case reflect.Slice:
		w.slice(s, v)
	case reflect.Map:
		w.length(v.Len())
		w.taken += v.Len() * (mapEntry + s.elem.size)
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), byName) {
			w.string(key.String())
			w.value(s.elem, v.MapIndex(key))
		}
	case reflect.Struct:
		for _, f := range s.fields {
			w.value(f.shape, v.Field(f.index))
		}
	default:
		panic(fmt.Sprintf("a message can't hold a %s", v.Type()))
	}
}

func byName(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }

func (w *writer) flag(on bool) {
	if on {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

func (w *writer) string(s string) {
	s = strings.ToValidUTF8(s, "\uFFFD")
	w.length(len(s))
	w.taken += len(s)
	w.b = append(w.b, s...)
}

// slice writes a slice. A nil one is written as an empty one.
func (w *writer) slice(s *shape, v reflect.Value) {
	w.length(v.Len())
	w.taken += v.Len() * s.elem.size
	if s.elem.kind == reflect.Uint8 {
		w.b = append(w.b, v.Bytes()...)
		return
	}
	for i := range v.Len() {
		w.value(s.elem, v.Index(i))
	}
}

// Read reads what Append has written into v, a pointer to a zero struct. Any other data is an
// error. Strings and bytes are copies of the data. limit is the largest size of a message, in
// bytes.
func Read(data []byte, v any, limit int64) error {
	r := reader{data: data, room: min(growth*len(data)+smallRead, room(limit))}
	x := reflect.ValueOf(v).Elem()
	if err := r.value(shapeOf(x.Type()), x, 0); err != nil {
		return err
	}
	if len(r.data) > 0 {
		return errors.New("something follows it")
	}
	return nil
}

type reader struct {
	data   []byte
	room   int // bytes that may still be allocated
	recent [256]string
}

var errCut = errors.New("it is cut off")

func (r *reader) value(s *shape, v reflect.Value, depth int) error {
	if depth > maxDepth {
		return errors.New("it nests too deep")
	}
	switch s.kind {
	case reflect.Bool:
		on, err := r.flag()
		v.SetBool(on)
		return err
	case reflect.Int, reflect.Int64:
		n, err := r.number(binary.Varint)
		v.SetInt(n)
		return err
	case reflect.Uint64:
		n, used := binary.Uvarint(r.data)
		if used <= 0 {
			return errCut
		}
		r.data = r.data[used:]
		v.SetUint(n)
	case reflect.String:
		text, err := r.string()
		v.SetString(text)
		return err
	case reflect.Pointer:
		there, err := r.flag()
		if err != nil || !there {
			return err
		}
		if err := r.take(s.elem.size); err != nil {
			return err
		}
		v.Set(reflect.New(v.Type().Elem()))
		return r.value(s.elem, v.Elem(), depth+1)
	case reflect.Slice:
		return r.slice(s, v, depth)
	case reflect.Map:
		return r.dict(s, v, depth)
	case reflect.Struct:
		for _, f := range s.fields {
			if err := r.value(f.shape, v.Field(f.index), depth+1); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("a message can't hold a %s", v.Type())
	}
	return nil
}

func (r *reader) flag() (bool, error) {
	if len(r.data) == 0 {
		return false, errCut
	}
	b := r.data[0]
	r.data = r.data[1:]
	if b > 1 {
		return false, fmt.Errorf("%d is no flag", b)
	}
	return b == 1, nil
}

func (r *reader) number(read func([]byte) (int64, int)) (int64, error) {
	n, used := read(r.data)
	if used <= 0 {
		return 0, errCut
	}
	r.data = r.data[used:]
	return n, nil
}

// length reads how many things follow. Each takes at least a byte.
func (r *reader) length() (int, error) {
	n, used := binary.Uvarint(r.data)
	if used <= 0 || n > math.MaxInt32 || int(n) > len(r.data)-used {
		return 0, errCut
	}
	r.data = r.data[used:]
	return int(n), nil
}

// take counts what is about to be allocated.
func (r *reader) take(bytes int) error {
	if r.room -= bytes; r.room < 0 {
		return errors.New("it takes too much memory")
	}
	return nil
}

// string reads a string. One that came shortly before isn't allocated again: most are the same few
// paths.
func (r *reader) string() (string, error) {
	n, err := r.length()
	if err != nil || n == 0 {
		return "", err
	}
	raw := r.data[:n]
	r.data = r.data[n:]
	slot := &r.recent[(uint(n)*31+uint(raw[0])*7+uint(raw[n-1])+uint(raw[n/2])*3)%uint(len(r.recent))]
	if *slot == string(raw) {
		return *slot, nil
	}
	if !utf8.Valid(raw) {
		return "", errors.New("a string in it isn't UTF-8")
	}
	if err := r.take(n); err != nil {
		return "", err
	}
	*slot = string(raw)
	return *slot, nil
}

func (r *reader) slice(s *shape, v reflect.Value, depth int) error {
	n, err := r.length()
	if err != nil || n == 0 {
		return err
	}
	if err := r.take(n * s.elem.size); err != nil {
		return err
	}
	if s.elem.kind == reflect.Uint8 {
		v.SetBytes(slices.Clone(r.data[:n]))
		r.data = r.data[n:]
		return nil
	}
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := range n {
		if err := r.value(s.elem, v.Index(i), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// mapEntry is roughly what an entry of a map takes besides key and value, in bytes.
const mapEntry = 32

func (r *reader) dict(s *shape, v reflect.Value, depth int) error {
	n, err := r.length()
	if err != nil || n == 0 {
		return err
	}
	if err := r.take(n * (mapEntry + s.elem.size)); err != nil {
		return err
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), n))
	last := ""
	for i := range n {
		key, err := r.string()
		if err != nil {
			return err
		}
		if i > 0 && key <= last {
			return errors.New("its keys aren't in order")
		}
		last = key
		x := reflect.New(v.Type().Elem()).Elem()
		if err := r.value(s.elem, x, depth+1); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), x)
	}
	return nil
}
