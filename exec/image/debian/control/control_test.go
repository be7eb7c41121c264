package control

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse([]byte("# a comment\nPackage: a\nDescription: short\n long\n .\n\n\nPackage: b\r\nEmpty:\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Paragraph{
		{{"Package", "a"}, {"Description", "short\n long\n ."}},
		{{"Package", "b"}, {"Empty", ""}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for text, msg := range map[string]string{
		" x":         "line 1: a continuation",
		"A: 1\nb":    `line 2: "b" isn't a field`,
		"A: 1\na: 2": `line 2: a second "a"`,
		"A b: 1":     "isn't a field",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), msg) {
			t.Errorf("Parse(%q) = %v, want %q", text, err, msg)
		}
	}
}

// What was parsed and written again parses to the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte("Package: a\nDepends: b (>= 1),\n c\n\nPackage: d\n"))
	f.Add([]byte("SHA256:\n abc 1 x\n def 2 y\n"))
	f.Add([]byte("A:\n .\n\n#x\nB:  y  \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := Parse(data)
		if err != nil {
			return
		}
		var b bytes.Buffer
		for _, p := range first {
			p.Write(&b)
			b.WriteByte('\n')
		}
		second, err := Parse(b.Bytes())
		if err != nil {
			t.Fatalf("%q: %v", b.Bytes(), err)
		}
		if d := cmp.Diff(first, second); d != "" {
			t.Errorf("%q: %s", data, d)
		}
	})
}
