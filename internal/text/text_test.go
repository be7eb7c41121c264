package text_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/flytestar/flytestar/internal/text"
)

func TestSafe(t *testing.T) {
	for s, want := range map[string]string{
		"":                "",
		"a\tb\nc é 日本 👍":  "a\tb\nc é 日本 👍",
		"\x1b[31mred\x07": `\x1b[31mred\x07`,
		"a\rb":            `a\x0db`,
		"\u009b1m":        `\u009b1m`,
		"a\u202eb\u200d":  `a\u202eb\u200d`,
		"a\u2028b":        `a\u2028b`,
		"\xff\xc3":        `\xff\xc3`,
		"\uFFFD":          "\uFFFD",
	} {
		if got := text.Safe(s); got != want {
			t.Errorf("Safe(%q) = %q, want %q", s, got, want)
		}
	}
	if got := text.OneLine("a\nb\x1b"); got != `a\nb\x1b` {
		t.Errorf("OneLine: %q", got)
	}
	if got := text.SafeLine("10%\r100%\x1b\r\n"); got != `100%\x1b` {
		t.Errorf("SafeLine: %q", got)
	}
}

func TestClip(t *testing.T) {
	for _, tt := range []struct {
		s    string
		max  int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"éé", 3, "é…"}, {"é", 1, "…"}} {
		if got := text.Clip(tt.s, tt.max); got != tt.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", tt.s, tt.max, got, tt.want)
		}
	}
}

func TestWidth(t *testing.T) {
	for s, want := range map[string]int{"abc": 3, "日本": 4, "e\u0301": 1, "👍": 2, "Ω": 1} {
		if got := text.Width(s); got != want {
			t.Errorf("Width(%q) = %d, want %d", s, got, want)
		}
	}
	if got := text.Cut("日本語", 5); got != "日本" {
		t.Errorf("Cut: %q", got)
	}
}

func TestTail(t *testing.T) {
	for _, tt := range []struct {
		tail   *text.Tail
		writes []string
		want   string
	}{
		{&text.Tail{Bytes: 10}, nil, ""},
		{&text.Tail{Bytes: 10}, []string{"one\n", "two\n\n"}, "one\ntwo"},
		{&text.Tail{Bytes: 10}, []string{"first\n", "second\n"}, "second"},
		{&text.Tail{Bytes: 10}, []string{"0123456789abcdef"}, "6789abcdef"},
		{&text.Tail{Bytes: 100, Lines: 2}, []string{"a\nb\nc\nd\n"}, "c\nd"},
		{&text.Tail{Bytes: 4}, []string{strings.Repeat("x\n", 100), "y"}, "x\ny"},
		{&text.Tail{Bytes: 3}, []string{"éé"}, "\uFFFDé"},
	} {
		for _, w := range tt.writes {
			if n, err := tt.tail.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("Write(%q) = %d, %v", w, n, err)
			}
		}
		if got := tt.tail.String(); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.writes, got, tt.want)
		}
	}
}

// FuzzSafe: what is printed is valid UTF-8 and has no control character.
func FuzzSafe(f *testing.F) {
	f.Add("a\x1b[0m\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := text.Safe(s)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x07\x08\x0b\x0c\x0d\x1b\x7f\u0085\u009b\u202e\u2066") {
			t.Errorf("Safe(%q) = %q", s, got)
		}
		if text.Safe(got) != got {
			t.Errorf("Safe(%q) isn't safe", s)
		}
	})
}
