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

var _ Source = (*Files)(nil)

// NewFiles returns the modules below root. The caller closes root once
// no evaluator loads from it.
func NewFiles(root *os.Root) *Files { return &Files{root: root} }

// MaxSource bounds what is read of a module, in bytes, whatever [Limits] says;
// the loader refuses what is over its own limit.
const MaxSource = 64 << 20

// ReadModule reads the regular file at p. It follows no symbolic link to the
// file, none out of the workspace on the way there, and waits for no pipe. An
// error is a *diag.Error that tells nothing of what it refused.
func (w *Files) ReadModule(p string) ([]byte, error) {
	if err := CheckPath(p); err != nil {
		return nil, &diag.Error{Msg: err.Error(), Err: err}
	}
	name := filepath.FromSlash(p)
	info, err := w.root.Lstat(name)
	if err != nil {
		return nil, w.readError(p, err)
	}
	if !info.Mode().IsRegular() {
		return nil, irregular(p, info.Mode())
	}
	// Between the look and the open the file can become a pipe: opening one must not wait for its other end.
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
	// Its size is only a guess: it can grow meanwhile.
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

// readError says why p couldn't be read, in words that don't quote the file.
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

// modulesIn lists the modules of a directory; none where it can't be read,
// since only a suggestion depends on it.
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
