package console

import (
	"fmt"
	"strings"

	"github.com/flytestar/flytestar/internal/text"
)

// Bounds of what is shown of logs. A name before each line must not make much of a log that is small.
const (
	maxName  = 48       // columns of a name before a line
	maxLog   = 16 << 20 // bytes of one attempt, or of all that is printed, with the names
	maxEmpty = 2        // empty lines after one another
)

// shownLog is what was shown of a log.
type shownLog struct {
	bytes int
	empty int // the latest lines, if they are empty
}

// log shows lines of a task's log, or of what was printed. key tells logs apart.
func (c *Console) log(key, task, lines string) {
	l := c.logs[key]
	if l == nil {
		l = &shownLog{}
		c.logs[key] = l
	}
	name := shortName(task)
	for line := range strings.SplitSeq(lines, "\n") {
		if c.board != nil {
			line = text.SafeLine(line)
		}
		c.logLine(l, name, line)
	}
}

func (c *Console) logLine(l *shownLog, name, line string) {
	if strings.TrimRight(line, " \t\r") == "" {
		if l.empty++; l.empty > maxEmpty {
			return
		}
	} else {
		if n := l.empty - maxEmpty; n > 0 {
			c.shownLine(l, name, fmt.Sprintf("(%d more empty lines)", n))
		}
		l.empty = 0
	}
	c.shownLine(l, name, line)
}

// shownLine writes one line, unless there were too many.
func (c *Console) shownLine(l *shownLog, name, line string) {
	before := l.bytes
	l.bytes += len(name) + len(line) + len(" | \n")
	switch {
	case l.bytes <= maxLog:
		c.say("%s | %s", name, line)
	case before <= maxLog:
		c.say("%s | (what follows isn't shown; runs/ in flytestar's home has whole logs)", name)
	}
}

// shortName shortens the middle of a long name: its end tells tasks apart.
func shortName(name string) string {
	name = text.Safe(strings.ReplaceAll(name, "\n", " "))
	if text.Width(name) <= maxName {
		return name
	}
	runes := []rune(name)
	return text.Cut(name, maxName/2-1) + "…" + string(runes[max(0, len(runes)-maxName/2):])
}
