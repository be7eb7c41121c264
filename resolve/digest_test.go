package resolve_test

import (
	"testing"

	"github.com/flytestar/flytestar/plan"
)

// TestDeclaredDigestWithoutPasswords: a password in an index's URL changes no digest, so that no
// digest gives it away. That holds too where the password is why the URL doesn't parse.
func TestDeclaredDigestWithoutPasswords(t *testing.T) {
	base := plan.Base{Kind: plan.BaseDebian, Python: true}
	digest := func(url string) string {
		own, extra := pip("a"), pip("a")
		own.IndexURL, extra.ExtraIndexURLs = url, []string{url}
		return digestOf(t, on(base, own, extra), workspace(nil), platform)
	}
	want := digest("https://i.example/simple")
	for _, url := range []string{
		"https://me:secret@i.example/simple", "https://me:100%zz@i.example/simple", "https://me:sec/ret@i.example/simple", "https://me:sec ret@i.example/simple",
	} {
		if got := digest(url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}
