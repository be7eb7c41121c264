package process

import (
	"io"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/text"
)

func TestTail(t *testing.T) {
	log := &text.Tail{Bytes: tailBytes, Lines: tailLines}
	for range 5000 {
		io.WriteString(log, "line\n")
	}
	io.WriteString(log, "Looking in indexes: https://me:secret@index.example/simple\n\x1b[31mred\n\xff\n")
	lines := lastLines(log)
	end := strings.Join(lines, "\n")
	if len(lines) != tailLines || strings.Contains(end, "secret") || strings.Contains(end, "\x1b") || !strings.HasSuffix(end, "https://index.example/simple\n\\x1b[31mred\n\uFFFD") {
		t.Errorf("%d lines:\n%s", len(lines), end)
	}
}

func TestFailures(t *testing.T) {
	for want, exit := range map[string]exec.Exit{"ran out of memory": {Code: 137, Signal: "SIGKILL", OOM: true}, "was killed by SIGTERM": {Code: 143, Signal: "SIGTERM"}} {
		if got := (&Failed{Exit: exit}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
