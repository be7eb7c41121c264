package memo

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// Key hashes everything that shapes a layer or a resolution. Every part is written with its kind
// and its length, so that different sequences of parts give different bytes: List("ab", "c") isn't
// List("a", "bc").
type Key struct{ h hash.Hash }

// NewKey starts a key of one kind. The kind carries a version: it changes when the code that makes
// such things writes different bytes from the same parts.
func NewKey(kind string) *Key {
	k := &Key{h: sha256.New()}
	return k.Str(kind)
}

func (k *Key) part(kind byte, n int) {
	var b [9]byte
	b[0] = kind
	binary.BigEndian.PutUint64(b[1:], uint64(n))
	k.h.Write(b[:])
}

// Str adds a string.
func (k *Key) Str(s string) *Key {
	k.part('s', len(s))
	k.h.Write([]byte(s))
	return k
}

// List adds a list of strings, in its order.
func (k *Key) List(l []string) *Key {
	k.part('l', len(l))
	for _, s := range l {
		k.Str(s)
	}
	return k
}

// Int adds a number.
func (k *Key) Int(n int64) *Key {
	k.part('i', int(n))
	return k
}

// Bool adds a truth value.
func (k *Key) Bool(b bool) *Key {
	if b {
		return k.Int(1)
	}
	return k.Int(0)
}

// Hex returns the key of everything that was added, as 64 hex digits.
func (k *Key) Hex() string { return hex.EncodeToString(k.h.Sum(nil)) }
