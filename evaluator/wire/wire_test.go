package wire

import (
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/plan"
)

// testLimit bounds a message of these tests, in bytes.
const testLimit = 64 << 20

// everything has a field of every kind.
type everything struct {
	Flag    bool
	Int     int
	Time    time.Duration
	Big     uint64
	Text    string
	Inner   *everything
	Bytes   []byte
	List    []string
	Map     map[string][]int
	Private func() `json:"-"`
}

// TestWire: Read returns what Append has written. Strings become valid UTF-8.
func TestWire(t *testing.T) {
	in := everything{
		Flag: true, Int: -1, Time: time.Hour, Big: math.MaxUint64, Text: "é", Bytes: []byte{0, 0xff},
		List: []string{"", "a"}, Map: map[string][]int{"b": {1}, "a": nil}, Inner: &everything{Text: "inner"},
	}
	data, _ := Append(nil, in)
	var out everything
	if err := Read(data, &out, testLimit); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("got %+v, %v", out, err)
	}
	for n := range data {
		if err := Read(data[:n], new(everything), testLimit); err == nil {
			t.Errorf("its first %d bytes are accepted", n)
		}
	}
	data, _ = Append(nil, everything{Text: "a\xffb"})
	var clean everything
	if err := Read(data, &clean, testLimit); err != nil || clean.Text != "a\uFFFDb" {
		t.Errorf("got %q, %v", clean.Text, err)
	}
}

// TestPipe: a pipe sends messages up to its limit, and refuses malformed ones.
func TestPipe(t *testing.T) {
	var b bytes.Buffer
	p := NewPipe(&b, &b, 100)
	if err := p.Send(everything{Text: strings.Repeat("x", 100)}); !errors.Is(err, ErrTooBig) || b.Len() != 0 {
		t.Errorf("got %v, %d bytes sent", err, b.Len())
	}
	if err := p.Send(everything{Text: "x"}); err != nil {
		t.Fatal(err)
	}
	var m everything
	if n, err := p.Receive(&m); err != nil || m.Text != "x" || n == 0 {
		t.Errorf("got %+v of %d bytes, %v", m, n, err)
	}
	if _, err := p.Receive(&m); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	b.WriteString("\x00\x00\x00\x01\x07")
	if _, err := p.Receive(&m); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

type graphMessage struct{ Graph *plan.Graph }

// TestWireMemory has messages that claim to hold as much as they can.
func TestWireMemory(t *testing.T) {
	const size = 1 << 20
	graph := func(list int) []byte { // all zero, but that one of the graph's lists fills the message
		data := []byte{1, 0, 0} // there is a graph; version, entry
		data = append(data, make([]byte, list)...)
		data = append(data, 0x80, 0x80, 0x3c) // a length just below what follows
		return append(data, make([]byte, size)...)
	}
	for list := range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var m graphMessage
		err := Read(graph(list), &m, testLimit)
		runtime.ReadMemStats(&after)
		took := after.TotalAlloc - before.TotalAlloc
		t.Logf("list %d: %v, %d MiB allocated", list, err, took>>20)
		if err == nil || took > growth*(size+size/8)+2*smallRead {
			t.Errorf("list %d: %v, %d MiB allocated", list, err, took>>20)
		}
	}
	deep := bytes.Repeat([]byte{1, 'l', 0, 1}, 100_000) // a type within a type within …
	var typ plan.Type
	if err := Read(deep, &typ, testLimit); err == nil || !strings.Contains(err.Error(), "too deep") {
		t.Errorf("got %v", err)
	}
}
