package image

import "testing"

func TestKeysTellPartsApart(t *testing.T) {
	keys := map[string]string{}
	for name, k := range map[string]*key{
		"list ab c":      newKey("k").list([]string{"ab", "c"}),
		"list a bc":      newKey("k").list([]string{"a", "bc"}),
		"list a b c":     newKey("k").list([]string{"a", "b", "c"}),
		"two lists":      newKey("k").list([]string{"ab"}).list([]string{"c"}),
		"strings ab c":   newKey("k").str("ab").str("c"),
		"string abc":     newKey("k").str("abc"),
		"number":         newKey("k").int(3),
		"true":           newKey("k").bool(true),
		"false":          newKey("k").bool(false),
		"nothing":        newKey("k"),
		"empty string":   newKey("k").str(""),
		"empty list":     newKey("k").list(nil),
		"another kind":   newKey("l").str("abc"),
		"kind and part":  newKey("ka").str("bc"),
		"nested in text": newKey("k").str("s\x00\x00\x00\x00\x00\x00\x00\x01a"),
	} {
		hex := k.hex()
		if other, ok := keys[hex]; ok {
			t.Errorf("%q and %q have one key", name, other)
		}
		keys[hex] = name
	}
	if newKey("k").str("a").hex() != newKey("k").str("a").hex() {
		t.Error("a key isn't stable")
	}
}
