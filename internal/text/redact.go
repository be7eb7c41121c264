package text

import (
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// WithoutUser returns a URL without its user and password. A text that can't be parsed as a URL,
// perhaps because of its password, comes back without whatever could be credentials.
func WithoutUser(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !strings.Contains(rest, "@") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return scheme + "://" + rest[strings.LastIndex(rest, "@")+1:]
	}
	if u.User == nil {
		return Redact(s)
	}
	u.User = nil
	return u.String()
}

var userinfo = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(://)[^/\s"']+@`) })

// Redact returns a text without the credentials of the URLs in it.
func Redact(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	return userinfo().ReplaceAllString(s, "$1")
}
