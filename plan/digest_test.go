package plan_test

import (
	"crypto/sha256"
	"io"
	"strings"
	"testing"

	"github.com/flytestar/flytestar/plan"
)

func TestDigest(t *testing.T) {
	const hello = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	h := sha256.New()
	io.WriteString(h, "hello")
	if a, b := plan.DigestOf([]byte("hello")), plan.DigestSum(h); a != hello || b != hello {
		t.Errorf("got %s and %s", a, b)
	}
	if d := plan.Digest(hello); !d.Valid() || d.Hex() != hello[7:] || d.Short() != "sha256:2cf24dba5fb0" {
		t.Errorf("%t %s %s", d.Valid(), d.Hex(), d.Short())
	}
	a64 := strings.Repeat("a", 64)
	for _, d := range []plan.Digest{"", "sha256:", "sha256:../../../../etc/passwd", plan.Digest("sha256:" + strings.ToUpper(a64)),
		plan.Digest("sha512:" + a64), plan.Digest(a64), plan.Digest("sha256:" + a64 + "a")} {
		if d.Valid() || d.Hex() != "invalid" {
			t.Errorf("%q passes for a digest", d)
		}
	}
}
