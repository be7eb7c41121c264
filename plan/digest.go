package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
)

// Digest names content: "sha256:" and 64 hexadecimal digits in lower case.
type Digest string

const digestPrefix = "sha256:"

// DigestOf returns the digest of data.
func DigestOf(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest(digestPrefix + hex.EncodeToString(sum[:]))
}

// DigestSum returns the digest of what was written to h, a SHA-256.
func DigestSum(h hash.Hash) Digest { return Digest(digestPrefix + hex.EncodeToString(h.Sum(nil))) }

// Valid reports whether d has a digest's form.
func (d Digest) Valid() bool {
	digits, ok := strings.CutPrefix(string(d), digestPrefix)
	return ok && len(digits) == 64 && strings.Trim(digits, "0123456789abcdef") == ""
}

// Hex returns the digits of a valid digest, which can be a file's name. Of anything else it returns
// "invalid", so that no untrusted text becomes a path.
func (d Digest) Hex() string {
	if !d.Valid() {
		return "invalid"
	}
	return string(d[len(digestPrefix):])
}

// Short returns the prefix and the first 12 digits, for people.
func (d Digest) Short() string { return string(d[:min(len(d), len(digestPrefix)+12)]) }
