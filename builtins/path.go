package builtins

import (
	"path"
	"strings"
	"unicode"

	"go.starlark.net/starlark"
)

// workspacePath returns where in the workspace the path p leads that the constructor fn was given.
// p is relative to the directory of the module whose top level th runs or, after "//", to the
// workspace's root. The result is clean; it is "." for the root. spec.md, "Modules".
func workspacePath(th *starlark.Thread, fn, p string) (string, error) {
	module, err := loading(th, fn)
	if err != nil {
		return "", err
	}
	return pathFrom(path.Dir(module), p)
}

// pathFrom returns where in the workspace p leads from dir, as workspacePath.
func pathFrom(dir, p string) (string, error) {
	switch {
	case p == "":
		return "", errorf("the path is empty")
	case strings.ContainsFunc(p, unicode.IsControl):
		return "", errorf("the path %q has a control character", p)
	}
	rooted, ok := strings.CutPrefix(p, "//")
	switch {
	case ok:
		p = path.Clean(rooted)
		if path.IsAbs(rooted) {
			return "", errorf("the path %q has too many slashes", "//"+rooted)
		}
	case path.IsAbs(p):
		return "", errorf("the path %q isn't in the workspace", p).
			WithHint("paths are relative to the module's directory, or to the workspace after //")
	default:
		p = path.Join(dir, p)
	}
	if p == ".." || strings.HasPrefix(p, "../") {
		return "", errorf("the path leads out of the workspace")
	}
	return p, nil
}

// checkPatterns checks patterns of files. They are relative to dir or, after "//", to the
// workspace.
func checkPatterns(dir string, patterns []string) error {
	for _, p := range patterns {
		if _, err := pathFrom(dir, p); err != nil {
			return err
		}
		for _, segment := range strings.Split(p, "/") {
			if _, err := path.Match(segment, ""); err != nil {
				return errorf("the pattern %q is malformed", p).WithHint("close the [ or write \\[ for the character itself")
			}
		}
	}
	return nil
}

// cleanDst checks and cleans a path in an image: absolute, or relative if that is allowed. It keeps
// a slash at the end, which says that the path is a directory.
func cleanDst(dst string, relative bool) (string, error) {
	switch {
	case dst == "":
		return "", errorf("the path is empty")
	case strings.ContainsFunc(dst, unicode.IsControl):
		return "", errorf("the path %q has a control character", dst)
	case !path.IsAbs(dst) && !relative:
		return "", errorf("the path %q isn't absolute", dst)
	}
	for _, segment := range strings.Split(dst, "/") {
		if segment == ".." {
			return "", errorf("the path %q has a ..", dst)
		}
	}
	clean := path.Clean(dst)
	if strings.HasSuffix(dst, "/") && clean != "/" {
		clean += "/"
	}
	return clean, nil
}
