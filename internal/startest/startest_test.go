package startest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/flytestar/flytestar/diag"
)

func TestChunks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.star")
	source := "a ### \"first\" `second`\n---\nb\n=== lib/c.star\nc ### \"third\"\n"
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	chunks := Read(t, file)
	if len(chunks) != 2 {
		t.Fatalf("got %d chunks, want 2", len(chunks))
	}
	if got, want := string(chunks[1].Files["lib/c.star"]), "\n\n\n\nc ### \"third\"\n\n"; got != want {
		t.Errorf("lib/c.star is %q, want %q", got, want)
	}
	if _, err := chunks[1].ReadModule("lib/none.star"); err == nil {
		t.Error("a module that isn't there was read")
	}
	if got := string(chunks[1].Files[Entry]); got != "\n\nb\n" {
		t.Errorf("the second chunk is %q", got)
	}
	at := func(line int, msg string) *diag.Error {
		return &diag.Error{Pos: diag.Position{File: Entry, Line: line}, Msg: msg}
	}
	tests := []struct {
		chunk int
		got   diag.List
		want  []string
	}{
		{0, diag.List{at(1, "the second"), at(1, "the first")}, nil},
		{0, diag.List{at(1, "the first")}, []string{`line 1: expected an error matching "second"`}},
		{0, diag.List{at(1, "the first"), at(1, "the second"), at(2, "more")}, []string{"test.star:2: unexpected: more"}},
		{1, nil, []string{`line 5: expected an error matching "third"`}},
		{1, diag.List{at(5, "third"), at(5, "third")}, []string{"test.star:5: unexpected: third"}},
	}
	for i, test := range tests {
		if got := chunks[test.chunk].compare(test.got); !slices.Equal(got, test.want) {
			t.Errorf("%d: got %q, want %q", i, got, test.want)
		}
	}
}
