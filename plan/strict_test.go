package plan

import (
	"strings"
	"testing"
)

// TestDecodeJSON: what encoding/json would change silently is an error.
func TestDecodeJSON(t *testing.T) {
	for _, tt := range []struct{ text, err string }{
		{`{"a": [1, "\u00e9", "é", "\ud83d\ude00", "\\ud800", null]}`, ""},
		{`"\\\ud83d\ude00\n\""`, ""},
		{`{"a": 1, "a": 2}`, `key "a" is given twice`},
		{`[{"a": 1, "\u0061": 2}]`, `key "a" is given twice`},
		{`"\ud800"`, `\ud800 is half of a surrogate pair`},
		{`"\uDFFF x"`, `\uDFFF is half of a surrogate pair`},
		{`{"\ud800":1,"\udfff":2}`, `\ud800 is half of a surrogate pair`},
		{`"\ud800\ud800"`, `half of a surrogate pair`},
		{`"\ud800\u0041"`, `half of a surrogate pair`},
		{`"\ud800\`, `half of a surrogate pair`},
		{"\"\xff\"", "isn't valid UTF-8"},
		{"\"\xed\xa0\x80\"", "isn't valid UTF-8"},
		{"", "no JSON value"},
		{"1 2", "more text"},
		{`"\u12`, "unexpected"},
		{strings.Repeat("[", 66), "nests too deep"},
	} {
		_, err := DecodeJSON([]byte(tt.text), MaxDepth)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %s", tt.text, err, tt.err)
		}
	}
	if v, err := UnmarshalValue([]byte(`["\udc00"]`)); err == nil {
		t.Errorf("half of a pair is the value %q", v)
	}
}

// FuzzDecodeJSON: what is decoded has no replaced characters that the text doesn't have.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`"\ud83d\ude00"`, `"\ud800"`, `{"a":1,"a":2}`, `"\\ud800"`, `[1e5, "x"]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := DecodeJSON([]byte(s), MaxDepth)
		if text, ok := v.(string); err == nil && ok && strings.ContainsRune(text, '\ufffd') && !strings.Contains(strings.ToLower(s), "fffd") && !strings.Contains(s, "\ufffd") {
			t.Errorf("%q became %q", s, text)
		}
	})
}
