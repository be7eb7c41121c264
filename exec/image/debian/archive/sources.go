package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/image/debian/control"
)

// Source is one suite of a Debian archive on a mirror.
type Source struct {
	URI   string `json:"uri"`   // http or https, without credentials and final slash
	Suite string `json:"suite"` // "bookworm", "bookworm-security", …
	// NoValidUntil accepts an index after its Valid-Until date. The user asks for that with
	// Check-Valid-Until: no; snapshots need it.
	NoValidUntil bool `json:"noValidUntil,omitempty"`

	user    *url.Userinfo // credentials for URI; they are used in requests, and written nowhere
	keyring []string      // files of Signed-By
	keys    []byte        // an armored key in Signed-By itself
}

// Sources are all suites that the configuration has, in its order.
type Sources struct {
	list    []Source
	suite   string // the host's own codename: preferred where list has several
	keyring string // the host's: for sources without a Signed-By
}

// archiveKeyring is where Debian keeps its keys, without an extension.
const archiveKeyring = "usr/share/keyrings/debian-archive-keyring"

// Keyring is the path of Debian's keys in a base.
const Keyring = "/" + archiveKeyring + ".gpg"

// Check refuses what can't be a source.
func (s Source) Check() error {
	u, err := url.Parse(s.URI)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || strings.ContainsAny(s.URI, " \n\r\t") {
		return errors.New("a source's URI isn't http or https, or has credentials")
	}
	if !validSuite(s.Suite) {
		return fmt.Errorf("%.60q isn't a suite", s.Suite)
	}
	return nil
}

// HostSources reads apt's configuration below root: etc/apt/sources.list and sources.list.d. It
// keeps Debian's own archives: http and https sources of component main, unless another keyring
// than Debian's signs them. They get the credentials that auth.conf has for them. If there are
// none, the error's hint says what to do.
func HostSources(root string) (Sources, error) {
	files, err := aptFiles(root)
	if err != nil {
		return Sources{}, err
	}
	logins, err := readAuth(root)
	if err != nil {
		return Sources{}, err
	}
	s := Sources{suite: codename(root), keyring: hostKeyring(root)}
	for _, name := range files {
		list, err := readSources(root, name)
		if err != nil {
			return Sources{}, err
		}
		s.add(list)
	}
	s.logIn(logins)
	if len(s.list) == 0 {
		return Sources{}, errorf(diag.System, "this machine's apt configuration has no Debian archive").
			WithHint("add one to apt's sources on this machine, or start from an image: image.from_base(REF)")
	}
	return s, nil
}

// add keeps the first source of each suite: a second mirror would add nothing.
func (s *Sources) add(list []Source) {
	for _, src := range list {
		if _, ok := s.find(src.Suite); !ok {
			s.list = append(s.list, src)
		}
	}
}

// logIn gives sources without credentials the logins that fit.
func (s *Sources) logIn(logins []login) {
	for i := range s.list {
		for _, l := range logins {
			if src := &s.list[i]; src.user == nil && l.fits(src.URI) {
				src.user = l.user
			}
		}
	}
}

func (s Sources) find(suite string) (Source, bool) {
	for _, src := range s.list {
		if src.Suite == suite {
			return src, true
		}
	}
	return Source{}, false
}

// aptFiles lists the source files in the order in which apt reads them.
func aptFiles(root string) ([]string, error) {
	var files []string
	if _, err := os.Stat(filepath.Join(root, "etc/apt/sources.list")); err == nil {
		files = append(files, filepath.Join(root, "etc/apt/sources.list"))
	}
	entries, err := os.ReadDir(filepath.Join(root, "etc/apt/sources.list.d"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errorf(diag.System, "read apt's sources: %w", err)
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".list" || ext == ".sources" {
			files = append(files, filepath.Join(root, "etc/apt/sources.list.d", e.Name()))
		}
	}
	return files, nil
}

// readSources reads the Debian archives that one file names.
func readSources(root, file string) ([]Source, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, errorf(diag.System, "read apt's sources: %w", err)
	}
	parse := parseOneLine
	if filepath.Ext(file) == ".sources" {
		parse = parseDeb822
	}
	list, err := parse(data)
	if err != nil {
		return nil, errorf(diag.System, "%s: %w", file, err)
	}
	for i := range list {
		for k, ring := range list[i].keyring {
			list[i].keyring[k] = filepath.Join(root, ring)
		}
	}
	return list, nil
}

// parseDeb822 parses the content of a .sources file.
func parseDeb822(data []byte) ([]Source, error) {
	paragraphs, err := control.Parse(data)
	if err != nil {
		return nil, err
	}
	var all []Source
	for _, p := range paragraphs {
		if no(p.Get("Enabled")) || !slices.Contains(p.Words("Types"), "deb") || !slices.Contains(p.Words("Components"), "main") {
			continue
		}
		proto := Source{NoValidUntil: no(p.Get("Check-Valid-Until"))}
		if signed := p.Get("Signed-By"); strings.Contains(signed, "-----BEGIN") {
			proto.keys = []byte(embeddedKey(signed))
		} else {
			proto.keyring = strings.Fields(signed)
		}
		list, err := proto.expand(p.Words("URIs"), p.Words("Suites"))
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// embeddedKey undoes deb822's form of a value of several lines: each has a leading blank, and " ."
// is an empty line.
func embeddedKey(value string) string {
	lines := strings.Split(strings.TrimSpace(value), "\n")
	for i, l := range lines {
		if l = strings.TrimSpace(l); l == "." {
			l = ""
		}
		lines[i] = l
	}
	return strings.Join(lines, "\n") + "\n"
}

// parseOneLine parses the content of a .list file: deb [option=value …] URI SUITE COMPONENT…
func parseOneLine(data []byte) ([]Source, error) {
	var all []Source
	for n, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(line, "\t", " ")), " ")
		if kind != "deb" {
			continue
		}
		var proto Source
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "[") {
			options, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				return nil, fmt.Errorf("line %d: options without a closing bracket", n+1)
			}
			proto.setOptions(strings.Fields(options))
			rest = after
		}
		words := strings.Fields(rest)
		if len(words) < 3 || !slices.Contains(words[2:], "main") {
			continue // a flat repository, or not Debian's main
		}
		list, err := proto.expand(words[:1], words[1:2])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

func (s *Source) setOptions(options []string) {
	for _, o := range options {
		switch key, value, _ := strings.Cut(o, "="); strings.ToLower(key) {
		case "signed-by":
			s.keyring = strings.Split(value, ",")
		case "check-valid-until":
			s.NoValidUntil = no(value)
		}
	}
}

// expand returns a source for each suite, at the first URI that is http or https. It returns none
// if another keyring than Debian's signs them.
func (s Source) expand(uris, suites []string) ([]Source, error) {
	if !s.isDebian() {
		return nil, nil
	}
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil {
			return nil, errors.New("a URI that can't be parsed") // its text may have a password
		}
		if u.Scheme != "http" && u.Scheme != "https" {
			continue
		}
		s.user, u.User = u.User, nil
		s.URI = strings.TrimRight(u.String(), "/")
		var all []Source
		for _, s.Suite = range suites {
			if s.Suite = strings.TrimRight(s.Suite, "/"); validSuite(s.Suite) {
				all = append(all, s)
			}
		}
		return all, nil
	}
	return nil, nil
}

func (s Source) isDebian() bool {
	for _, ring := range s.keyring {
		if !strings.HasPrefix(path.Base(ring), "debian-archive-") {
			return false
		}
	}
	return true
}

func validSuite(s string) bool {
	return s != "" && s[0] != '.' && s[0] != '/' && !strings.Contains(s, "..") &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-./") == ""
}

// forSuite returns the sources of a base: the suite, its updates and its security updates. If the
// suite isn't configured, forSuite takes the mirror of one that is: mirrors have all suites.
func (s Sources) forSuite(suite string) ([]Source, error) {
	if !validSuite(suite) || strings.ContainsAny(suite, "/-") {
		return nil, errorf(diag.Source, "%q isn't the name of a Debian suite", suite).WithHint(`such as "bookworm", "trixie" or "stable"`)
	}
	if group := s.group(suite); group != nil {
		return group, nil
	}
	names, err := s.suites()
	if err != nil {
		return nil, err
	}
	group := s.group(names[0])
	if suite == "sid" || suite == "unstable" {
		group = group[:1] // has neither updates nor security
	}
	for i := range group {
		group[i].Suite = suite + strings.TrimPrefix(group[i].Suite, names[0])
	}
	return group, nil
}

// group returns the configured sources of a suite. Its own is the first; without that, group
// returns nil.
func (s Sources) group(suite string) []Source {
	main, ok := s.find(suite)
	if !ok {
		return nil
	}
	group := []Source{main}
	for _, suffix := range []string{"-updates", "-security", "/updates"} {
		if src, ok := s.find(suite + suffix); ok {
			group = append(group, src)
		}
	}
	return group
}

// suites lists the suites that sources name, the host's own first.
func (s Sources) suites() ([]string, error) {
	var names []string
	for _, src := range s.list {
		switch {
		case strings.ContainsAny(src.Suite, "-/"):
		case src.Suite == s.suite:
			names = append([]string{src.Suite}, names...)
		default:
			names = append(names, src.Suite)
		}
	}
	if len(names) == 0 {
		return nil, errorf(diag.System, "the Debian sources have no main suite").
			WithHint("a source for the suite itself is needed, not only for its updates")
	}
	return names, nil
}

// codename returns the host's VERSION_CODENAME; "" if it has none.
func codename(root string) string {
	data, err := os.ReadFile(filepath.Join(root, "etc/os-release"))
	if err != nil {
		return "" // the newest suite of the sources is taken then
	}
	for _, line := range strings.Split(string(data), "\n") {
		if v, ok := strings.CutPrefix(line, "VERSION_CODENAME="); ok {
			return strings.Trim(v, "\"' ")
		}
	}
	return ""
}

// hostKeyring returns the archive keyring below root; "" if there is none.
func hostKeyring(root string) string {
	for _, ext := range []string{".gpg", ".pgp"} {
		name := filepath.Join(root, archiveKeyring+ext)
		if _, err := os.Stat(name); err == nil {
			return name
		}
	}
	return ""
}

func no(value string) bool {
	v := strings.ToLower(value)
	return v == "no" || v == "false" || v == "0" || v == "off" || v == "without" || v == "disable"
}
