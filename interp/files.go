package interp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/flytestar/flytestar/diag"
)

// Files serves the modules of a workspace: the .star files below a directory. It is a [Source].
type Files struct{ root *os.Root }

var _ PythonSource = (*Files)(nil)

// NewFiles returns the modules below root. The caller closes root once nothing loads from it.
func NewFiles(root *os.Root) *Files { return &Files{root: root} }

// MaxSource bounds how many bytes of a module are read, whatever [Limits] says. The loader's own
// limit can only be lower.
const MaxSource = 64 << 20

// ReadModule reads the regular file at p. It follows no symbolic link, neither to the file nor on
// the way there. It doesn't wait for a pipe. Its error is a *diag.Error that tells nothing of a
// refused file.
func (w *Files) ReadModule(p string) ([]byte, error) {
	if err := CheckPath(p); err != nil {
		return nil, &diag.Error{Msg: err.Error(), Err: err}
	}
	if err := w.onTheWay(p); err != nil {
		return nil, err
	}
	return w.read(p)
}

// onTheWay returns an error if a directory of p is a symbolic link. One module could else have two
// paths, and so be evaluated twice.
func (w *Files) onTheWay(p string) error {
	for i, c := range p {
		if c != '/' {
			continue
		}
		info, err := w.root.Lstat(filepath.FromSlash(p[:i]))
		if err != nil {
			return w.readError(p, err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return irregular(p[:i], info.Mode())
		}
	}
	return nil
}

// ReadPython implements [PythonSource], as ReadModule.
func (w *Files) ReadPython(p string) ([]byte, error) {
	if err := CheckPythonPath(p); err != nil {
		return nil, &diag.Error{Msg: err.Error(), Err: err}
	}
	return w.read(p)
}

func (w *Files) read(p string) ([]byte, error) {
	name := filepath.FromSlash(p)
	info, err := w.root.Lstat(name)
	if err != nil {
		return nil, w.readError(p, err)
	}
	if !info.Mode().IsRegular() {
		return nil, irregular(p, info.Mode())
	}
	// After Lstat the file can become a pipe. Opening a pipe must not wait for its other end.
	f, err := w.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, w.readError(p, err)
	}
	defer f.Close()
	opened, err := f.Stat()
	if err != nil {
		return nil, w.readError(p, err)
	}
	if !os.SameFile(info, opened) {
		return nil, &diag.Error{Msg: fmt.Sprintf("%s changed while it was read", p)}
	}
	tooLarge := ErrSource.Errorf("%s is larger than %d bytes", p, MaxSource).WithHint("no limit can be higher: keep data in files that tasks read")
	if opened.Size() > MaxSource {
		return nil, tooLarge
	}
	// The size is only a guess: the file may be growing.
	data := bytes.NewBuffer(make([]byte, 0, opened.Size()+bytes.MinRead))
	if _, err := data.ReadFrom(io.LimitReader(f, MaxSource+1)); err != nil {
		return nil, w.readError(p, err)
	}
	if data.Len() > MaxSource {
		return nil, tooLarge
	}
	return data.Bytes(), nil
}

func irregular(p string, mode fs.FileMode) *diag.Error {
	kind := "isn't a regular file"
	switch {
	case mode.IsDir():
		kind = "is a directory"
	case mode&fs.ModeSymlink != 0:
		kind = "is a symbolic link, which load doesn't follow"
	}
	return &diag.Error{Msg: fmt.Sprintf("%s %s", p, kind)}
}

// readError says why p couldn't be read. It quotes nothing of the file.
func (w *Files) readError(p string, err error) *diag.Error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		e := &diag.Error{Msg: fmt.Sprintf("there is no module %s", p), Err: fs.ErrNotExist}
		if s := diag.Suggest(path.Base(p), w.modulesIn(path.Dir(p))); s != "" {
			e.WithHint("did you mean %q?", path.Join(path.Dir(p), s))
		}
		return e
	case errors.Is(err, fs.ErrPermission):
		return &diag.Error{Class: diag.System, Msg: fmt.Sprintf("%s may not be read", p), Err: err}
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &diag.Error{Msg: fmt.Sprintf("can't read %s: %v", p, err), Err: err}
}

// maxListed bounds how many entries of a directory are considered for a suggestion.
const maxListed = 1000

// modulesIn lists the modules of a directory, or nothing if the directory can't be read: only a
// suggestion depends on it.
func (w *Files) modulesIn(dir string) []string {
	f, err := w.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return nil
	}
	defer f.Close()
	entries, err := f.ReadDir(maxListed)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	return names
}
