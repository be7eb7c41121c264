package workspace

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/flytestar/flytestar/diag"
)

// Root is an open workspace.
type Root struct {
	Dir  string // its absolute name on this machine
	root *os.Root
	home string // the home directory as a path in the workspace; "" if it lies elsewhere
}

// Open opens the workspace at dir. home is the directory where builds and runs keep their things.
// It is no part of the workspace, even if it lies within. The caller closes the Root.
func Open(dir, home string) (*Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, usage("workspace: %w", err)
	}
	return &Root{Dir: dir, root: root, home: pathWithin(dir, home)}, nil
}

// Close closes the workspace.
func (r *Root) Close() error { return r.root.Close() }

// OS returns the directory itself. The Root goes on owning it.
func (r *Root) OS() *os.Root { return r.root }

// FS returns the workspace's files. Symbolic links don't lead out of it, the home directory isn't
// in it, and opening a pipe doesn't wait for its writer.
func (r *Root) FS() fs.FS { return rootFS{r.root.FS().(linkFS), r.root, r.home} }

// FS returns the files of the workspace that root is, as [Root.FS] does.
func FS(root *os.Root, home string) fs.FS {
	return rootFS{root.FS().(linkFS), root, pathWithin(root.Name(), home)}
}

// pathWithin returns name as a path within dir, or "" if it lies elsewhere.
func pathWithin(dir, name string) string {
	rel, err := filepath.Rel(dir, name)
	if name == "" || err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// linkFS is what the file system of an os.Root implements.
type linkFS interface {
	fs.ReadLinkFS
	fs.ReadDirFS
	fs.StatFS
}

// rootFS is the file system of a Root.
type rootFS struct {
	linkFS
	root *os.Root
	home string // as in Root
}

// Open implements fs.FS. It doesn't wait for what may have become a pipe since it was looked at.
func (f rootFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	file, err := f.root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil || f.home == "" || path.Dir(f.home) != name {
		return file, err
	}
	return &aboveHome{file, path.Base(f.home)}, nil
}

// aboveHome is the directory that the home directory lies in.
type aboveHome struct {
	*os.File
	home string
}

// ReadDir implements fs.ReadDirFile. It leaves out the home directory.
func (d *aboveHome) ReadDir(n int) ([]fs.DirEntry, error) {
	list, err := d.File.ReadDir(n)
	return without(list, d.home), err
}

func without(list []fs.DirEntry, name string) []fs.DirEntry {
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool { return e.Name() == name })
}

// ReadDir implements fs.ReadDirFS. It leaves out the home directory.
func (f rootFS) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := f.linkFS.ReadDir(name)
	if f.home == "" || path.Dir(f.home) != name {
		return list, err
	}
	return without(list, path.Base(f.home)), err
}

func usage(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, diag.Usage, format, args...)
}

var errOutside = errors.New("it leads out of the workspace")

// cause returns the error without the path that the system puts before it: messages name it anyway.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if err != nil && err.Error() == "path escapes from parent" { // package os has no name for it
		return errOutside
	}
	return err
}
