package exec

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

// Member is a file, directory or symbolic link in a Dir. A directory has only a path.
type Member struct {
	Path       string      `json:"path"` // from the Dir; see ValidPath
	Dir        bool        `json:"dir,omitempty"`
	Executable bool        `json:"executable,omitempty"`
	Digest     plan.Digest `json:"digest,omitempty"` // of a file's content
	Size       int64       `json:"size,omitempty"`   // of a file, in bytes
	Link       string      `json:"link,omitempty"`   // where a symbolic link leads: see [Arrange]
}

// File returns the member, which is a file, for Store.Open.
func (m Member) File() plan.File {
	return plan.File{Name: path.Base(m.Path), Digest: m.Digest, Size: m.Size}
}

// Bounds of paths in a Dir, in bytes. No file system of a machine takes more.
const (
	maxName = 255
	maxPath = 4096
)

// ValidPath reports whether p can be the path of a file or directory in a Dir: relative, clean,
// with slashes, valid UTF-8, and no longer than file systems take.
func ValidPath(p string) bool {
	if !fs.ValidPath(p) || p == "." || len(p) > maxPath || strings.ContainsRune(p, 0) {
		return false
	}
	for name := range strings.SplitSeq(p, "/") {
		if len(name) > maxName {
			return false
		}
	}
	return true
}

// Arrange returns a tree in the order of a manifest, with every directory above an entry. It is
// an error if a path isn't valid, if a file's path stands twice, if something lies below a file, or
// if [BadLinks] finds a link.
func Arrange(tree []Entry) ([]Entry, error) {
	byPath := map[string]Entry{}
	for _, e := range tree {
		if !ValidPath(e.Path) {
			return nil, fmt.Errorf("%q can't be a path in a directory", e.Path)
		}
		for p := path.Dir(e.Path); p != "."; p = path.Dir(p) {
			byPath[p] = Entry{Path: p, Dir: true}
		}
	}
	for _, e := range tree {
		before, known := byPath[e.Path]
		if known && !(before.Dir && e.Dir) {
			return nil, fmt.Errorf("%q is there twice, or is a file and a directory", e.Path)
		}
		byPath[e.Path] = e
	}
	if bad := BadLinks(tree); len(bad) > 0 {
		return nil, errors.New(bad[0])
	}
	arranged := make([]Entry, 0, len(byPath))
	for _, e := range byPath {
		arranged = append(arranged, e)
	}
	slices.SortFunc(arranged, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return arranged, nil
}

// ManifestWriter writes a Dir's manifest: JSON, one member a line, sorted by the bytes of the path.
//
//	{"path":"bin","dir":true}
//	{"path":"bin/run","executable":true,"digest":"sha256:…","size":12}
//	{"path":"empty","digest":"sha256:…"}
//	{"path":"latest","link":"bin/run"}
//
// Every directory has a line, and nothing else is allowed that could be left out or said in
// another way. So there is one manifest for each tree, and the tree's digest is the manifest's.
type ManifestWriter struct {
	w     io.Writer
	hash  hash.Hash
	order order
}

// NewManifestWriter returns a writer of a manifest to w.
func NewManifestWriter(w io.Writer) *ManifestWriter {
	h := sha256.New()
	return &ManifestWriter{w: io.MultiWriter(w, h), hash: h}
}

// Write writes the next member. It is an error if a manifest can't have that member there.
func (w *ManifestWriter) Write(m Member) error {
	if err := w.order.next(m); err != nil {
		return err
	}
	line, err := m.line()
	if err == nil {
		_, err = w.w.Write(line)
	}
	return err
}

// Dir returns the Dir of what was written.
func (w *ManifestWriter) Dir(name string) plan.Dir {
	return plan.Dir{Name: name, Digest: plan.DigestSum(w.hash), Size: w.order.size}
}

// line is the member's line of a manifest.
func (m Member) line() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(m)
	return b.Bytes(), err
}

// ReadManifest reads the manifest of d from r, whose content isn't trusted. It accepts nothing but
// what a [ManifestWriter] writes. At the end it checks d's digest and size. It ends with ctx.
func ReadManifest(ctx context.Context, r io.Reader, d plan.Dir) iter.Seq2[Member, error] {
	return func(yield func(Member, error) bool) {
		h := sha256.New()
		var o order
		for m, err := range members(io.TeeReader(r, h)) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				err = o.next(m)
			}
			if err != nil {
				yield(Member{}, fmt.Errorf("manifest of directory %s: %w", d.Name, err))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
		if got := plan.DigestSum(h); got != d.Digest || o.size != d.Size {
			yield(Member{}, fmt.Errorf("manifest of directory %s: it has the digest %s and %d bytes of files, not %s and %d", d.Name, got, o.size, d.Digest, d.Size))
		}
	}
}

// maxLine bounds a line of a manifest. JSON takes up to six bytes for one of a path.
const maxLine = 8*maxPath + 1<<10

// members reads the lines of a manifest. It doesn't check their order.
func members(r io.Reader) iter.Seq2[Member, error] {
	return func(yield func(Member, error) bool) {
		lines := bufio.NewReaderSize(r, maxLine)
		for {
			line, err := lines.ReadSlice('\n')
			if err == io.EOF && len(line) == 0 {
				return
			}
			var m Member
			switch {
			case err == bufio.ErrBufferFull:
				err = errors.New("a line is too long")
			case err == io.EOF:
				err = io.ErrUnexpectedEOF
			case err == nil:
				m, err = parseMember(line)
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// parseMember reads a line of a manifest.
func parseMember(line []byte) (Member, error) {
	var m Member
	if err := json.Unmarshal(line, &m); err != nil {
		return m, err
	}
	want, err := m.line()
	if err != nil {
		return m, err
	}
	if !bytes.Equal(line, want) {
		return m, fmt.Errorf("the line %q should be %q", line, want)
	}
	return m, nil
}

// order checks members in the order in which a manifest has them.
type order struct {
	last string          // path
	dirs map[string]bool // that were there
	size int64           // of all files
}

func (o *order) next(m Member) error {
	if err := m.check(); err != nil {
		return err
	}
	if m.Path <= o.last {
		return fmt.Errorf("%q comes after %q", m.Path, o.last)
	}
	if parent := path.Dir(m.Path); parent != "." && !o.dirs[parent] {
		return fmt.Errorf("%q comes without its directory", m.Path)
	}
	if m.Size > math.MaxInt64-o.size {
		return errors.New("the sizes of all files are too large together")
	}
	o.last, o.size = m.Path, o.size+m.Size
	if m.Dir {
		if o.dirs == nil {
			o.dirs = map[string]bool{}
		}
		o.dirs[m.Path] = true
	}
	return nil
}

// check says what is wrong with a member by itself.
func (m Member) check() error {
	switch {
	case !ValidPath(m.Path):
		return fmt.Errorf("%q can't be a path in a directory", m.Path)
	case (m.Dir || m.Link != "") && (m.Executable || m.Digest != "" || m.Size != 0), m.Dir && m.Link != "":
		return fmt.Errorf("directory or link %q has what only others have", m.Path)
	case m.Link != "" && linkFault(m.Path, m.Link) != "":
		return fmt.Errorf("link %q leads to %q, %s", m.Path, m.Link, linkFault(m.Path, m.Link))
	case m.Link != "":
		return nil
	case !m.Dir && !m.Digest.Valid():
		return fmt.Errorf("file %q has the digest %q", m.Path, m.Digest)
	case m.Size < 0:
		return fmt.Errorf("file %q has %d bytes", m.Path, m.Size)
	}
	return nil
}
