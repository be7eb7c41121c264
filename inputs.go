package flytestar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// Path is a path of this machine. Among a run's inputs it stands for the File or Dir that lies there,
// wherever the input's type has one.
type Path string

// bind returns a task's inputs with the defaults filled in, and has no effect. It checks the names
// and types, that no input is missing, and that every Path is there and can be kept. The error has
// everything that it finds.
func bind(g *plan.Graph, task int, inputs map[string]plan.Value) (map[string]plan.Value, error) {
	params := g.Tasks[task].Inputs
	wrong := unknown(g.FullName(task), params, inputs)
	bound := make(map[string]plan.Value, len(params))
	for _, p := range params {
		v, given := inputs[p.Name]
		if !given {
			if p.Default == nil {
				wrong = append(wrong, usage("input %q of task %q is missing", p.Name, g.FullName(task)).
					WithHint("it is of type %s", p.Type))
				continue
			}
			var err error
			if v, err = plan.UnmarshalValue(p.Default); err != nil {
				return nil, fmt.Errorf("default of input %q of task %q: %w", p.Name, g.FullName(task), err)
			}
		}
		stand, err := replace(v, standIn)
		if err == nil {
			_, err = plan.Conform(stand, p.Type)
		}
		if err != nil {
			wrong = append(wrong, usage("input %q of task %q: %w", p.Name, g.FullName(task), err))
		}
		bound[p.Name] = v
	}
	return bound, wrong.Err()
}

// unknown returns an error for each input that the task doesn't have.
func unknown(task string, params []plan.Param, inputs map[string]plan.Value) diag.List {
	has := map[string]bool{}
	var names []string
	for _, p := range params {
		has[p.Name] = true
		names = append(names, p.Name)
	}
	var wrong diag.List
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if has[name] {
			continue
		}
		err := usage("task %q has no input %q", task, name).WithHint("its inputs: %s", strings.Join(names, ", "))
		if s := diag.Suggest(name, names); s != "" {
			err = err.WithHint("did you mean %q?", s)
		}
		wrong = append(wrong, err)
	}
	return wrong
}

func usage(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, diag.Usage, format, args...)
}

// store puts the files and directories at the Paths among inputs into the artifact store. It returns
// the inputs as values of their types.
func store(ctx context.Context, s exec.Store, params []plan.Param, bound map[string]plan.Value) (map[string]plan.Value, error) {
	values := make(map[string]plan.Value, len(bound))
	for _, p := range params {
		v, err := replace(bound[p.Name], func(p Path) (plan.Value, error) { return put(ctx, s, p) })
		if err == nil {
			v, err = plan.Conform(v, p.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", p.Name, err)
		}
		values[p.Name] = v
	}
	return values, nil
}

// replace returns v with every Path in it replaced by f's value.
func replace(v plan.Value, f func(Path) (plan.Value, error)) (plan.Value, error) {
	switch v := v.(type) {
	case Path:
		return f(v)
	case []plan.Value:
		list := make([]plan.Value, len(v))
		for i := range v {
			var err error
			if list[i], err = replace(v[i], f); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return list, nil
	case plan.Struct:
		m, err := replaceIn(v, f)
		return plan.Struct(m), err
	case map[string]plan.Value:
		return replaceIn(v, f)
	}
	return v, nil
}

func replaceIn(m map[string]plan.Value, f func(Path) (plan.Value, error)) (map[string]plan.Value, error) {
	out := make(map[string]plan.Value, len(m))
	for k, v := range m {
		var err error
		if out[k], err = replace(v, f); err != nil {
			return nil, fmt.Errorf("%q: %w", k, err)
		}
	}
	return out, nil
}

// standIn returns a File or Dir for type checks, from what is at the path. It is an error if that
// can't be kept.
func standIn(p Path) (plan.Value, error) {
	path, info, err := look(p)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	if !info.IsDir() {
		return plan.File{Name: name}, readable(os.Open(path))
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	_, wrong, err := tree(root.FS(), path)
	if err == nil && len(wrong) > 0 {
		more := ""
		if n := len(wrong) - maxWrong; n > 0 {
			wrong, more = wrong[:maxWrong], fmt.Sprintf("; and %d more", n)
		}
		err = fmt.Errorf("%s%s", strings.Join(wrong, "; "), more)
	}
	return plan.Dir{Name: name}, err
}

// maxWrong is how many things in a directory that can't be kept an error lists.
const maxWrong = 10

// look returns the absolute path of a file or directory, so that "." has a name, and what is there.
func look(p Path) (string, fs.FileInfo, error) {
	path, err := filepath.Abs(string(p))
	if err != nil {
		return "", nil, err
	}
	info, err := os.Stat(path)
	switch {
	case string(p) == "":
		return "", nil, errors.New("the path is empty")
	case err != nil:
		return "", nil, err
	case !info.IsDir() && !info.Mode().IsRegular():
		return "", nil, fmt.Errorf("%s is neither a file nor a directory, but %s", p, kind(info.Mode()))
	case !plan.ValidFileName(filepath.Base(path)):
		return "", nil, fmt.Errorf("%q can't be the name of an input", filepath.Base(path))
	}
	return path, info, nil
}

// kind names what is neither a file nor a directory.
func kind(m fs.FileMode) string {
	switch m.Type() {
	case fs.ModeNamedPipe:
		return "a named pipe"
	case fs.ModeSocket:
		return "a socket"
	}
	return "a device"
}

// readable returns the error of opening a file, which it closes.
func readable(f io.Closer, err error) error {
	if err != nil {
		return err
	}
	return f.Close()
}

// put keeps the file or directory at a path in the store.
func put(ctx context.Context, s exec.Store, p Path) (plan.Value, error) {
	path, info, err := look(p)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return s.PutFile(ctx, filepath.Base(path), f)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return putDir(ctx, s, root.FS(), path)
}

// putDir keeps the directory of files, which lies at path, in the store.
func putDir(ctx context.Context, s exec.Store, files fs.FS, path string) (plan.Value, error) {
	entries, wrong, err := tree(files, path)
	if err == nil && len(wrong) > 0 {
		err = errors.New(wrong[0])
	}
	if err != nil {
		return nil, err
	}
	return s.PutDir(ctx, filepath.Base(path), entries)
}

// storeArtifacts puts Files and Dirs of the workspace into the store, and returns what stands there
// for them.
func storeArtifacts(ctx context.Context, s exec.Store, files fs.FS, artifacts []plan.Artifact) (map[plan.Value]plan.Value, error) {
	stored := make(map[plan.Value]plan.Value, len(artifacts))
	for _, a := range artifacts {
		v, err := storeArtifact(ctx, s, files, &a)
		if err != nil {
			return nil, diag.Errorf(a.Pos, diag.System, "keeping %s of the workspace: %w", a.Path, err)
		}
		stored[a.Value()] = v
	}
	return stored, nil
}

func storeArtifact(ctx context.Context, s exec.Store, files fs.FS, a *plan.Artifact) (plan.Value, error) {
	if a.Dir {
		dir, err := fs.Sub(files, a.Path)
		if err != nil {
			return nil, err
		}
		return putDir(ctx, s, dir, a.Path)
	}
	f, err := files.Open(a.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return s.PutFile(ctx, path.Base(a.Path), f)
}

// tree returns what is in a directory, which lies at path, and what of that can't be kept: links that
// don't stay within it, what can't be read, and what is neither file, directory nor link.
func tree(files fs.FS, path string) (entries []exec.Entry, wrong []string, err error) {
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if name == "." {
			return err
		}
		full := filepath.Join(path, name)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", full, cause(err)))
			return nil
		}
		if !exec.ValidPath(name) {
			wrong = append(wrong, fmt.Sprintf("%.300q can't be kept: its name isn't UTF-8, or its path is too long", full))
			return skip(d)
		}
		e := exec.Entry{Path: name, Dir: d.IsDir()}
		switch {
		case d.IsDir():
		case d.Type() == fs.ModeSymlink:
			e.Link, err = fs.ReadLink(files, name)
		case d.Type().IsRegular():
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				e.Executable = info.Mode()&0o111 != 0
				err = readable(files.Open(name))
			}
			e.Open = func() (io.ReadCloser, error) { return files.Open(name) }
		default:
			err = fmt.Errorf("it is %s", kind(d.Type()))
		}
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", full, cause(err)))
			return nil
		}
		entries = append(entries, e)
		return nil
	})
	for _, bad := range exec.BadLinks(entries) {
		wrong = append(wrong, filepath.Join(path, bad))
	}
	return entries, wrong, err
}

// skip leaves an entry out, with what is below it.
func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// cause returns an error without the path that it is about.
func cause(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
