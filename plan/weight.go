package plan

import (
	"reflect"
	"strings"
)

// Lighter reports whether a graph's JSON form, with indentation, takes less than about limit bytes.
// It makes nothing, so it can be asked before anything is written: control characters take six bytes
// there, and each part has a line of its own, so the form can be many times as large as the graph.
func (g *Graph) Lighter(limit int64) bool {
	w := weight{left: limit}
	w.value(reflect.ValueOf(g).Elem(), 0)
	return w.left > 0
}

// weight counts down the bytes that are left, and looks at nothing more once there are none.
type weight struct{ left int64 }

func (w *weight) value(v reflect.Value, indent int64) {
	if w.left <= 0 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		w.text(v.String())
	case reflect.Pointer, reflect.Interface:
		if w.left -= 4; !v.IsNil() {
			w.value(v.Elem(), indent)
		}
	case reflect.Struct:
		w.fields(v, indent+2)
	case reflect.Slice:
		w.list(v, indent+2)
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			w.left -= indent + 6
			w.value(it.Key(), indent+2)
			w.value(it.Value(), indent+2)
		}
	default:
		w.left -= 5
	}
}

func (w *weight) fields(v reflect.Value, indent int64) {
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name == "-" || strings.Contains(options, "omitempty") && v.Field(i).IsZero() {
			continue
		}
		w.left -= indent + int64(len(name)) + 6
		w.value(v.Field(i), indent)
	}
}

func (w *weight) list(v reflect.Value, indent int64) {
	if v.Type().Elem().Kind() == reflect.Uint8 { // an encoded value
		for _, c := range v.Bytes() {
			if w.left--; c == ',' || c == '[' || c == '{' {
				w.left -= indent + 2
			}
		}
		return
	}
	for i := 0; i < v.Len() && w.left > 0; i++ {
		w.left -= indent + 2
		w.value(v.Index(i), indent)
	}
}

// text counts a string. It doesn't look at more of it than is left.
func (w *weight) text(s string) {
	w.left -= 2 + int64(len(s))
	for i := 0; i < len(s) && w.left > 0; i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '\n' || c == '\t' || c == '\r':
			w.left--
		case c < ' ':
			w.left -= 5
		}
	}
}
