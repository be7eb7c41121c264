package workspace

import (
	"os"
	"path/filepath"
)

// Marker is the file that makes a directory a workspace's root.
const Marker = "flytestar.toml"

// Locate returns the root directory that load can see, and the path of the module file within it.
// The root is the one asked for, else the nearest directory above the file with a flytestar.toml,
// else the file's own. The file needn't be there. One outside the root is an error of class Usage.
func Locate(root, file string) (dir, module string, err error) {
	file, err = filepath.Abs(file)
	if err != nil {
		return "", "", err
	}
	if root == "" {
		root = marked(filepath.Dir(file))
	}
	if root, err = filepath.Abs(root); err != nil {
		return "", "", err
	}
	module = pathWithin(root, file)
	if module == "" {
		return "", "", usage("%s isn't in the workspace %s", file, root).
			WithHint("--workspace names the directory that holds all files of the workflow")
	}
	return root, module, nil
}

// LocateFile is [Locate] for a file that must be there.
func LocateFile(root, file string) (dir, module string, err error) {
	if info, err := os.Stat(file); err != nil {
		return "", "", usage("%w", err)
	} else if !info.Mode().IsRegular() {
		return "", "", usage("%s isn't a file", file)
	}
	return Locate(root, file)
}

// marked returns the nearest directory from dir upwards that has the marker, else dir.
func marked(dir string) string {
	for d := dir; ; d = filepath.Dir(d) {
		if info, err := os.Stat(filepath.Join(d, Marker)); err == nil && info.Mode().IsRegular() {
			return d
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}
