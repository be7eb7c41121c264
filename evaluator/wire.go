package evaluator

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

// This file puts messages into bytes. Both processes are the same program, so
// nothing is said twice: a struct is its fields in order, a number a varint, a
// string, slice or map its length and what it holds, a pointer whether there is
// something, and that. A field with the tag json:"-" isn't sent.
//
// Unlike JSON this can be read without trust: what reading allocates is bounded
// by a multiple of what was sent.

// The bounds of what reading a message allocates, in bytes: per byte of the
// message, for small ones, and per byte that a message may have, since what is short to write may be long to
// keep. A struct of empty fields takes the most, 8 to 24 for one byte.
const (
	growth    = 16
	smallRead = 1 << 20
	spread    = 2
)

// room returns how many bytes may be allocated for messages up to a limit.
func room(limit int64) int { return int(min(limit, math.MaxInt/4))*spread + smallRead }

// maxWireDepth bounds how deep what is in a message nests; types nest deepest, see plan.Type.
const maxWireDepth = 256

// shape is what there is to know of a type.
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

// shapes has the shapes that are known, by type.
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

// newShape enters the shape of a type, which may hold itself, and returns it.
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

// appendWire appends v, a struct or a pointer to one, to b. It also returns what reading it allocates at most, in bytes.
func appendWire(b []byte, v any) ([]byte, int) {
	w := wireWriter{b: b}
	x := reflect.Indirect(reflect.ValueOf(v))
	w.value(shapeOf(x.Type()), x)
	return w.b, w.taken
}

type wireWriter struct {
	b     []byte
	taken int // see wireReader.take
}

func (w *wireWriter) length(n int) { w.b = binary.AppendUvarint(w.b, uint64(n)) }

func (w *wireWriter) value(s *shape, v reflect.Value) {
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

func (w *wireWriter) flag(on bool) {
	if on {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

func (w *wireWriter) string(s string) {
	s = strings.ToValidUTF8(s, "\uFFFD")
	w.length(len(s))
	w.taken += len(s)
	w.b = append(w.b, s...)
}

// slice writes a slice, of which nil and empty are the same.
func (w *wireWriter) slice(s *shape, v reflect.Value) {
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

// readWire reads what appendWire has written into v, a pointer to a zero struct.
// Any other data is an error. Strings and bytes are copies. limit is what a message may have, in bytes.
func readWire(data []byte, v any, limit int64) error {
	r := wireReader{data: data, room: min(growth*len(data)+smallRead, room(limit))}
	x := reflect.ValueOf(v).Elem()
	if err := r.value(shapeOf(x.Type()), x, 0); err != nil {
		return err
	}
	if len(r.data) > 0 {
		return errors.New("something follows it")
	}
	return nil
}

type wireReader struct {
	data   []byte
	room   int // bytes that may still be allocated
	recent [256]string
}

var errCut = errors.New("it is cut off")

func (r *wireReader) value(s *shape, v reflect.Value, depth int) error {
	if depth > maxWireDepth {
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

func (r *wireReader) flag() (bool, error) {
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

func (r *wireReader) number(read func([]byte) (int64, int)) (int64, error) {
	n, used := read(r.data)
	if used <= 0 {
		return 0, errCut
	}
	r.data = r.data[used:]
	return n, nil
}

// length reads how many things follow, of which each takes at least a byte.
func (r *wireReader) length() (int, error) {
	n, used := binary.Uvarint(r.data)
	if used <= 0 || n > math.MaxInt32 || int(n) > len(r.data)-used {
		return 0, errCut
	}
	r.data = r.data[used:]
	return int(n), nil
}

// take counts what is about to be allocated.
func (r *wireReader) take(bytes int) error {
	if r.room -= bytes; r.room < 0 {
		return errors.New("it takes too much memory")
	}
	return nil
}

// string reads a string. Short ones that came before aren't allocated again:
// most are the same few paths.
func (r *wireReader) string() (string, error) {
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

func (r *wireReader) slice(s *shape, v reflect.Value, depth int) error {
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

// mapEntry is about what an entry of a map takes beyond key and value, in bytes.
const mapEntry = 32

func (r *wireReader) dict(s *shape, v reflect.Value, depth int) error {
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
