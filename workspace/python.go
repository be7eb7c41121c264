package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/flytestar/flytestar/plan"
)

// This file finds out as which module a Python task's file is imported. spec.md, "Package roots".

// PythonModule is a Python file as a module.
type PythonModule struct {
	Root string // the directory in the workspace where its package begins, "." for the workspace's own
	Name string // as in "import NAME"
}

// PythonModule returns as which module a Python task's file is imported. It is an error if a
// pyproject.toml that decides this can't be read.
func (r *Reader) PythonModule(b *plan.Body) (PythonModule, error) {
	return remember(r.modules, b.Root+"\x00"+b.File, func() (PythonModule, error) {
		root, err := b.Root, error(nil)
		if root == "" {
			root, err = r.packageRoot(b.File)
		}
		return PythonModule{root, moduleName(root, b.File)}, err
	})
}

// moduleName returns a file's name as a module of root.
func moduleName(root, file string) string {
	rel := strings.TrimSuffix(relative(root, file), ".py")
	rel = strings.TrimSuffix(rel, "/__init__")
	if strings.Contains(rel, ".") { // it can't be imported by a name; the shim loads it by its path
		return strings.ReplaceAll(path.Base(rel), ".", "_")
	}
	return strings.ReplaceAll(rel, "/", ".")
}

// relative returns name as a path relative to dir, or "" if it isn't below dir.
func relative(dir, name string) string {
	if dir == "." {
		return name
	}
	rel, ok := strings.CutPrefix(name, dir+"/")
	if !ok {
		return ""
	}
	return rel
}

// packageRoot returns the directory where the package of a Python file begins: as the project that
// the file belongs to says, or else above the directories with an __init__.py that lead to it.
func (r *Reader) packageRoot(file string) (string, error) {
	dir := path.Dir(file)
	project := r.nearest(dir, pyproject)
	if project != "" {
		p, err := r.readProject(project)
		if err != nil {
			return "", fmt.Errorf("%s, which says where Python packages begin: %w (python_root = … says it instead)", path.Join(project, pyproject), err)
		}
		if root := p.root(project, file); root != "" {
			return root, nil
		}
	}
	for dir != "." && dir != project && r.isFile(path.Join(dir, "__init__.py")) {
		dir = path.Dir(dir)
	}
	return dir, nil
}

// nearest returns the nearest directory, from dir upwards, that has a file of the name, or "".
func (r *Reader) nearest(dir, name string) string {
	for ; ; dir = path.Dir(dir) {
		if r.isFile(path.Join(dir, name)) {
			return dir
		}
		if dir == "." {
			return ""
		}
	}
}

func (r *Reader) isFile(name string) bool {
	info, err := fs.Stat(r.files, name)
	return err == nil && info.Mode().IsRegular()
}

// pyproject is the name of the file that describes a Python project.
const pyproject = "pyproject.toml"

// project is what a pyproject.toml says of where packages are. Other tools' tables aren't read.
type project struct {
	Project struct {
		Name string `toml:"name"`
	} `toml:"project"`
	Tool struct {
		Setuptools struct {
			PackageDir map[string]string `toml:"package-dir"`
			Packages   any               `toml:"packages"` // a list of names, or {find = {where = [DIR, …]}}
		} `toml:"setuptools"`
	} `toml:"tool"`
}

func (r *Reader) readProject(dir string) (p project, err error) {
	data, err := ReadFile(r.files, path.Join(dir, pyproject), maxSettings)
	if err != nil {
		return p, err
	}
	err = toml.Unmarshal(data, &p)
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, _ := wrong.Position()
		err = fmt.Errorf("line %d: %w", line, err)
	}
	return p, err
}

// root returns the root of a file of the project in dir, or "" if the project doesn't say.
func (p *project) root(dir, file string) string {
	for name, at := range p.Tool.Setuptools.PackageDir {
		root, ok := strings.CutSuffix("/"+path.Join(dir, at), "/"+strings.ReplaceAll(name, ".", "/"))
		root = path.Join(".", root)
		if name != "" && ok && relative(path.Join(dir, at), file) != "" {
			return root
		}
	}
	for _, source := range p.sources() {
		if root := path.Join(dir, source); root != dir && relative(root, file) != "" {
			return root
		}
	}
	top, _, below := strings.Cut(relative(dir, file), "/")
	if below && p.has(top) { // a flat layout
		return dir
	}
	return ""
}

// sources returns the directories that hold the project's packages.
func (p *project) sources() []string {
	if at, ok := p.Tool.Setuptools.PackageDir[""]; ok {
		return []string{at}
	}
	table, _ := p.Tool.Setuptools.Packages.(map[string]any)
	find, _ := table["find"].(map[string]any)
	where, _ := find["where"].([]any)
	if dirs := texts(where); len(dirs) > 0 {
		return dirs
	}
	return []string{"src"}
}

// has reports whether the project names a package of that name.
func (p *project) has(name string) bool {
	listed, _ := p.Tool.Setuptools.Packages.([]any)
	for _, l := range texts(listed) {
		if top, _, _ := strings.Cut(l, "."); top == name {
			return true
		}
	}
	return p.Project.Name != "" && strings.EqualFold(separators.ReplaceAllString(p.Project.Name, "_"), name)
}

// separators are what a project's name has for "_" in its package's name.
var separators = regexp.MustCompile(`[-_.]+`)

func texts(list []any) []string {
	var out []string
	for _, x := range list {
		if s, ok := x.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
