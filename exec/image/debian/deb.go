package debian

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/flytestar/flytestar/exec/image/debian/archive"
	"github.com/flytestar/flytestar/exec/image/debian/control"
)

const (
	maxData    = 8 << 30  // bytes of an unpacked package; Debian's biggest have 3
	maxControl = 64 << 20 // bytes of a package's control archive, unpacked
)

// Files calls visit for each entry of a .deb's data archive, in its order. Names are as the package
// has them ("./usr/bin/x") and may be hostile: clean them before you write to them. r is valid
// during the call.
func Files(deb string, visit func(hdr *tar.Header, r io.Reader) error) error {
	return entries(deb, "data.tar", maxData, visit)
}

// entries calls visit for each entry of one of a .deb's two tars.
func entries(deb, name string, limit int64, visit func(hdr *tar.Header, r io.Reader) error) error {
	return readMember(deb, name, func(r io.Reader) error {
		tr := tar.NewReader(io.LimitReader(r, limit))
		for {
			hdr, err := tr.Next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %s: %w", path.Base(deb), name, err)
			}
			if err := visit(hdr, tr); err != nil {
				return err
			}
		}
	})
}

// readMember calls read with the decompressed content of a member of a .deb. The member's name is
// name and an extension.
func readMember(deb, name string, read func(io.Reader) error) error {
	f, err := os.Open(deb)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	members, err := readAr(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path.Base(deb), err)
	}
	for _, m := range members {
		ext, ok := strings.CutPrefix(m.name, name)
		if !ok {
			continue
		}
		r, err := archive.Decompress(io.NewSectionReader(f, m.offset, m.size), ext)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", path.Base(deb), m.name, err)
		}
		defer r.Close()
		return read(r)
	}
	return fmt.Errorf("%s has no %s", path.Base(deb), name)
}

// member is a file in an ar archive.
type member struct {
	name         string
	offset, size int64
}

const (
	arMagic  = "!<arch>\n"
	arHeader = 60
)

// readAr lists the members of a .deb, which is an ar archive of size bytes (deb(5)). A .deb has
// three members; readAr refuses one with many more.
func readAr(r io.ReaderAt, size int64) ([]member, error) {
	var magic [len(arMagic)]byte
	if _, err := r.ReadAt(magic[:], 0); err != nil || string(magic[:]) != arMagic {
		return nil, errors.New("not a Debian package")
	}
	var members []member
	for at := int64(len(arMagic)); at < size; {
		m, err := readArHeader(r, at)
		if err != nil {
			return nil, err
		}
		if m.size > size-m.offset {
			return nil, fmt.Errorf("member %q ends after the archive", m.name)
		}
		if members = append(members, m); len(members) > 16 {
			return nil, errors.New("too many members for a Debian package")
		}
		at = m.offset + m.size + m.size%2
	}
	if len(members) == 0 || members[0].name != "debian-binary" {
		return nil, errors.New("not a Debian package: its first member is not debian-binary")
	}
	return members, nil
}

func readArHeader(r io.ReaderAt, at int64) (member, error) {
	var h [arHeader]byte
	if _, err := r.ReadAt(h[:], at); err != nil {
		return member{}, errors.New("a member's header is cut off")
	}
	size, err := strconv.ParseInt(strings.TrimRight(string(h[48:58]), " "), 10, 64)
	if err != nil || size < 0 || string(h[58:]) != "`\n" {
		return member{}, errors.New("a member's header is broken")
	}
	name := strings.TrimRight(strings.TrimRight(string(h[:16]), " "), "/")
	return member{name, at + arHeader, size}, nil
}

// controlFile is a file of a package's control archive.
type controlFile struct {
	name string
	mode int64 // permission bits
	data []byte
}

// readControl reads a .deb's control archive: its control paragraph, and the other files.
func readControl(deb string) (control.Paragraph, []controlFile, error) {
	var p control.Paragraph
	var files []controlFile
	err := entries(deb, "control.tar", maxControl, func(hdr *tar.Header, r io.Reader) error {
		name := path.Clean("/" + hdr.Name)[1:]
		if hdr.Typeflag != tar.TypeReg || strings.Contains(name, "/") {
			return nil // dpkg keeps only plain files at the top
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if name != "control" {
			files = append(files, controlFile{name, hdr.Mode & 0o777, data})
			return nil
		}
		paragraphs, err := control.Parse(data)
		if err == nil && len(paragraphs) != 1 {
			err = errors.New("not one paragraph")
		}
		if err != nil {
			return fmt.Errorf("%s: control: %w", path.Base(deb), err)
		}
		p = paragraphs[0]
		return nil
	})
	if err == nil && p == nil {
		err = fmt.Errorf("%s has no control file", path.Base(deb))
	}
	return p, files, err
}
