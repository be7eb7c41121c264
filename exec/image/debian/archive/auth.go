package archive

import (
	"cmp"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/flytestar/flytestar/diag"
)

// login is an entry of apt's auth.conf (apt_auth.conf(5)).
type login struct {
	scheme, host, path string // scheme "" means https
	user               *url.Userinfo
}

// readAuth reads apt's credentials below root. It leaves out files that this user may not read. A
// mirror that wants credentials refuses then, and the hint of that error speaks of them.
func readAuth(root string) ([]login, error) {
	files := []string{filepath.Join(root, "etc/apt/auth.conf")}
	more, err := filepath.Glob(filepath.Join(root, "etc/apt/auth.conf.d/*.conf"))
	if err != nil {
		return nil, err
	}
	var all []login
	for _, name := range append(files, more...) {
		data, err := os.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		case err != nil:
			return nil, errorf(diag.System, "read apt's credentials: %w", err)
		default:
			all = append(all, parseAuth(string(data))...)
		}
	}
	return all, nil
}

// parseAuth parses the words machine, login and password, each before its value.
func parseAuth(text string) []login {
	var all []login
	var name, machine string
	words := strings.Fields(uncomment(text))
	for i := 0; i+1 < len(words); i += 2 {
		switch value := words[i+1]; words[i] {
		case "machine":
			machine, name = value, ""
		case "login":
			name = value
		case "password":
			all = append(all, newLogin(machine, url.UserPassword(name, value)))
		}
	}
	return all
}

func uncomment(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(strings.TrimSpace(l), "#") {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}

func newLogin(machine string, user *url.Userinfo) login {
	l := login{user: user}
	if scheme, rest, ok := strings.Cut(machine, "://"); ok {
		l.scheme, machine = scheme, rest
	}
	l.host, l.path, _ = strings.Cut(machine, "/")
	return l
}

// fits reports whether l is for a URI. As with apt, a login without a scheme is never sent over
// plain http.
func (l login) fits(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != cmp.Or(l.scheme, "https") {
		return false
	}
	below := strings.Trim(l.path, "/")
	dir := strings.Trim(u.Path, "/")
	return l.host != "" && (u.Host == l.host || u.Hostname() == l.host) && (below == "" || dir == below || strings.HasPrefix(dir, below+"/"))
}
