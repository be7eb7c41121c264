package summary

import (
	"encoding/binary"
	"errors"
	"math"

	"go.starlark.net/syntax"
)

// This file holds the written form of summaries: numbers as varints, strings and lists after their
// length. One function goes through the fields, for writing and for reading.

// encode returns the written form of the fields that code goes through.
func encode(code func(*codec)) []byte {
	c := codec{writing: true}
	code(&c)
	return c.data
}

// decode reads the fields that code goes through from their written form, which must be all of
// data.
func decode(data []byte, code func(*codec)) error {
	c := codec{data: data, text: string(data)}
	code(&c)
	if c.failed || len(c.data) > 0 {
		return errForm
	}
	return nil
}

var errForm = errors.New("malformed data")

// Encode returns s in its written form.
func (s *Summary) Encode() []byte { return encode(s.code) }

// Decode reads the summary of the module at path from its written form. Whatever data holds, the
// indices of the summary are within bounds.
func Decode(path string, data []byte) (*Summary, error) {
	s := &Summary{path: path}
	if err := decode(data, s.code); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, nil
}

// codec writes to data, or reads from its start.
type codec struct {
	writing bool
	data    []byte
	text    string // everything that is read; the strings are parts of it
	failed  bool   // what was read is malformed
}

func (s *Summary) code(c *codec) {
	list(c, &s.names, (*codec).string)
	list(c, &s.loads, func(c *codec, l *Load) {
		c.string(&l.Module)
		c.position(s, &l.Pos)
		list(c, &l.Names, func(c *codec, n *LoadedName) {
			c.string(&n.From)
			c.string(&n.To)
			c.position(s, &n.Pos)
		})
	})
	list(c, &s.globals, func(c *codec, g *bound) {
		c.string(&g.name)
		c.point(&g.pos)
	})
	var arguments, defaults, free, mentions, fields int32 // where the next span begins
	list(c, &s.calls, func(c *codec, x *callSite) {
		c.point(&x.paren)
		c.point(&x.start)
		c.point(&x.method)
		c.span(&x.arguments, &arguments)
		c.boolean(&x.unused)
	})
	list(c, &s.arguments, (*codec).argument)
	list(c, &s.functions, func(c *codec, f *function) {
		c.point(&f.pos)
		c.span(&f.defaults, &defaults)
		c.span(&f.free, &free)
		c.span(&f.mentions, &mentions)
	})
	list(c, &s.defaults, (*codec).argument)
	list(c, &s.free, (*codec).number)
	list(c, &s.mentions, func(c *codec, m *mention) {
		small(c, &m.kind)
		c.number(&m.index)
		c.span(&m.fields, &fields)
		c.point(&m.pos)
		c.number(&m.call)
		small(c, &m.via)
		small(c, &m.over)
	})
	list(c, &s.fields, (*codec).number)
}

// list goes through a list. Each element takes a byte or more, so the data bounds the length.
func list[T any](c *codec, l *[]T, each func(*codec, *T)) {
	n := int32(len(*l))
	c.number(&n)
	if !c.writing {
		if n < 0 || int(n) > len(c.data) {
			c.failed = true
			return
		}
		*l = make([]T, n)
	}
	for i := range *l {
		if c.failed {
			return
		}
		each(c, &(*l)[i])
	}
}

// number goes through a number of -1 or more.
func (c *codec) number(n *int32) {
	if c.writing {
		c.data = binary.AppendUvarint(c.data, uint64(*n+1))
		return
	}
	x, size := binary.Uvarint(c.data)
	if size <= 0 || x > math.MaxInt32 {
		c.fail()
		return
	}
	*n, c.data = int32(x)-1, c.data[size:]
}

func (c *codec) fail() { c.data, c.failed = nil, true }

func (c *codec) point(p *point) {
	c.number(&p.line)
	c.number(&p.col)
}

// position goes through a position in s.
func (c *codec) position(s *Summary, pos *syntax.Position) {
	p := pointOf(*pos)
	c.point(&p)
	*pos = s.position(p)
}

// span goes through a span. It begins where the previous span ends, at from.
func (c *codec) span(s *span, from *int32) {
	n := s.to - s.from
	c.number(&n)
	if n < 0 || n > math.MaxInt32-*from {
		c.fail()
		return
	}
	*s = span{*from, *from + n}
	*from = s.to
}

func (c *codec) string(s *string) {
	n := int32(len(*s))
	c.number(&n)
	switch {
	case c.writing:
		c.data = append(c.data, *s...)
	case n < 0 || int(n) > len(c.data):
		c.fail()
	default:
		rest := c.text[len(c.text)-len(c.data):]
		*s, c.data = rest[:n], c.data[n:]
	}
}

// small goes through a number of one byte.
func small[T ~uint8](c *codec, n *T) {
	switch {
	case c.writing:
		c.data = append(c.data, byte(*n))
	case len(c.data) == 0:
		c.fail()
	default:
		*n, c.data = T(c.data[0]), c.data[1:]
	}
}

func (c *codec) boolean(b *bool) {
	var n uint8
	if *b {
		n = 1
	}
	small(c, &n)
	*b = n == 1
}

func (c *codec) argument(a *argument) {
	small(c, &a.form)
	c.number(&a.name)
	small(c, &a.literal)
	c.point(&a.pos)
}

// check returns an error if an index is out of bounds, or if a function comes before the one around
// it.
func (s *Summary) check() error {
	if !s.inBounds() {
		return errForm
	}
	for i := range s.functions {
		f := &s.functions[i]
		for _, m := range s.mentions[f.mentions.from:f.mentions.to] {
			if !s.mentionInBounds(&m, i) {
				return errForm
			}
		}
	}
	return nil
}

// inBounds reports whether all indices but those in mentions are within bounds.
func (s *Summary) inBounds() bool {
	within := func(spans span, n int) bool { return int(spans.to) <= n }
	for _, c := range s.calls {
		if !within(c.arguments, len(s.arguments)) {
			return false
		}
	}
	for _, list := range [][]argument{s.arguments, s.defaults} {
		for _, a := range list {
			if a.form >= forms || int(a.literal) >= len(literalKinds) || a.form == named && !in(a.name, len(s.names)) {
				return false
			}
		}
	}
	for _, f := range s.functions {
		if !within(f.defaults, len(s.defaults)) || !within(f.free, len(s.free)) || !within(f.mentions, len(s.mentions)) {
			return false
		}
	}
	for _, m := range s.mentions {
		if !within(m.fields, len(s.fields)) {
			return false
		}
	}
	return true
}

// mentionInBounds reports whether the indices of a mention of function i are within bounds.
func (s *Summary) mentionInBounds(m *mention, i int) bool {
	for _, f := range s.fields[m.fields.from:m.fields.to] {
		if !in(f, len(s.names)) {
			return false
		}
	}
	free := func(f *function) int { return int(f.free.to - f.free.from) }
	if m.call != notCall && !in(m.call, len(s.calls)) || m.via >= vias || m.over >= overs {
		return false
	}
	switch m.kind {
	case mentionsGlobal:
		return in(m.index, len(s.names))
	case mentionsFree:
		return in(m.index, free(&s.functions[i]))
	case mentionsFunction:
		if int(m.index) <= i || !in(m.index, len(s.functions)) {
			return false
		}
		inner := &s.functions[m.index]
		for _, v := range s.free[inner.free.from:inner.free.to] {
			if v != notFree && !in(v, free(&s.functions[i])) {
				return false
			}
		}
		return true
	}
	return false
}

// in reports whether i is an index of a slice of length n.
func in(i int32, n int) bool { return i >= 0 && int(i) < n }
