package text

// IsControl reports whether r moves the cursor or reorders text: what is shown then isn't what is
// there.
func IsControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || IsBidi(r)
}

// IsBidi reports whether r is one of Unicode's nine bidirectional controls.
func IsBidi(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
