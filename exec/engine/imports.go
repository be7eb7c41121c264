package engine

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/plan"
)

// This file says how to mend a Python task's failed import. What a container can't import may well
// be in the workspace: not carried, or not below a directory that Python looks in.

// importHint returns how to mend a failed import; "" if there is nothing to say.
func (a *action) importHint(r *raised) string {
	set, err := a.run.include(a.task)
	if err != nil || set == nil {
		return ""
	}
	file, root := a.task.Body.File, set.module.Root
	switch {
	case strings.Contains(r.message, "attempted relative import"):
		if strings.Contains(set.module.Name, ".") {
			return fmt.Sprintf("the package begins in %s, where %s is the module %s; python_root = … says where else", whereIs(root), file, set.module.Name)
		}
		return fmt.Sprintf("%s is in no package: put an empty __init__.py beside it, or give the task python_root = …, the directory where its package begins", file)
	case r.class != "ModuleNotFoundError" || r.missing == "":
		return ""
	}
	module := strings.ReplaceAll(r.missing, ".", "/")
	for _, dir := range a.lookedFor(file, root) {
		found := moduleAt(a.run.Source, path.Join(dir, module))
		switch {
		case found == "":
			continue
		case dir != root && dir != "." && strings.HasPrefix(file, dir+"/"):
			return fmt.Sprintf("%s is in the workspace, but imports begin in %s: python_root = %q lets them begin in %s", found, whereIs(root), "//"+dir, dir)
		case dir != root && dir != ".":
			return fmt.Sprintf("%s is in the workspace, but %s can't be imported from: write the import from %s on, and carry it with include = [%q]", found, dir, whereIs(root), "//"+found)
		}
		return fmt.Sprintf("%s is in the workspace, but the task doesn't carry it: include = [%q]", found, "//"+carry(found))
	}
	if top, _, nested := strings.Cut(r.missing, "."); nested && moduleAt(a.run.Source, path.Join(root, top)) != "" {
		return ""
	}
	return "if a package provides it, add that to the image with with_pip_packages"
}

// whereIs names a directory of the workspace.
func whereIs(dir string) string {
	if dir == "." {
		return "the workspace's root"
	}
	return dir
}

// lookedFor returns the directories in which a missing module may lie: where Python looks, the
// directory of the module that declares the task, and those above the file.
func (a *action) lookedFor(file, root string) []string {
	dirs := []string{root, ".", a.task.Dir}
	for d := path.Dir(file); d != "."; d = path.Dir(d) {
		dirs = append(dirs, d)
	}
	var out []string
	for _, d := range dirs {
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// moduleAt returns the file or directory of the module that lies at a path, without its ending.
func moduleAt(files fs.FS, name string) string {
	if !fs.ValidPath(name) {
		return ""
	}
	for _, n := range []string{name + ".py", name} {
		if info, err := fs.Stat(files, n); err == nil && (info.IsDir() || n != name) {
			return n
		}
	}
	return ""
}

// carry returns the pattern that selects a module.
func carry(found string) string {
	if strings.HasSuffix(found, ".py") {
		return found
	}
	return found + "/**/*.py"
}

// ofException returns the failure of a Python function that raised.
func (a *action) ofException(r *raised) *plan.Failure {
	f := a.fail(plan.FailUser, "%s", r.message)
	f.Type = r.class
	f.Hint = cmp.Or(r.hint, a.importHint(r))
	return f
}
