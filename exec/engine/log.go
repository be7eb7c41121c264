package engine

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/flytestar/flytestar/internal/text"
)

// Bounds of logs, in bytes and lines.
const (
	maxLogLine  = 8 << 10 // a longer line is streamed in pieces
	maxLog      = 1 << 30 // the rest is dropped
	maxTail     = 4 << 10 // of the end that a failure quotes
	maxTailLine = 20
)

// attemptLog takes an attempt's output. It writes all of it to a file, passes each line to the
// watcher, and keeps the end for a failure to quote. An attempt that writes nothing has no file.
type attemptLog struct {
	text.Tail
	path string       // empty after Close if there is no file
	file *os.File     // nil until something is written
	line func(string) // given each line, as valid UTF-8
	rest []byte       // of a line that hasn't ended
	size int64
	err  error // the first error of writing
}

// Write implements io.Writer. It never fails, so that an attempt doesn't block or die because of its
// log. Close returns what went wrong.
func (l *attemptLog) Write(p []byte) (int, error) {
	n := len(p)
	if l.size >= maxLog {
		return n, nil
	}
	if l.size += int64(n); l.size >= maxLog {
		p = fmt.Appendf(p[:len(p):len(p)], "\n[the log ends here: it has more than %d bytes]\n", maxLog)
	}
	if l.err == nil {
		l.err = l.keep(p)
	}
	l.Tail.Write(p) // never fails
	l.lines(p)
	return n, nil
}

// keep appends p to the file. The first call makes the file.
func (l *attemptLog) keep(p []byte) (err error) {
	if l.file == nil {
		if l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644); err != nil {
			return err
		}
	}
	_, err = l.file.Write(p)
	return err
}

// lines passes on the lines that end in p.
func (l *attemptLog) lines(p []byte) {
	l.rest = append(l.rest, p...)
	from := 0
	for {
		rest := l.rest[from:]
		end := bytes.IndexByte(rest, '\n')
		switch {
		case end >= 0 && end <= maxLogLine:
			l.send(rest[:end])
			from += end + 1
			continue
		case len(rest) > maxLogLine:
			l.send(rest[:maxLogLine])
			from += maxLogLine
			continue
		}
		break
	}
	l.rest = append(l.rest[:0], l.rest[from:]...)
}

func (l *attemptLog) send(line []byte) {
	l.line(strings.ToValidUTF8(strings.TrimSuffix(string(line), "\r"), "\uFFFD"))
}

// Close passes on the last line if it has no end, and returns the first error.
func (l *attemptLog) Close() error {
	if len(l.rest) > 0 {
		l.send(l.rest)
		l.rest = nil
	}
	if l.file == nil {
		l.path = ""
		return l.err
	}
	if err := l.file.Close(); l.err == nil {
		l.err = err
	}
	return l.err
}
