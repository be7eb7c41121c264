package text

import (
	"bytes"
	"strings"
	"sync"
)

// Tail keeps the end of what is written to it. Its methods may be called concurrently.
type Tail struct {
	Bytes int // of the end; at least 1
	Lines int // of the end; 0: as many as there are

	mu      sync.Mutex
	buf     []byte
	dropped bool // something was written before buf
}

// Write implements io.Writer. It never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p) > t.Bytes {
		t.buf, t.dropped = append(t.buf[:0], p[len(p)-t.Bytes:]...), true
		return len(p), nil
	}
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.Bytes { // seldom, so that writing bytes one by one stays cheap
		t.buf, t.dropped = append(t.buf[:0], t.buf[len(t.buf)-t.Bytes:]...), true
	}
	return len(p), nil
}

// String returns the last lines, as valid UTF-8 and without the newlines at the end. A line whose
// beginning was dropped is left out, unless it is the only one.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	tail, dropped := t.buf, t.dropped
	if len(tail) > t.Bytes {
		tail, dropped = tail[len(tail)-t.Bytes:], true
	}
	tail = bytes.TrimRight(tail, "\n")
	if dropped {
		if i := bytes.IndexByte(tail, '\n'); i >= 0 {
			tail = tail[i+1:]
		}
	}
	lines := bytes.Split(tail, []byte("\n"))
	if t.Lines > 0 {
		lines = lines[max(0, len(lines)-t.Lines):]
	}
	return strings.ToValidUTF8(string(bytes.Join(lines, []byte("\n"))), "\uFFFD")
}
