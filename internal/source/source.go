// Package source reads what a workflow takes from its workspace, so
// that what is checked and digested is what is built:
//
//   - [Folder] lists what a source folder holds once its ignore rules are applied.
//   - [Ignore] is those rules.
//   - [Include] selects the files that a task carries.
//   - [ReadRequirements] reads a requirements file and those that it includes;
//     [ParseRequirement] one requirement.
//
// Everything comes through an fs.FS that is rooted at the workspace; [os.Root.FS]
// is one which no symbolic link leads out of. The package imports nothing of flytestar.
package source

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Entry is a member of a folder.
type Entry struct {
	Path       string // slash-separated, relative to the folder
	Dir        bool
	Executable bool   // a file whose owner may execute it; no other mode bit counts
	Link       string // the target of a symbolic link, which lies in the folder; else empty
}

// dockerIgnore is the file that has a folder's own ignore rules.
const (
	dockerIgnore = ".dockerignore"
	maxIgnore    = 1 << 20 // bytes
)

// Folder returns what a folder of the workspace holds, itself left out, in
// lexical order and each directory before its members: files, directories, and symbolic links
// within the folder. Left out is what patterns (as [ParseIgnore] reads them) or
// the folder's .dockerignore match. A symbolic link out of the folder, a
// device, a pipe or a socket is an error.
func Folder(files fs.FS, folder string, patterns []string) ([]Entry, error) {
	rules, err := folderIgnore(files, folder, patterns)
	if err != nil {
		return nil, err
	}
	var list []Entry
	err = fs.WalkDir(files, folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == folder {
			return err
		}
		rel := name
		if folder != "." {
			rel = strings.TrimPrefix(name, folder+"/")
		}
		if rules.Match(rel, d.IsDir()) {
			if d.IsDir() && !rules.keeps() {
				return fs.SkipDir
			}
			return nil
		}
		e, err := entry(files, folder, rel, d)
		list = append(list, e)
		return err
	})
	return list, err
}

func folderIgnore(files fs.FS, folder string, patterns []string) (Ignore, error) {
	name := path.Join(folder, dockerIgnore)
	data, err := readBounded(files, name, maxIgnore)
	var docker Ignore
	if err == nil {
		docker, err = ParseIgnore(strings.Split(string(data), "\n"), true)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	own, err := ParseIgnore(patterns, false)
	return append(docker, own...), err
}

func entry(files fs.FS, folder, rel string, d fs.DirEntry) (Entry, error) {
	e, name := Entry{Path: rel, Dir: d.IsDir()}, path.Join(folder, rel)
	switch {
	case e.Dir:
		return e, nil
	case d.Type().IsRegular():
		info, err := d.Info()
		if err != nil {
			return e, err
		}
		e.Executable = info.Mode()&0o100 != 0
		return e, nil
	case d.Type()&fs.ModeSymlink == 0:
		return e, fmt.Errorf("%s is neither a file, a directory nor a symbolic link", name)
	}
	to, err := fs.ReadLink(files, name)
	if err != nil {
		return e, err
	}
	if at := path.Join(path.Dir(rel), to); path.IsAbs(to) || at == ".." || strings.HasPrefix(at, "../") {
		return e, fmt.Errorf("%s is a symbolic link out of %s", name, folder)
	}
	e.Link = to
	return e, nil
}
