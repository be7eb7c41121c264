// Package startest reads tests that are Starlark files. Each expected error is written beside the
// line that causes it:
//
//	x = 1 + "" ### "unknown binary op"
//	---
//	load("lib.star", "y")
//	y() ### "too deep" "second finding of the line"
//	=== lib.star
//	def y(): pass
//
// A line "---" ends a chunk. Each chunk is its own workspace. Its first file is [Entry]; a line
// "=== PATH" begins another. Files are padded with empty lines, so a line number is the same in the
// module and in the test file.
//
// Expectations are matched both ways: the test fails for an unexpected error, and for an
// expectation without an error.
package startest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/diag"
)

// Entry is the path of a chunk's first file.
const Entry = "test.star"

// Chunk is one workspace, and the errors that it must give.
type Chunk struct {
	Name  string // "FILE:LINE", for t.Run
	Files map[string][]byte
	want  map[int][]*regexp.Regexp // by line
}

// Read splits a test file into its chunks.
func Read(t testing.TB, file string) []Chunk {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var chunks []Chunk
	for i, line := range strings.Split(string(data), "\n") {
		if i == 0 {
			chunks = append(chunks, newChunk(file, 1))
		}
		if line == "---" {
			chunks = append(chunks, newChunk(file, i+2))
			continue
		}
		if err := chunks[len(chunks)-1].add(line, i+1); err != nil {
			t.Fatalf("%s:%d: %v", file, i+1, err)
		}
	}
	for i := range chunks {
		delete(chunks[i].Files, "")
	}
	return chunks
}

// newChunk begins a chunk at a line. Lines count from 1.
func newChunk(file string, line int) Chunk {
	return Chunk{
		Name:  fmt.Sprintf("%s:%d", file, line),
		Files: map[string][]byte{Entry: padding(line - 1), "": []byte(Entry)},
		want:  map[int][]*regexp.Regexp{},
	}
}

func padding(lines int) []byte { return []byte(strings.Repeat("\n", lines)) }

// add takes the next line. Files[""] holds the path of the file that the line belongs to.
func (c *Chunk) add(line string, number int) error {
	if name, ok := strings.CutPrefix(line, "=== "); ok {
		c.Files[""] = []byte(name)
		c.Files[name] = padding(number)
		return nil
	}
	current := string(c.Files[""])
	c.Files[current] = append(c.Files[current], line+"\n"...)
	_, rest, ok := strings.Cut(line, "###")
	for rest = strings.TrimSpace(rest); ok && rest != ""; rest = strings.TrimSpace(rest) {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return fmt.Errorf("not a quoted regexp: %s", rest)
		}
		pattern, err := strconv.Unquote(quoted)
		if err != nil {
			return err
		}
		rx, err := regexp.Compile(pattern)
		if err != nil {
			return err
		}
		c.want[number] = append(c.want[number], rx)
		rest = rest[len(quoted):]
	}
	return nil
}

// ReadModule returns a file of the chunk, so that a loader can read from a Chunk.
func (c *Chunk) ReadModule(path string) ([]byte, error) {
	data, ok := c.Files[path]
	if !ok {
		return nil, &diag.Error{Msg: fmt.Sprintf("no module %q", path), Err: fs.ErrNotExist}
	}
	return data, nil
}

// Match compares err with the expectations. err is nil, a *diag.Error or a diag.List; warnings
// count too. Each pattern is matched against the [Text] of the findings on its line.
func (c *Chunk) Match(t testing.TB, err error) {
	t.Helper()
	for _, problem := range c.compare(findings(err)) {
		t.Errorf("%s", problem)
	}
}

// compare returns the differences from the expectations, in the order of lines.
func (c *Chunk) compare(got diag.List) []string {
	var problems []string
	open := map[int][]*regexp.Regexp{}
	for line, patterns := range c.want {
		open[line] = append([]*regexp.Regexp(nil), patterns...)
	}
	for _, e := range got {
		if !take(open, e) {
			problems = append(problems, fmt.Sprintf("%s: unexpected: %s", e.Pos, Text(e)))
		}
	}
	var missing []string
	for line, patterns := range open {
		for _, rx := range patterns {
			missing = append(missing, fmt.Sprintf("line %d: expected an error matching %q", line, rx))
		}
	}
	sort.Strings(missing)
	return append(problems, missing...)
}

// take removes the first open expectation that e meets, and reports whether there was one.
func take(open map[int][]*regexp.Regexp, e *diag.Error) bool {
	patterns := open[e.Pos.Line]
	for i, rx := range patterns {
		if rx.MatchString(Text(e)) {
			open[e.Pos.Line] = append(patterns[:i:i], patterns[i+1:]...)
			return true
		}
	}
	return false
}

// Text returns a finding on one line: "warning: message [code]; hint: …; note: POSITION: …".
func Text(e *diag.Error) string {
	var b strings.Builder
	if e.IsWarning() {
		b.WriteString(string(e.Severity) + ": ")
	}
	b.WriteString(e.Msg)
	if e.Code != "" {
		b.WriteString(" [" + e.Code + "]")
	}
	if e.Hint != "" {
		b.WriteString("; hint: " + e.Hint)
	}
	for _, n := range e.Notes {
		b.WriteString("; note: " + n.Pos.String() + ": " + n.Msg)
	}
	return b.String()
}

// findings returns the findings in err as a flat list.
func findings(err error) diag.List {
	var list diag.List
	var one *diag.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &list):
		return list
	case errors.As(err, &one):
		return diag.List{one}
	}
	return diag.List{{Msg: err.Error()}}
}
