package flytestar

import (
	"os"
	"path/filepath"
)

// marker is the file that makes a directory a workspace's root.
const marker = "flytestar.toml"

// workspace returns the root directory that load can see, and the entry module's path in
// it: root as asked for, else the nearest ancestor of file with a flytestar.toml, else file's directory.
func workspace(root, file string) (dir, entry string, err error) {
	if info, err := os.Stat(file); err != nil {
		return "", "", usage("%w", err)
	} else if !info.Mode().IsRegular() {
		return "", "", usage("%s isn't a file", file)
	}
	return locate(root, file)
}

// locate is workspace for a file that needn't be there.
func locate(root, file string) (dir, entry string, err error) {
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
	entry, err = filepath.Rel(root, file)
	if err != nil || !filepath.IsLocal(entry) {
		return "", "", usage("%s isn't in the workspace %s", file, root).
			WithHint("--workspace names the directory that holds all files of the workflow")
	}
	return root, filepath.ToSlash(entry), nil
}

// marked returns the nearest directory from dir upwards that has the marker, else dir.
func marked(dir string) string {
	for d := dir; ; d = filepath.Dir(d) {
		if info, err := os.Stat(filepath.Join(d, marker)); err == nil && info.Mode().IsRegular() {
			return d
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}
