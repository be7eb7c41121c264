package workspace

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"
)

// Entry is a member of a folder.
type Entry struct {
	Path       string // slash-separated, relative to the folder
	Dir        bool
	Executable bool   // a file that its owner may execute; no other bit of its mode counts
	Link       string // the target of a symbolic link, which lies in the folder; else empty
}

// Folder returns what a folder of the workspace holds, itself left out: files, directories, and
// symbolic links within the folder. They are in lexical order, each directory before its members.
// What exclude.go, the folder's .dockerignore or patterns match is left out. A symbolic link out of
// the folder, a device, a pipe, a socket and a name that isn't UTF-8 are errors.
func Folder(files fs.FS, folder string, patterns []string) ([]Entry, error) {
	return NewReader(files).Folder(folder, patterns)
}

// Folder is the function [Folder].
func (r *Reader) Folder(folder string, patterns []string) ([]Entry, error) {
	key := fmt.Sprintf("%q", append([]string{folder}, patterns...))
	return remember(r.folders, key, func() ([]Entry, error) {
		ig, err := readIgnore(r.files, folder, patterns, &r.spent)
		if err != nil {
			return nil, err
		}
		w := folderWalk{files: r.files, folder: folder, ignore: ig, verdicts: map[string]verdict{".": {}}}
		err = fs.WalkDir(r.files, folder, w.visit)
		return w.list, err
	})
}

// Tree returns everything that a directory of the workspace holds, as Folder returns it. Nothing is
// left out.
func (r *Reader) Tree(dir string) ([]Entry, error) {
	w := folderWalk{files: r.files, folder: dir}
	err := fs.WalkDir(r.files, dir, w.visit)
	return w.list, err
}

// folderWalk is the state of one walk.
type folderWalk struct {
	files    fs.FS
	folder   string
	ignore   *ignore            // nil: nothing is left out
	verdicts map[string]verdict // of directories
	list     []Entry
}

func (w *folderWalk) visit(name string, d fs.DirEntry, err error) error {
	if err != nil {
		return fmt.Errorf("%s can't be read: %w", shown(name), cause(err))
	}
	if name == w.folder {
		return nil
	}
	rel := name
	if w.folder != "." {
		rel = strings.TrimPrefix(name, w.folder+"/")
	}
	if w.ignore != nil {
		if out, err := w.leavesOut(rel, d); out || err != nil {
			return err
		}
	}
	e, err := w.entry(rel, d)
	w.list = append(w.list, e)
	return err
}

// leavesOut reports whether a member is left out. Its error is fs.SkipDir if all below it is too.
func (w *folderWalk) leavesOut(rel string, d fs.DirEntry) (bool, error) {
	v, err := w.ignore.judge(rel, d.IsDir(), w.verdicts[path.Dir(rel)])
	if err != nil {
		return false, err
	}
	if d.IsDir() {
		w.verdicts[rel] = v
	}
	if v.out && d.IsDir() && !w.ignore.keeps() {
		return true, fs.SkipDir
	}
	return v.out, nil
}

func (w *folderWalk) entry(rel string, d fs.DirEntry) (Entry, error) {
	e, name := Entry{Path: rel, Dir: d.IsDir()}, path.Join(w.folder, rel)
	switch {
	case !utf8.ValidString(rel):
		return e, notUTF8(name)
	case e.Dir:
		return e, nil
	case d.Type().IsRegular():
		info, err := d.Info()
		if err != nil {
			return e, fmt.Errorf("%s can't be read: %w", shown(name), cause(err))
		}
		e.Executable = info.Mode()&0o100 != 0
		return e, nil
	case d.Type()&fs.ModeSymlink == 0:
		return e, fmt.Errorf("%s is neither a file, a directory nor a symbolic link", shown(name))
	}
	to, err := fs.ReadLink(w.files, name)
	if err != nil {
		return e, fmt.Errorf("%s can't be read: %w", shown(name), cause(err))
	}
	if at := path.Join(path.Dir(rel), to); path.IsAbs(to) || at == ".." || strings.HasPrefix(at, "../") {
		return e, fmt.Errorf("%s is a symbolic link out of %s", shown(name), w.folder)
	}
	if !utf8.ValidString(to) {
		return e, fmt.Errorf("%s is a symbolic link to a name that isn't UTF-8", shown(name))
	}
	e.Link = to
	return e, nil
}

// notUTF8 is the error about a file's name.
func notUTF8(name string) error { return fmt.Errorf("the name %q isn't UTF-8", name) }
