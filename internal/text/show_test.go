package text

import "testing"

func TestFindHidden(t *testing.T) {
	for _, s := range []string{
		"", "x = 1\r\n\ty\n", Mark + "x", "é — “ü”\u00a0\u3000", "e\u0301", "👩\u200d🔬 ❤\ufe0f", "نامه\u200cای", "\u0600",
	} {
		if h, ok := FindHidden(s); ok {
			t.Errorf("%q: at %d %s", s, h.At, h.What)
		}
	}
	for _, r := range []rune{
		0, 1, '\b', '\v', '\f', '\r', 0x1b, 0x1c, 0x1f, 0x7f, 0x85, 0x9b, 0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x17b4, 0x180b, 0x180e,
		0x200b, 0x200e, 0x200f, 0x2028, 0x2029, 0x202e, 0x2060, 0x2064, 0x2066, 0x206f, 0x3164, 0xfe00, 0xfeff, 0xffa0, 0xfff9,
		0x1d173, 0xe0001, 0xe0041, 0xe0100, 0xe01ef,
	} {
		if h, ok := FindHidden("é" + string(r)); !ok || h.At != 2 || h.Rune != r {
			t.Errorf("U+%04X: %v, %v", r, h, ok)
		}
	}
	if h, ok := FindHidden("a\r\n\r\r\n"); !ok || h.At != 3 {
		t.Errorf("a carriage return before another: %v, %v", h, ok)
	}
}
