package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Pipe sends and receives messages. A message is its length in four bytes, the most significant
// first, and then its written form. Several goroutines may call Send; one calls Receive.
type Pipe struct {
	r     *bufio.Reader
	limit int64 // bytes of a message

	later sync.Mutex // held by the one caller of SendLater that competes for mu
	mu    sync.Mutex
	w     io.Writer
}

// NewPipe returns a Pipe that reads from r and writes to w. limit bounds a message, in bytes.
func NewPipe(r io.Reader, w io.Writer, limit int64) *Pipe {
	return &Pipe{r: bufio.NewReaderSize(r, 64<<10), w: w, limit: limit}
}

// SetLimit changes the bound of a message, in bytes. Nothing else may use the pipe during the call.
func (p *Pipe) SetLimit(limit int64) { p.limit = limit }

// Errors of sending and receiving.
var (
	ErrTooBig    = errors.New("message is too big") // to send: nothing of it has been sent
	ErrMalformed = errors.New("malformed message")  // received
)

// SendLater is [Pipe.Send] for messages of which thousands may wait. At most one of them is before a
// message that Send is called with.
func (p *Pipe) SendLater(message any) error {
	p.later.Lock()
	defer p.later.Unlock()
	return p.Send(message)
}

// Send writes a message: a struct, or a pointer to one.
func (p *Pipe) Send(message any) error {
	b, taken := Append(make([]byte, 4), message)
	size := len(b) - 4
	switch {
	case int64(size) > p.limit:
		return fmt.Errorf("%w: %d bytes, more than %d", ErrTooBig, size, p.limit)
	case taken > room(p.limit):
		return fmt.Errorf("%w: %d bytes in memory, more than %d", ErrTooBig, taken, room(p.limit))
	}
	binary.BigEndian.PutUint32(b, uint32(size))
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.w.Write(b)
	return err
}

// Receive reads the next message into an empty one and returns its size in bytes. Its error is
// io.EOF at the end, and wraps ErrMalformed if what came isn't such a message.
func (p *Pipe) Receive(message any) (int, error) {
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return 0, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if int64(size) > p.limit {
		return 0, fmt.Errorf("%w: %d bytes, more than %d", ErrMalformed, size, p.limit)
	}
	// The length is a claim, but memory that nothing is written to costs nothing.
	data := make([]byte, size)
	if _, err := io.ReadFull(p.r, data); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	if err := Read(data, message, p.limit); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return len(data), nil
}
