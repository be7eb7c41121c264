package resolve

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/ociref"
	"github.com/flytestar/flytestar/internal/text"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// The declared digest names what a workflow file says about an image, and the content of the files
// that the image names. It is the SHA-256 of the platform, the base and each step in its order.
// Every field is written with its kind and length. So no two declarations that differ are written
// alike: pip("ab", "c") isn't pip("a", "bc"). Two pip steps aren't one step, since the first
// constrains the second. Names and positions don't count, nor does the password in an index URL.
// The builder adds what the declaration resolves to: the base's digest, the packages' versions.

// encoding names the way in which declarations are written. Changing it changes every digest.
const encoding = "flytestar image 1"

// declaredDigest returns the declared digest of an image. Errors are positioned at the step that names a file.
func declaredDigest(image *plan.Image, reader *workspace.Reader, platform string) (plan.Digest, error) {
	d := &digester{hash: sha256.New(), reader: reader, files: reader.FS()}
	d.str(encoding)
	d.str(platform)
	if err := d.base(image.Base); err != nil {
		return "", positioned(image.Base.Pos, err)
	}
	d.count('l', len(image.Steps))
	for i := range image.Steps {
		if err := d.step(&image.Steps[i]); err != nil {
			return "", positioned(image.Steps[i].Pos, err)
		}
	}
	return plan.DigestSum(d.hash), nil
}

func positioned(pos diag.Position, err error) error {
	if e, ok := err.(*diag.Error); ok {
		e.Pos = pos
		return e
	}
	return unusableFile.Finding(pos, "%w", err)
}

// digester writes typed, length-prefixed parts into a hash, which never fails.
type digester struct {
	hash   hash.Hash
	reader *workspace.Reader
	files  fs.FS
}

// count writes a part's type and length.
func (d *digester) count(kind byte, n int) {
	var b [9]byte
	b[0] = kind
	binary.BigEndian.PutUint64(b[1:], uint64(n))
	d.hash.Write(b[:])
}

func (d *digester) str(s string) {
	d.count('s', len(s))
	io.WriteString(d.hash, s)
}

func (d *digester) bool(b bool) {
	n := 0
	if b {
		n = 1
	}
	d.count('b', n)
}

func (d *digester) list(l []string) {
	d.count('l', len(l))
	for _, s := range l {
		d.str(s)
	}
}

func (d *digester) dict(m map[string]string) {
	d.count('m', len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		d.str(k)
		d.str(m[k])
	}
}

func (d *digester) base(b plan.Base) error {
	d.str(string(b.Kind))
	d.str(b.Suite)
	d.bool(b.Python)
	dir, tag, ok := ociref.CutLayout(b.Ref)
	if !ok || b.Kind != plan.BaseRef {
		d.str(b.Ref)
		return nil
	}
	d.str("oci")
	d.str(tag)
	return d.file(path.Join(dir, workspace.LayoutIndex)) // which names everything else in the layout by digest
}

func (d *digester) step(s *plan.Step) error {
	d.str(string(s.Kind))
	switch s.Kind {
	case plan.StepPip:
		d.list(s.Packages)
		d.index(s)
	case plan.StepRequirements:
		d.index(s)
		return d.requirements(s.Src)
	case plan.StepApt:
		d.list(s.Packages)
	case plan.StepCommands:
		d.list(s.Commands)
		d.bool(s.Network)
	case plan.StepEnv:
		d.dict(s.EnvVars)
	case plan.StepFile:
		d.str(s.Dst)
		d.str(path.Base(s.Src)) // the name that it has in a Dst which is a directory
		return d.member(s.Src)
	case plan.StepFolder:
		d.str(s.Dst)
		return d.folder(s)
	case plan.StepWorkdir, plan.StepUser:
		d.str(s.Name)
	default:
		return fmt.Errorf("step of kind %q has no digest", s.Kind)
	}
	return nil
}

// index writes the indices that a step's packages come from.
func (d *digester) index(s *plan.Step) {
	d.str(text.WithoutUser(s.IndexURL))
	d.count('l', len(s.ExtraIndexURLs))
	for _, u := range s.ExtraIndexURLs {
		d.str(text.WithoutUser(u))
	}
	d.bool(s.Pre)
}

func (d *digester) requirements(name string) error {
	reqs, err := d.reader.Requirements(name)
	if err != nil {
		return fmt.Errorf("requirements file %w", err)
	}
	d.count('l', len(reqs.Files)) // their names stand in the files that include them
	for _, f := range reqs.Files {
		if err := d.file(f); err != nil {
			return err
		}
	}
	return nil
}

func (d *digester) folder(s *plan.Step) error {
	list, err := d.reader.Folder(s.Src, s.Ignore)
	if err != nil {
		return fmt.Errorf("source folder: %w", err)
	}
	d.count('l', len(list))
	for _, e := range list {
		d.str(e.Path)
		d.bool(e.Dir)
		d.str(e.Link)
		if e.Dir || e.Link != "" {
			continue
		}
		if err := d.member(path.Join(s.Src, e.Path)); err != nil {
			return err
		}
	}
	return nil
}

// member writes a file's content, and whether its owner may execute it. No other bit of its mode
// gets into an image.
func (d *digester) member(name string) error {
	if err := lookFor(d.files, name, diag.Position{}, isFile); err != nil {
		return err
	}
	info, err := fs.Stat(d.files, name)
	if err != nil {
		return err
	}
	d.bool(info.Mode()&0o100 != 0)
	return d.file(name)
}

// file writes the digest of a file's content.
func (d *digester) file(name string) error {
	// It is looked at before it is opened: opening a pipe would wait for the pipe's writer.
	if info, err := fs.Stat(d.files, name); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s isn't %s", name, isFile)
	}
	f, err := d.files.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	d.str(string(h.Sum(nil)))
	return nil
}
