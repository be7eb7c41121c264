package pip

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/exec/image/process"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
)

// settings is the part of the user's pip configuration that decides what pip finds and where:
// values by option name. It may have credentials. So it gets into a container as a file of mode
// 0600, and only [settings.public] gets into keys.
type settings map[string][]string

// knownOptions are the options that are taken over. The value says whether an option is a list.
var knownOptions = map[string]bool{
	"index-url": false, "extra-index-url": true, "no-index": false, "find-links": true, "trusted-host": true,
	"proxy": false, "timeout": false, "retries": false, "cert": false, "client-cert": false,
	"prefer-binary": false, "only-binary": true, "no-binary": true,
}

// readConfig reads pip's configuration as "pip install" does: the global file, the user's file,
// that of PIP_CONFIG_FILE, then the variables PIP_…. The last one counts.
func readConfig(env process.Environ) (settings, error) {
	c := settings{}
	for _, f := range configFiles(env) {
		if err := c.read(f); err != nil {
			return nil, err
		}
	}
	for name, list := range knownOptions {
		v := env.Get("PIP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
		if v == "" {
			continue
		}
		c[name] = []string{v}
		if list {
			c[name] = strings.Fields(v)
		}
	}
	return c, nil
}

// configFiles lists the files that may have configuration. Later ones count more.
func configFiles(env process.Environ) []string {
	own := env.Get("PIP_CONFIG_FILE")
	if own == os.DevNull {
		return nil
	}
	files := []string{"/etc/pip.conf"}
	dirs := env.Get("XDG_CONFIG_DIRS")
	if dirs == "" {
		dirs = "/etc/xdg"
	}
	for _, d := range filepath.SplitList(dirs) {
		files = append([]string{filepath.Join(d, "pip", "pip.conf")}, files...)
	}
	if home := env.Get("HOME"); home != "" {
		config := env.Get("XDG_CONFIG_HOME")
		if config == "" {
			config = filepath.Join(home, ".config")
		}
		files = append(files, filepath.Join(home, ".pip", "pip.conf"), filepath.Join(config, "pip", "pip.conf"))
	}
	if own != "" {
		files = append(files, own)
	}
	return files
}

// read adds the sections [global] and [install] of a file. A missing file adds nothing.
func (c settings) read(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pip's configuration: %w", err)
	}
	defer f.Close()
	sections := map[string]map[string]string{}
	section, option := "", ""
	for in := bufio.NewScanner(f); in.Scan(); {
		line := strings.TrimPrefix(in.Text(), text.Mark)
		text := strings.TrimSpace(line)
		switch {
		case text == "" || strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";"):
		case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
			section, option = text[1:len(text)-1], ""
		case (line[0] == ' ' || line[0] == '\t') && option != "": // a further line of a value
			sections[section][option] += "\n" + text
		default:
			i := strings.IndexAny(text, "=:")
			if i < 0 {
				return fmt.Errorf("pip's configuration: %s has a line that is neither a section nor an option", file)
			}
			option = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(text[:i])), "_", "-")
			if sections[section] == nil {
				sections[section] = map[string]string{}
			}
			sections[section][option] = strings.TrimSpace(text[i+1:])
		}
	}
	for _, section := range []string{"global", "install"} {
		for name, v := range sections[section] {
			if list, known := knownOptions[name]; known && list {
				c[name] = strings.Fields(v)
			} else if known {
				c[name] = []string{strings.TrimSpace(v)}
			}
		}
	}
	return nil
}

// withStep returns the configuration for a step that may name indices itself. If it names one, the
// indices that the user has configured aren't asked.
func (c settings) withStep(s plan.Step) settings {
	out := settings{}
	for name, v := range c {
		out[name] = slices.Clone(v)
	}
	if s.IndexURL != "" {
		out["index-url"] = []string{s.IndexURL}
		delete(out, "extra-index-url")
		delete(out, "no-index")
	}
	out["extra-index-url"] = append(out["extra-index-url"], s.ExtraIndexURLs...)
	return out
}

// public returns the options that decide what a resolution comes to, without credentials.
func (c settings) public() []string {
	var out []string
	for _, name := range []string{"index-url", "extra-index-url", "no-index", "find-links", "prefer-binary", "only-binary", "no-binary"} {
		out = append(out, name)
		for _, v := range c[name] {
			out = append(out, text.WithoutUser(v))
		}
	}
	return out
}

// Where the resolver's container finds its configuration.
const (
	runDir     = "/run/flytestar"
	confPath   = runDir + "/pip.conf"
	clientPath = runDir + "/client.pem"
	netrcPath  = runDir + "/netrc"
)

// apply puts the configuration into a container, as a file that only its root can read. Local
// directories of find-links become mounts.
func (c settings) apply(into *exec.Container, netrc []byte) error {
	out := settings{}
	for name, v := range c {
		out[name] = slices.Clone(v)
	}
	for i, link := range out["find-links"] {
		dir, ok := localDir(link)
		if !ok {
			continue
		}
		target := fmt.Sprintf("%s/links/%d", runDir, i)
		into.Mounts = append(into.Mounts, exec.Mount{Source: dir, Target: target})
		out["find-links"][i] = target
	}
	if v := out["client-cert"]; len(v) == 1 {
		data, err := os.ReadFile(v[0])
		if err != nil {
			return fmt.Errorf("pip's client certificate: %w", err)
		}
		into.Files = append(into.Files, exec.File{Path: clientPath, Mode: 0o600, Data: data})
		out["client-cert"] = []string{clientPath}
	}
	if v := out["cert"]; len(v) == 1 {
		data, err := os.ReadFile(v[0])
		if err != nil {
			return fmt.Errorf("pip's CA bundle: %w", err)
		}
		into.Files = append(into.Files, exec.File{Path: runDir + "/pip-ca.pem", Mode: 0o644, Data: data})
		out["cert"] = []string{runDir + "/pip-ca.pem"}
		into.Env = append(into.Env, "PIP_CERT="+out["cert"][0])
	}
	into.Files = append(into.Files, exec.File{Path: netrcPath, Mode: 0o600, Data: netrc}, exec.File{Path: confPath, Mode: 0o600, Data: out.ini()})
	into.Env = append(into.Env, "NETRC="+netrcPath, "PIP_CONFIG_FILE="+confPath, "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1", "PIP_NO_COLOR=1")
	return nil
}

// netrc returns a netrc file with the credentials for the hosts of the indices. They come from the
// indices' URLs, since pip doesn't use those for every file of an index, and from the user's netrc.
func netrc(env process.Environ, c settings, want wanted) ([]byte, error) {
	places := [][]string{c["index-url"], c["extra-index-url"], c["find-links"]}
	for _, f := range want.files {
		places = append(places, withUser().FindAllString(string(f.Data), -1))
	}
	known := map[string]*url.Userinfo{}
	for _, urls := range places {
		for _, v := range urls {
			if u, err := url.Parse(v); err == nil && u.Hostname() != "" && known[u.Hostname()] == nil {
				known[u.Hostname()] = u.User
			}
		}
	}
	file := env.Get("NETRC")
	if file == "" {
		file = filepath.Join(env.Get("HOME"), ".netrc")
	}
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("netrc: %w", err)
	}
	for host, user := range parseNetrc(strings.TrimPrefix(string(data), text.Mark)) {
		if had, ok := known[host]; ok && had == nil {
			known[host] = user
		}
	}
	var out strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for _, host := range slices.Sorted(maps.Keys(known)) {
		user := known[host]
		if user == nil || strings.ContainsAny(host+user.Username(), " \t\n") {
			continue
		}
		password, _ := user.Password()
		fmt.Fprintf(&out, "machine %s login \"%s\" password \"%s\"\n", host, quote.Replace(user.Username()), quote.Replace(password))
	}
	return []byte(out.String()), nil
}

// withUser matches URLs with credentials in a requirements file.
var withUser = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`https?://[^/@\s]+@[^\s;#]+`) })

// parseNetrc reads logins by machine. It skips macros and words that it doesn't know.
func parseNetrc(text string) map[string]*url.Userinfo {
	out := map[string]*url.Userinfo{}
	words := strings.Fields(text)
	host, login := "", ""
	for i := 0; i+1 < len(words); i++ {
		value := strings.Trim(words[i+1], `"`)
		switch words[i] {
		case "machine":
			host, login = value, ""
		case "default":
			host, login = "", ""
			continue
		case "login":
			login = value
		case "password":
			if host != "" {
				out[host] = url.UserPassword(login, value)
			}
		default:
			continue
		}
		i++
	}
	return out
}

// ini returns the configuration as a file for pip.
func (c settings) ini() []byte {
	var b strings.Builder
	b.WriteString("[global]\n")
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if len(c[name]) > 0 {
			fmt.Fprintf(&b, "%s = %s\n", name, strings.Join(c[name], "\n    "))
		}
	}
	return []byte(b.String())
}

// localDir returns the directory of this machine that an entry of find-links names, if it names
// one.
func localDir(link string) (string, bool) {
	if u, err := url.Parse(link); err == nil && u.Scheme == "file" {
		link = u.Path
	} else if err == nil && u.Scheme != "" {
		return "", false
	}
	fi, err := os.Stat(link)
	if err != nil || !fi.IsDir() {
		return "", false
	}
	dir, err := filepath.Abs(link)
	return dir, err == nil
}
