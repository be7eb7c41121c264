package text

import (
	"strings"
	"testing"
)

func TestWithoutUser(t *testing.T) {
	for in, want := range map[string]string{
		"https://me:secret@index.example/simple": "https://index.example/simple",
		"https://secret@index.example/":          "https://index.example/",
		"https://index.example/a@b":              "https://index.example/a@b",
		"https://index.example/":                 "https://index.example/",
		"/some/dir@x":                            "/some/dir@x",
		"":                                       "",
		// What follows doesn't parse, and must not show the password.
		"https://me:secret%zz@index.example/simple":  "https://index.example/simple",
		"https://me:sec/ret@index.example/simple":    "https://index.example/simple",
		"https://me:secret@index.example:port/":      "https://index.example:port/",
		"https://me:sec ret@index.example/":          "https://index.example/",
		"https://me:secret@\x7f":                     "https://\x7f",
		"name @ https://me:secret@index.example/x":   "name @ https://index.example/x",
		"https://index.example/?u=ftp://me:secret@x": "https://index.example/?u=ftp://x",
	} {
		if got := WithoutUser(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestRedact(t *testing.T) {
	in := "Looking in https://me:secret@a.example/, https://b.example/x@y and 'http://me:s@cret@c.example'; mail me@d.example"
	want := "Looking in https://a.example/, https://b.example/x@y and 'http://c.example'; mail me@d.example"
	if got := Redact(in); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzWithoutUser(f *testing.F) {
	f.Add("https", "me", "secret", "index.example/simple")
	f.Add("https", "me", "sec/ret", "[::1")
	f.Fuzz(func(t *testing.T, scheme, user, password, rest string) {
		password = "<" + password + ">"
		if strings.ContainsAny(scheme+user, ":/?#@") || strings.ContainsAny(password, "?#") || strings.Contains(scheme+user+rest, password) {
			return
		}
		if got := WithoutUser(scheme + "://" + user + ":" + password + "@" + rest); strings.Contains(got, password) {
			t.Errorf("the password %q is in %q", password, got)
		}
	})
}
