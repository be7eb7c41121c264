package memo

import "testing"

const stableKey = "ad8930a13c30a4e49dd637f8356b3905546b558f5c87b30c1849cb9ac3b08d8f"

func TestKeysTellPartsApart(t *testing.T) {
	keys := map[string]string{}
	for name, k := range map[string]*Key{
		"list ab c":      NewKey("k").List([]string{"ab", "c"}),
		"list a bc":      NewKey("k").List([]string{"a", "bc"}),
		"list a b c":     NewKey("k").List([]string{"a", "b", "c"}),
		"two lists":      NewKey("k").List([]string{"ab"}).List([]string{"c"}),
		"strings ab c":   NewKey("k").Str("ab").Str("c"),
		"string abc":     NewKey("k").Str("abc"),
		"number":         NewKey("k").Int(3),
		"true":           NewKey("k").Bool(true),
		"false":          NewKey("k").Bool(false),
		"nothing":        NewKey("k"),
		"empty string":   NewKey("k").Str(""),
		"empty list":     NewKey("k").List(nil),
		"another kind":   NewKey("l").Str("abc"),
		"kind and part":  NewKey("ka").Str("bc"),
		"nested in text": NewKey("k").Str("s\x00\x00\x00\x00\x00\x00\x00\x01a"),
	} {
		hex := k.Hex()
		if other, ok := keys[hex]; ok {
			t.Errorf("%q and %q have one key", name, other)
		}
		keys[hex] = name
	}
	// Keys are kept on disk: a change of the encoding must change the kinds' versions.
	if got := NewKey("k").Str("a").List([]string{"b"}).Int(-1).Bool(true).Hex(); got != stableKey {
		t.Errorf("the encoding changed: %s", got)
	}
}
