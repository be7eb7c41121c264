package engine

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/flytestar/flytestar/internal/text"
)

// Bounds of logs, in bytes and lines.
const (
	maxLogLine  = 8 << 10  // a longer line is streamed in pieces
	maxBatch    = 8 << 10  // lines that are passed on together, unless the last makes it more
	maxShown    = 16 << 20 // the rest isn't passed on
	maxLog      = 1 << 30  // the rest is dropped
	maxTail     = 4 << 10  // of the end that a failure quotes
	maxTailLine = 20
)

// batchFor is how long a line waits for others, to be passed on with them: an event is much larger
// than a line may be.
const batchFor = 50 * time.Millisecond

// attemptLog takes an attempt's output. It writes all of it to a file, passes lines to the watcher,
// and keeps the end for a failure to quote. An attempt that writes nothing has no file.
type attemptLog struct {
	text.Tail
	path string       // empty after Close if there is no file
	file *os.File     // nil until something is written
	show func(string) // given lines, with newlines between, as valid UTF-8
	rest []byte       // of a line that hasn't ended
	size int64
	err  error // the first error of writing

	mu    sync.Mutex // guards what follows
	batch []byte     // lines to pass on
	lines int        // in batch
	shown int        // bytes that were passed on
	timer *time.Timer
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
	l.mu.Lock()
	defer l.mu.Unlock()
	l.split(p)
	if l.lines > 0 && l.timer == nil {
		l.timer = time.AfterFunc(batchFor, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.flush()
		})
	}
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

// split passes on the lines that end in p.
func (l *attemptLog) split(p []byte) {
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
	if l.lines > 0 {
		l.batch = append(l.batch, '\n')
	}
	l.batch = append(l.batch, bytes.TrimSuffix(line, []byte("\r"))...)
	if l.lines++; len(l.batch) >= maxBatch {
		l.flush()
	}
}

// flush passes on the lines that wait.
func (l *attemptLog) flush() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if l.lines == 0 {
		return
	}
	if l.shown <= maxShown {
		l.shown += len(l.batch) + 1
		l.show(strings.ToValidUTF8(string(l.batch), "\uFFFD"))
		if l.shown > maxShown {
			l.show(fmt.Sprintf("[what follows isn't shown: the log has more than %d MiB; all of it is in %s]", maxShown>>20, l.path))
		}
	}
	l.batch, l.lines = l.batch[:0], 0
}

// Close passes on the last line if it has no end, and returns the first error.
func (l *attemptLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.send(l.rest)
		l.rest = nil
	}
	l.flush()
	if l.file == nil {
		l.path = ""
		return l.err
	}
	if err := l.file.Close(); l.err == nil {
		l.err = err
	}
	return l.err
}
