package console

import (
	"strings"
	"testing"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// story returns the events of a build and a run.
func story() []exec.Event {
	at := time.Unix(0, 0)
	events := []exec.Event{
		{Kind: exec.ImageStep, Image: "msa_env", Step: "pip pytest", Bytes: 1_500_000, Total: 3_000_000},
		{Kind: exec.ImageStep, Image: "msa_env", Step: "pip pytest", Bytes: 2_000_000, Total: 3_000_000},
		{Kind: exec.ImageHit, Image: "fold_env", Digest: "sha256:0123456789abcdef"},
		{Kind: exec.ImageDone, Image: "msa_env", Digest: "sha256:0123456789abcdef"},
		{Kind: exec.ActionQueued, Task: "e.a", Action: "1"},
		{Kind: exec.ActionQueued, Task: "e.a", Action: "2"},
		{Kind: exec.ActionStarted, Task: "e.a", Action: "1"},
		{Kind: exec.ActionLog, Task: "e.a", Action: "1", Line: "50%\r\x1b[31mred"},
		{Kind: exec.ActionFailed, Task: "e.a", Action: "1", Error: &plan.Failure{Message: "exit code 3\nmore"}},
		{Kind: exec.Warning, Msg: "disk is nearly full"},
	}
	for i := range events {
		events[i].Time = at.Add(time.Duration(i) * time.Second)
	}
	return events
}

// TestPrint: each line that Starlark prints says who printed it.
func TestPrint(t *testing.T) {
	var b strings.Builder
	c := New(&b, false, false)
	c.Print(diag.Position{}, "e.main", "hello\ntask e.main: done in 0.0s\n")
	c.Print(diag.Position{File: "a.star", Line: 2, Col: 1}, "", "flytestar: warning: fake")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	const want = "e.main | hello\ne.main | task e.main: done in 0.0s\ne.main | \na.star:2:1 | flytestar: warning: fake\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestLogShown: names and empty lines don't make much of a small log, and a large one ends with a
// note.
func TestLogShown(t *testing.T) {
	name := strings.Repeat("long_", 20) + ".end"
	var b strings.Builder
	c := New(&b, false, false)
	c.Watch(exec.Event{Kind: exec.ActionLog, Task: name, Action: "1", Line: "a" + strings.Repeat("\n", 1000) + "b"})
	short := "long_long_long_long_lon…long_long_long_long_.end"
	want := short + " | a\n" + strings.Repeat(short+" | \n", 2) + short + " | (997 more empty lines)\n" + short + " | b\n"
	if b.String() != want {
		t.Errorf("got %s, want %s", b.String(), want)
	}
	b.Reset()
	for range 40 {
		c.Watch(exec.Event{Kind: exec.ActionLog, Task: name, Action: "1", Line: strings.Repeat("x\n", 50_000)})
	}
	if got := b.String(); len(got) > maxLog+1000 || !strings.HasSuffix(got, "(what follows isn't shown; runs/ in flytestar's home has whole logs)\n") {
		t.Errorf("%d bytes, at the end %q", len(got), got[len(got)-100:])
	}
}

// TestNoForgedLines: what a workflow names doesn't make lines of its own.
func TestNoForgedLines(t *testing.T) {
	var b strings.Builder
	c := New(&b, false, false)
	c.Watch(exec.Event{Kind: exec.ImageStep, Image: "e", Step: "commands true\ntask e.a: done in 0.1s"})
	c.Watch(exec.Event{Kind: exec.Warning, Msg: "one\nflytestar: two"})
	want := "image e: commands true\\ntask e.a: done in 0.1s\nflytestar: warning: one\n    flytestar: two\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestPlainLines(t *testing.T) {
	for _, test := range []struct {
		quiet bool
		want  string
	}{
		{true, "flytestar: warning: disk is nearly full\n"},
		{false, `image msa_env: pip pytest
image msa_env: built sha256:0123456789ab in 3.0s
task e.a: started
e.a | 50%` + "\r\x1b[31mred" + `
task e.a: failed: exit code 3
flytestar: warning: disk is nearly full
`},
	} {
		var b strings.Builder
		c := New(&b, test.quiet, false)
		for _, e := range story() {
			c.Watch(e)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if b.String() != test.want {
			t.Errorf("quiet %v: got\n%q\nwant\n%q", test.quiet, b.String(), test.want)
		}
	}
}

func TestBoard(t *testing.T) {
	b := newBoard()
	events := story()
	rows := func(n int) string {
		for _, e := range events[:n] {
			b.update(e)
		}
		events = events[n:]
		return strings.Join(b.rows(time.Unix(10, 0), 5), "\n")
	}
	if got, want := rows(2), "image msa_env               10.0s  pip pytest  2.0 of 3.0 MB"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := rows(5), "task  e.a                    6.0s  1 running, 1 queued"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := rows(2), "task  e.a                    6.0s  0 running, 1 queued, 1 failed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRedraw draws on a small model of a terminal. Lines that stay are above, the board is below,
// and nothing is left over.
func TestRedraw(t *testing.T) {
	var b strings.Builder
	c := &Console{w: &b, board: newBoard(), size: func() (int, int, error) { return 30, 20, nil },
		steps: map[string]step{}, began: map[string]time.Time{}, logs: map[string]*shownLog{}}
	now := time.Unix(10, 0)
	for _, e := range story() {
		c.Watch(e)
		c.draw(c.rows(now))
		for _, row := range c.rows(now) {
			if text.Width(row) > 29 {
				t.Errorf("row %q is wider than the terminal", row)
			}
		}
	}
	c.draw(nil)
	want := `image msa_env: built sha256:0123456789ab in 3.0s
e.a | \x1b[31mred
task e.a: failed: exit code 3
flytestar: warning: disk is nearly full`
	if got := screen(b.String()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// screen returns what a terminal shows after s. It knows only the sequences that draw writes.
func screen(s string) string {
	var lines []string
	row := 0
	for _, part := range strings.SplitAfter(s, "\n") {
		if rest, ok := strings.CutPrefix(part, "\x1b["); ok && strings.Contains(rest, "A\r") {
			n := 0
			for rest[0] != 'A' {
				n, rest = n*10+int(rest[0]-'0'), rest[1:]
			}
			row, part = row-n, rest[2:]
		}
		if rest, ok := strings.CutPrefix(part, "\x1b[J"); ok {
			lines, part = lines[:row], rest
		}
		if part == "" {
			continue
		}
		text := strings.TrimSuffix(part, "\x1b[K\n")
		lines = append(lines[:row], append([]string{text}, lines[min(row+1, len(lines)):]...)...)
		row++
	}
	return strings.Join(lines[:row], "\n")
}
