package process

import (
	"io"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec"
)

func TestTail(t *testing.T) {
	var log tail
	for range 5000 {
		io.WriteString(&log, "line\n")
	}
	io.WriteString(&log, "Looking in indexes: https://me:secret@index.example/simple\n\x1b[31mred\n\xff\n")
	lines := log.lines()
	text := strings.Join(lines, "\n")
	if len(lines) != tailLines || strings.Contains(text, "secret") || strings.Contains(text, "\x1b") || !strings.HasSuffix(text, "https://index.example/simple\n[31mred\n?") {
		t.Errorf("%d lines:\n%s", len(lines), text)
	}
}

func TestFailures(t *testing.T) {
	for want, exit := range map[string]exec.Exit{"ran out of memory": {Code: 137, Signal: "SIGKILL", OOM: true}, "was killed by SIGTERM": {Code: 143, Signal: "SIGTERM"}} {
		if got := (&Failed{exit, nil}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
