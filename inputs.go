package flytestar

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/exec"
	"github.com/flytestar/flytestar/plan"
)

// Path is a path of this machine. Among a run's inputs it stands for the File or Dir that lies there,
// wherever the input's type has one.
type Path string

// bind returns a task's inputs with the defaults filled in, and has no effect. It checks the names
// and types, that no input is missing, and that every Path is there.
func bind(g *plan.Graph, task int, inputs map[string]plan.Value) (map[string]plan.Value, error) {
	params := g.Tasks[task].Inputs
	if err := known(g.FullName(task), params, inputs); err != nil {
		return nil, err
	}
	bound := make(map[string]plan.Value, len(params))
	for _, p := range params {
		v, given := inputs[p.Name]
		if !given {
			if p.Default == nil {
				return nil, usage("input %q of task %q is missing", p.Name, g.FullName(task)).
					WithHint("it is of type %s", p.Type)
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
			return nil, usage("input %q of task %q: %w", p.Name, g.FullName(task), err)
		}
		bound[p.Name] = v
	}
	return bound, nil
}

// known returns an error for inputs that the task doesn't have.
func known(task string, params []plan.Param, inputs map[string]plan.Value) error {
	has := map[string]bool{}
	var names []string
	for _, p := range params {
		has[p.Name] = true
		names = append(names, p.Name)
	}
	var wrong []string
	for name := range inputs {
		if !has[name] {
			wrong = append(wrong, name)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	sort.Strings(wrong)
	err := usage("task %q has no input %q", task, wrong[0])
	if s := diag.Suggest(wrong[0], names); s != "" {
		return err.WithHint("did you mean %q?", s)
	}
	return err.WithHint("its inputs: %s", strings.Join(names, ", "))
}

func usage(format string, args ...any) *diag.Error {
	return diag.Errorf(diag.Position{}, diag.Usage, format, args...)
}

// store puts the files and directories at the Paths among inputs into the artifact store. It returns
// the inputs as values of their types.
func store(ctx context.Context, s exec.Store, params []plan.Param, bound map[string]plan.Value) (map[string]plan.Value, error) {
	values := make(map[string]plan.Value, len(bound))
	for _, p := range params {
		v, err := replace(bound[p.Name], func(p Path) (plan.Value, error) { return put(ctx, s, string(p)) })
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

// standIn returns a File or Dir for type checks, from what is at the path.
func standIn(p Path) (plan.Value, error) {
	info, err := os.Stat(string(p))
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return plan.Dir{Name: filepath.Base(string(p))}, nil
	case info.Mode().IsRegular():
		return plan.File{Name: filepath.Base(string(p))}, nil
	}
	return nil, fmt.Errorf("%s is neither a file nor a directory", p)
}

// put keeps the file or directory at path in the store.
func put(ctx context.Context, s exec.Store, path string) (plan.Value, error) {
	path, err := filepath.Abs(path) // so that "." has a name
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return putDir(ctx, s, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return s.PutFile(ctx, filepath.Base(path), f)
}

// putDir keeps a directory. A symbolic link in it counts as the file that it leads to, if that file
// is in the directory too. Any other link is an error. So is anything that is neither file nor
// directory.
func putDir(ctx context.Context, s exec.Store, path string) (plan.Value, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var tree []exec.Entry
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := root.Stat(name)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			tree = append(tree, exec.Entry{Path: name, Dir: true})
		case info.Mode().IsRegular():
			open := func() (io.ReadCloser, error) { return root.Open(name) }
			tree = append(tree, exec.Entry{Path: name, Executable: info.Mode()&0o111 != 0, Open: open})
		default:
			return fmt.Errorf("%s is neither a file nor a directory", filepath.Join(path, name))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.PutDir(ctx, filepath.Base(path), tree)
}
