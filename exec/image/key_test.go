package image

import "testing"

const stableKey = "ad8930a13c30a4e49dd637f8356b3905546b558f5c87b30c1849cb9ac3b08d8f"

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
	// Keys are kept on disk: a change of the encoding must change the kinds' versions.
	if got := newKey("k").str("a").list([]string{"b"}).int(-1).bool(true).hex(); got != stableKey {
		t.Errorf("the encoding changed: %s", got)
	}
}
