package plan_test

import (
	"crypto/sha256"
	"io"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/plan"
)

func TestDigest(t *testing.T) {
	const hex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of "hello"
	tests := []struct {
		digest     plan.Digest
		valid      bool
		hex, short string
	}{
		{"sha256:" + hex, true, hex, "sha256:2cf24dba5fb0"},
		{"", false, "invalid", ""},
		{"sha256:", false, "invalid", "sha256:"},
		{"sha256:abc", false, "invalid", "sha256:abc"},
		{"sha256:" + hex + "0", false, "invalid", "sha256:2cf24dba5fb0"},
		{plan.Digest("sha256:" + hex[:63]), false, "invalid", "sha256:2cf24dba5fb0"},
		{"sha512:" + hex, false, "invalid", "sha512:2cf24dba5fb0"},
		{hex, false, "invalid", hex[:19]},
		{plan.Digest("sha256:" + strings.ToUpper(hex)), false, "invalid", "sha256:2CF24DBA5FB0"},
		{plan.Digest("sha256:" + hex[:63] + "g"), false, "invalid", "sha256:2cf24dba5fb0"},
		{"sha256:../../../../etc/passwd", false, "invalid", "sha256:../../../../"},
		{plan.Digest("sha256:" + strings.Repeat("../", 21) + "x"), false, "invalid", "sha256:../../../../"}, // 64 bytes
	}
	for _, tt := range tests {
		if got := tt.digest.Valid(); got != tt.valid {
			t.Errorf("%q: valid: %t", tt.digest, got)
		}
		if got := tt.digest.Hex(); got != tt.hex {
			t.Errorf("%q: digits %q, want %q", tt.digest, got, tt.hex)
		}
		if got := tt.digest.Short(); got != tt.short {
			t.Errorf("%q: short %q, want %q", tt.digest, got, tt.short)
		}
	}
}

func TestDigestOf(t *testing.T) {
	tests := []struct {
		content string
		want    plan.Digest
	}{
		{"", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"hello", "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
	}
	for _, tt := range tests {
		h := sha256.New()
		io.WriteString(h, tt.content)
		if got := plan.DigestOf([]byte(tt.content)); got != tt.want {
			t.Errorf("%q: got %s, want %s", tt.content, got, tt.want)
		}
		if got := plan.DigestSum(h); got != tt.want {
			t.Errorf("%q, written: got %s, want %s", tt.content, got, tt.want)
		}
	}
}
