package image

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// key hashes what shapes a layer or a resolution. Every part is written with its
// kind and its length, so that no two different sequences of parts give the
// same bytes: list("ab", "c") isn't list("a", "bc").
type key struct{ h hash.Hash }

// newKey starts a key of one kind. The kind carries a version: it changes when
// the code that makes such things writes different bytes from the same parts.
func newKey(kind string) *key {
	k := &key{h: sha256.New()}
	return k.str(kind)
}

func (k *key) part(kind byte, n int) {
	var b [9]byte
	b[0] = kind
	binary.BigEndian.PutUint64(b[1:], uint64(n))
	k.h.Write(b[:])
}

// str adds a string.
func (k *key) str(s string) *key {
	k.part('s', len(s))
	k.h.Write([]byte(s))
	return k
}

// list adds a list of strings, in its order.
func (k *key) list(l []string) *key {
	k.part('l', len(l))
	for _, s := range l {
		k.str(s)
	}
	return k
}

// int adds a number.
func (k *key) int(n int64) *key {
	k.part('i', int(n))
	return k
}

// bool adds a truth value.
func (k *key) bool(b bool) *key {
	if b {
		return k.int(1)
	}
	return k.int(0)
}

// hex returns the key of all that was added, as 64 hex digits.
func (k *key) hex() string { return hex.EncodeToString(k.h.Sum(nil)) }
