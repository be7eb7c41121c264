package exec

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Bounds of logs, in bytes and lines.
const (
	maxLogLine  = 8 << 10 // a longer line is streamed in pieces
	maxLog      = 1 << 30 // what comes after is dropped
	maxTail     = 4 << 10 // of what a failure quotes
	maxTailLine = 20
)

// attemptLog is where an attempt's output goes: whole into a file, line by
// line to the watcher, and its end is kept for a failure to quote.
type attemptLog struct {
	path string
	file *os.File
	line func(string)
	rest []byte // of a line that hasn't ended
	tail []byte // the last maxTail bytes
	size int64
	err  error // the first of writing
}

// openLog makes the log's file, and calls line with each line, as valid UTF-8.
func openLog(path string, line func(string)) (*attemptLog, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &attemptLog{path: path, file: f, line: line}, nil
}

// Write implements io.Writer. It takes everything, so that the attempt doesn't
// block or die for its log; Close returns what went wrong.
func (l *attemptLog) Write(p []byte) (int, error) {
	n := len(p)
	if l.size >= maxLog {
		return n, nil
	}
	if l.size += int64(n); l.size >= maxLog {
		p = fmt.Appendf(p[:len(p):len(p)], "\n[the log ends here: it has more than %d bytes]\n", maxLog)
	}
	if _, err := l.file.Write(p); err != nil && l.err == nil {
		l.err = err
	}
	l.tail = append(l.tail, p...)
	if len(l.tail) > maxTail {
		l.tail = append(l.tail[:0], l.tail[len(l.tail)-maxTail:]...)
	}
	l.lines(p)
	return n, nil
}

// lines streams the lines that p ends.
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

// Close streams a last line without an end, and returns the first error.
func (l *attemptLog) Close() error {
	if len(l.rest) > 0 {
		l.send(l.rest)
		l.rest = nil
	}
	if err := l.file.Close(); l.err == nil {
		l.err = err
	}
	return l.err
}

// Tail returns the log's last lines, as valid UTF-8.
func (l *attemptLog) Tail() string {
	tail := bytes.TrimRight(l.tail, "\n")
	if len(l.tail) == maxTail { // the first line may have been cut
		if i := bytes.IndexByte(tail, '\n'); i >= 0 {
			tail = tail[i+1:]
		}
	}
	lines := bytes.Split(tail, []byte("\n"))
	lines = lines[max(0, len(lines)-maxTailLine):]
	return strings.ToValidUTF8(string(bytes.Join(lines, []byte("\n"))), "\uFFFD")
}
