package archive

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec/image/debian/control"
)

// maxRelease bounds an InRelease file, in bytes. Debian's have less than 200 kB.
const maxRelease = 8 << 20

// release is a verified InRelease.
type release struct {
	source    Source
	codename  string
	version   string // "12.1"; empty for testing and unstable
	date      time.Time
	byHash    bool
	allInArch bool // an architecture's index has the packages of "all" too
	files     map[string]indexFile
}

// indexFile is a file that a release vouches for.
type indexFile struct {
	sha256 string // hex
	size   int64
}

// release fetches and verifies the InRelease of src.
func (m *Mirror) release(ctx context.Context, src Source) (*release, error) {
	data, err := m.fetchSmall(ctx, src, "dists/"+src.Suite+"/InRelease", maxRelease)
	if status := (*statusError)(nil); errors.As(err, &status) && status.code == http.StatusNotFound {
		return nil, errorf(diag.Build, "%s has no suite %q", src.URI, src.Suite).
			WithHint("check the suite's name; another mirror may have it")
	}
	if err != nil {
		return nil, err
	}
	keys, err := m.keys(src)
	if err != nil {
		return nil, err
	}
	text, err := verify(data, keys, m.now())
	if err != nil {
		return nil, errorf(diag.System, "%s %s: the index's signature doesn't verify: %w", src.URI, src.Suite, err).
			WithHint("check the mirror and the keyring (package debian-archive-keyring, or Signed-By in the source)")
	}
	r, err := parseRelease(text)
	if err != nil {
		return nil, errorf(diag.System, "%s %s: InRelease: %w", src.URI, src.Suite, err)
	}
	if err := r.accept(src, m.now()); err != nil {
		return nil, err
	}
	r.source = src
	return &r.release, nil
}

// defaultSuite returns the host's own suite if the sources have it, else their newest.
func (m *Mirror) defaultSuite(ctx context.Context) (string, error) {
	names, err := m.Sources.suites()
	if err != nil || len(names) == 1 || names[0] == m.Sources.suite {
		return first(names), err
	}
	var newest *release
	var best string
	for _, name := range names {
		src, _ := m.Sources.find(name)
		r, err := m.release(ctx, src)
		if err != nil {
			return "", err
		}
		if newest == nil || newer(r.version, newest.version) {
			newest, best = r, name
		}
	}
	return best, nil
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// newer reports whether a is a newer version of Debian than b. Testing and unstable have no
// version, and are never newer.
func newer(a, b string) bool {
	if a == "" || b == "" {
		return b == "" && a != ""
	}
	order, err := control.CompareVersions(a, b)
	return err == nil && order > 0
}

// keys returns the keys of which one must have signed src.
func (m *Mirror) keys(src Source) (openpgp.EntityList, error) {
	files := src.keyring
	if src.keys == nil && len(files) == 0 {
		switch {
		case m.Keyring != "":
			files = []string{m.Keyring}
		case m.Sources.keyring != "":
			files = []string{m.Sources.keyring}
		default:
			return nil, errorf(diag.System, "no keyring to verify %s %s with", src.URI, src.Suite).
				WithHint("install debian-archive-keyring, or name a keyring in the source with Signed-By")
		}
	}
	blobs := [][]byte{src.keys}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, errorf(diag.System, "read the keyring of %s: %w", src.Suite, err).
				WithHint("install debian-archive-keyring, or correct Signed-By")
		}
		blobs = append(blobs, data)
	}
	var all openpgp.EntityList
	for _, data := range blobs {
		list, err := readKeys(data)
		if err != nil {
			return nil, errorf(diag.System, "the keyring of %s %s can't be read: %w", src.URI, src.Suite, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

// readKeys reads an OpenPGP keyring, armored or not. No bytes have no keys.
func readKeys(data []byte) (openpgp.EntityList, error) {
	switch {
	case len(data) == 0:
		return nil, nil
	case bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN")):
		return openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
	}
	return openpgp.ReadKeyRing(bytes.NewReader(data))
}

// verify returns the text of a clear-signed message that one of keys signed. It returns only what
// was signed, and nothing before or after that.
func verify(data []byte, keys openpgp.EntityList, now time.Time) ([]byte, error) {
	block, _ := clearsign.Decode(data)
	if block == nil {
		return nil, errors.New("it isn't a signed message")
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	if _, err := block.VerifySignature(keys, config); err != nil {
		return nil, err
	}
	return block.Bytes, nil
}

// parsedRelease is a release with what only accept needs.
type parsedRelease struct {
	release
	suite      string
	validUntil time.Time
}

// parseRelease parses the signed text of an InRelease.
func parseRelease(text []byte) (*parsedRelease, error) {
	paragraphs, err := control.Parse(text)
	if err != nil {
		return nil, err
	}
	if len(paragraphs) != 1 {
		return nil, errors.New("it must have one paragraph")
	}
	p := paragraphs[0]
	r := &parsedRelease{suite: p.Get("Suite")}
	r.codename = p.Get("Codename")
	r.version = p.Get("Version")
	r.byHash = p.Get("Acquire-By-Hash") == "yes"
	r.allInArch = !slices.Contains(p.Words("Architectures"), "all") ||
		slices.Contains(p.Words("No-Support-for-Architecture-all"), "Packages")
	if r.date, err = parseDate(p.Get("Date")); err != nil {
		return nil, err
	}
	if until := p.Get("Valid-Until"); until != "" {
		if r.validUntil, err = parseDate(until); err != nil {
			return nil, err
		}
	}
	r.files, err = parseHashes(p.Get("SHA256"))
	return r, err
}

// parseHashes parses the SHA256 field. Each line has a hash, a size and a path.
func parseHashes(value string) (map[string]indexFile, error) {
	files := map[string]indexFile{}
	for _, line := range strings.Split(value, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 || !isSHA256(words[0]) {
			return nil, errors.New("a line of its SHA256 field isn't a hash, a size and a path")
		}
		size, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil || size < 0 {
			return nil, errors.New("a line of its SHA256 field has no size")
		}
		files[words[2]] = indexFile{words[0], size}
	}
	if len(files) == 0 {
		return nil, errors.New("it has no SHA256 field")
	}
	return files, nil
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && s == strings.ToLower(s)
}

func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC1123, "Mon, _2 Jan 2006 15:04:05 MST", time.RFC1123Z} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("a date can't be parsed")
}

// accept checks that the release is src's and still valid. A mirror, or somebody between us and the
// mirror, could serve an old one or that of another suite.
func (r *parsedRelease) accept(src Source, now time.Time) error {
	want := strings.TrimSuffix(src.Suite, "/updates")
	if r.codename == "" || (want != r.codename && want != r.suite) {
		return errorf(diag.System, "%s %s: the index is that of another suite, %q", src.URI, src.Suite, r.codename).
			WithHint("the mirror is broken, or tampered with: try another")
	}
	if !r.validUntil.IsZero() && now.After(r.validUntil) && !src.NoValidUntil {
		return errorf(diag.System, "%s %s: the index was valid until %s", src.URI, src.Suite, r.validUntil.Format(time.DateTime)).
			WithHint("the mirror is stale, or this machine's clock is wrong; for a snapshot, set Check-Valid-Until: no in the source")
	}
	return nil
}

// indexNames are the compressed forms of an index, in order of preference. gzip is a third bigger
// than xz and decompresses five times as fast: that is faster where 4 MB/s or more come in.
var indexNames = []string{"Packages.gz", "Packages.xz"}

// index finds the package index of an architecture.
func (r *release) index(arch string) (string, indexFile, error) {
	dir := "main/binary-" + arch + "/"
	for _, name := range indexNames {
		if f, ok := r.files[dir+name]; ok {
			return dir + name, f, nil
		}
	}
	return "", indexFile{}, errorf(diag.System, "%s %s has no packages for %s", r.source.URI, r.source.Suite, arch).
		WithHint("the architecture isn't in this suite or on this mirror")
}

// indexPath returns where the mirror has an index. That is by hash if the mirror can do so, since
// the file of a name may be replaced while it is read.
func (r *release) indexPath(name string, f indexFile) string {
	dists := "dists/" + r.source.Suite + "/"
	if !r.byHash {
		return dists + name
	}
	return dists + name[:strings.LastIndex(name, "/")] + "/by-hash/SHA256/" + f.sha256
}
