package oci

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Layers are compressed with gzip, which every tool that reads images can read: umoci before 0.5
// and Docker before 23 don't know zstd. gzip is slow because it is serial. So the stream is cut
// into members of a fixed size, which are compressed in parallel: a sequence of members is a valid
// gzip stream. Each member has its length in an extra field of its header, so that members can be
// decompressed in parallel too.
const (
	memberSize  = 1 << 20            // bytes of input in a member
	memberLevel = gzip.BestSpeed     // 243 MB/s a core at ratio 0.37, where level 6 has 121 MB/s at 0.32
	memberHead  = 10 + 2 + 4 + 4     // gzip header, length of the extra field, subfield header, subfield
	memberMax   = memberSize * 5 / 4 // what a member can take, compressed
)

// memberExtra is the extra field without the member's length: subfield "FS", 4 bytes, little
// endian.
var memberExtra = []byte{'F', 'S', 4, 0, 0, 0, 0, 0}

// compress returns data as one gzip member.
func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	zw, err := gzip.NewWriterLevel(&out, memberLevel)
	if err != nil {
		return nil, err
	}
	zw.Extra = memberExtra
	if _, err := zw.Write(data); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	b := out.Bytes()
	binary.LittleEndian.PutUint32(b[memberHead-4:], uint32(len(b)))
	return b, nil
}

// chunk is a member, or its content, as a worker returns it.
type chunk struct {
	data []byte
	err  error
}

// gzipWriter compresses members in parallel and writes them in order.
type gzipWriter struct {
	buf   []byte
	queue chan chan chunk // members in work, in order; its capacity bounds how many
	done  chan struct{}   // the writing goroutine has ended
	err   error           // of the writing goroutine, valid once done is closed
}

// newGzipWriter returns a writer onto w, which its caller must Close.
func newGzipWriter(w io.Writer) *gzipWriter {
	z := &gzipWriter{queue: make(chan chan chunk, runtime.GOMAXPROCS(0)), done: make(chan struct{})}
	go func() {
		defer close(z.done)
		for member := range z.queue {
			c := <-member
			if z.err == nil {
				z.err = c.err
			}
			if z.err == nil {
				_, z.err = w.Write(c.data)
			}
		}
	}()
	return z
}

// Write implements io.Writer. Errors of the underlying writer come from Close.
func (z *gzipWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if z.buf == nil {
			z.buf = make([]byte, 0, memberSize)
		}
		room := min(len(p), memberSize-len(z.buf))
		z.buf, p = append(z.buf, p[:room]...), p[room:]
		if len(z.buf) == memberSize {
			z.flush()
		}
	}
	return n, nil
}

func (z *gzipWriter) flush() {
	data, member := z.buf, make(chan chunk, 1)
	z.buf = nil
	z.queue <- member
	go func() {
		b, err := compress(data)
		member <- chunk{b, err}
	}()
}

// Close writes what is left and returns the first error. It doesn't close the underlying writer.
func (z *gzipWriter) Close() error {
	if len(z.buf) > 0 {
		z.flush()
	}
	close(z.queue)
	<-z.done
	return z.err
}

// decompressed reads the blob of a layer from whatever tool: gzip in our members, any other gzip,
// zstd, or no compression at all. Closing it closes blob.
func decompressed(blob io.ReadCloser) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(blob, 1<<16)
	head, err := br.Peek(memberHead)
	if err != nil && !errors.Is(err, io.EOF) {
		blob.Close()
		return nil, err
	}
	switch {
	case len(head) == memberHead && head[0] == 0x1f && head[1] == 0x8b && bytes.Equal(head[10:16], append([]byte{8, 0}, memberExtra[:4]...)):
		return newMemberReader(br, blob), nil
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		zr, err := gzip.NewReader(br)
		if err != nil {
			blob.Close()
			return nil, err
		}
		zr.Multistream(false)
		return &stacked{&anyGzip{zr, br}, []io.Closer{zr, blob}}, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		zr, err := zstd.NewReader(br)
		if err != nil {
			blob.Close()
			return nil, err
		}
		return &stacked{zr, []io.Closer{zr.IOReadCloser(), blob}}, nil
	}
	if name := otherCompression(head); name != "" {
		blob.Close()
		return nil, fmt.Errorf("it is compressed with %s: layers are compressed with gzip or zstd, or not at all", name)
	}
	return &stacked{br, []io.Closer{blob}}, nil
}

// anyGzip reads gzip members one after the other. What follows them and isn't gzip is ignored, as
// gzip does: some tools pad their output. The digests of layers say whether anything is missing.
type anyGzip struct {
	member *gzip.Reader
	in     *bufio.Reader
}

// Read implements [io.Reader].
func (a *anyGzip) Read(p []byte) (int, error) {
	for {
		n, err := a.member.Read(p)
		if err != io.EOF {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
		if head, _ := a.in.Peek(2); !bytes.Equal(head, []byte{0x1f, 0x8b}) {
			return 0, io.EOF
		}
		if err := a.member.Reset(a.in); err != nil {
			return 0, err
		}
		a.member.Multistream(false)
	}
}

// otherCompression names a compression that layers don't have, by how its streams begin.
func otherCompression(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return "xz"
	case len(head) >= 10 && string(head[4:10]) == "1AY&SY":
		return "bzip2"
	}
	return ""
}

// stacked is a reader that closes others when it is closed, in their order.
type stacked struct {
	io.Reader
	under []io.Closer
}

// Close implements io.Closer.
func (s *stacked) Close() error {
	var errs []error
	for _, c := range s.under {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// memberReader decompresses members in parallel.
type memberReader struct {
	queue chan chan chunk // members in work, in order
	quit  chan struct{}   // closed by Close
	done  chan struct{}   // the reading goroutine has ended
	once  sync.Once
	blob  io.Closer
	cur   []byte
	err   error
}

func newMemberReader(r io.Reader, blob io.Closer) *memberReader {
	m := &memberReader{
		queue: make(chan chan chunk, runtime.GOMAXPROCS(0)),
		quit:  make(chan struct{}), done: make(chan struct{}), blob: blob,
	}
	go m.split(r)
	return m
}

// split reads members and hands each to a goroutine of its own.
func (m *memberReader) split(r io.Reader) {
	defer close(m.done)
	defer close(m.queue)
	for {
		data, err := readMember(r)
		if err == io.EOF {
			return
		}
		member := make(chan chunk, 1)
		select {
		case m.queue <- member:
		case <-m.quit:
			return
		}
		if err != nil {
			member <- chunk{err: err}
			return
		}
		go func() { member <- expand(data) }()
	}
}

// readMember reads one member. At the end of the stream it returns io.EOF.
func readMember(r io.Reader) ([]byte, error) {
	head := make([]byte, memberHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[memberHead-4:])
	if n < memberHead || n > memberMax {
		return nil, fmt.Errorf("gzip member claims %d bytes", n)
	}
	data := make([]byte, n)
	copy(data, head)
	if _, err := io.ReadFull(r, data[memberHead:]); err != nil {
		return nil, fmt.Errorf("gzip member is cut off: %w", err)
	}
	return data, nil
}

func expand(member []byte) chunk {
	zr, err := gzip.NewReader(bytes.NewReader(member))
	if err != nil {
		return chunk{err: err}
	}
	out := bytes.NewBuffer(make([]byte, 0, memberSize+bytes.MinRead))
	n, err := io.Copy(out, io.LimitReader(zr, memberSize+1))
	if err == nil && n > memberSize {
		err = fmt.Errorf("gzip member expands beyond %d bytes", memberSize)
	}
	return chunk{out.Bytes(), err}
}

// Read implements io.Reader.
func (m *memberReader) Read(p []byte) (int, error) {
	for len(m.cur) == 0 && m.err == nil {
		member, ok := <-m.queue
		if !ok {
			m.err = io.EOF
			break
		}
		c := <-member
		m.cur, m.err = c.data, c.err
	}
	if len(m.cur) == 0 {
		return 0, m.err
	}
	n := copy(p, m.cur)
	m.cur = m.cur[n:]
	return n, nil
}

// Close stops the reading goroutine and closes the blob.
func (m *memberReader) Close() error {
	m.once.Do(func() { close(m.quit) })
	<-m.done
	return m.blob.Close()
}
