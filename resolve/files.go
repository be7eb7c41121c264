package resolve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/python"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// imageFiles finds what images take from the workspace and can't have, and pip requirements that are none. Images that
// extend one another share steps: what has been looked at isn't again.
func (c *checker) imageFiles() {
	seen := map[string]bool{}
	for i := range c.graph.Images {
		if !c.scope.images[i] {
			continue
		}
		image := &c.graph.Images[i]
		if err := baseFile(c.files, image.Base); err != nil {
			c.findings.report(err)
		}
		for n := range image.Steps {
			s := &image.Steps[n]
			if s.Src != "" {
				key := fmt.Sprintf("%v %s %q %q", s.Pos, s.Kind, s.Src, s.Ignore)
				if seen[key] {
					continue
				}
				seen[key] = true
			}
			if err := c.stepFile(s); err != nil {
				c.findings.report(err)
			}
		}
	}
}

// baseFile checks an "oci:DIR" base.
func baseFile(files fs.FS, b plan.Base) *diag.Error {
	dir, ok := layoutDir(b)
	if !ok {
		return nil
	}
	if err := lookFor(files, dir, b.Pos, isDir); err != nil {
		return err
	}
	if err := lookFor(files, path.Join(dir, layoutIndex), b.Pos, isFile); err != nil {
		return err.WithHint("oci: names the directory of an OCI image layout, which has an %s", layoutIndex)
	}
	return nil
}

// layoutIndex is the file that lists an OCI layout's images.
const layoutIndex = "index.json"

// layoutDir returns the directory of an "oci:DIR" or "oci:DIR:TAG" base.
func layoutDir(b plan.Base) (string, bool) {
	rest, ok := strings.CutPrefix(b.Ref, "oci:")
	if !ok || b.Kind != plan.BaseRef {
		return "", false
	}
	dir, _, _ := strings.Cut(rest, ":")
	return path.Clean(dir), true
}

// stepFile checks what a step takes from the workspace.
func (c *checker) stepFile(s *plan.Step) *diag.Error {
	files := c.files
	switch s.Kind {
	case plan.StepPip:
		for _, text := range s.Packages {
			if _, err := python.ParseRequirement(text); err != nil && !errors.Is(err, python.ErrNameless) {
				return diag.Errorf(s.Pos, diag.Source, "pip package %w", err)
			}
		}
	case plan.StepRequirements:
		if err := lookFor(files, s.Src, s.Pos, isFile); err != nil {
			return err
		}
		if f := c.packages.requirementsFile(s.Src); f.err != nil && f.err != errExhausted {
			return diag.Errorf(s.Pos, diag.Source, "requirements file %w", f.err)
		}
	case plan.StepFile:
		return lookFor(files, s.Src, s.Pos, isFile)
	case plan.StepFolder:
		if err := lookFor(files, s.Src, s.Pos, isDir); err != nil {
			return err
		}
		if _, err := workspace.Folder(files, s.Src, s.Ignore); err != nil {
			return diag.Errorf(s.Pos, diag.Source, "source folder: %w", err)
		}
	}
	return nil
}

// What a path must lead to.
const (
	isFile = "a regular file"
	isDir  = "a directory"
)

// lookFor returns an error at pos unless name, in the workspace, is what want says.
// A symbolic link is neither.
func lookFor(files fs.FS, name string, pos diag.Position, want string) *diag.Error {
	if !fs.ValidPath(name) {
		return diag.Errorf(pos, diag.Source, "%s leads out of the workspace", name)
	}
	info, err := fs.Lstat(files, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(files, name, pos)
	case err != nil:
		return diag.Errorf(pos, diag.Source, "%s can't be read: %w", name, err)
	case info.Mode()&fs.ModeSymlink != 0:
		return diag.Errorf(pos, diag.Source, "%s is a symbolic link", name).WithHint("name what it points to, within the workspace")
	case want == isFile && !info.Mode().IsRegular() || want == isDir && !info.IsDir():
		return diag.Errorf(pos, diag.Source, "%s isn't %s", name, want)
	}
	return nil
}

// missing returns the error that there is no file of the name, with the nearest that is there.
func missing(files fs.FS, name string, pos diag.Position) *diag.Error {
	e := diag.Errorf(pos, diag.Source, "there is no %s in the workspace", name)
	dir, base := path.Dir(name), path.Base(name)
	list, err := fs.ReadDir(files, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return e.WithHint("there is no directory %s either", dir)
	}
	if err != nil {
		return e.WithHint("%s can't be listed: %v", dir, err)
	}
	names := make([]string, len(list))
	for i, d := range list {
		names[i] = d.Name()
	}
	if near := diag.Suggest(base, names); near != "" {
		return e.WithHint("did you mean %s?", path.Join(dir, near))
	}
	return e
}

// taskFiles finds python tasks whose file or function isn't there.
func (c *checker) taskFiles() {
	read := map[string]*pythonFile{}
	for i := range c.graph.Tasks {
		t := &c.graph.Tasks[i]
		if !c.scope.tasks[i] || t.Body.Kind != plan.BodyPython {
			continue
		}
		if err := lookFor(c.files, t.Body.File, t.Pos, isFile); err != nil {
			c.findings.report(err)
			continue
		}
		f := read[t.Body.File]
		if f == nil {
			var err error
			if f, err = readPython(c.files, t.Body.File); err != nil {
				c.findings.report(diag.Errorf(t.Pos, diag.Source, "%s: %w", t.Body.File, err))
				continue
			}
			read[t.Body.File] = f
		}
		if !f.mayDefine(t.Body.Function) {
			e := diag.Errorf(t.Pos, diag.Source, "%s defines no function %q", t.Body.File, t.Body.Function)
			if near := diag.Suggest(t.Body.Function, f.functions); near != "" {
				e.Hint = fmt.Sprintf("did you mean %q?", near)
			}
			c.findings.report(e)
		}
	}
}

// pythonFile is what a look at a Python file, without a parser, tells of its names.
type pythonFile struct {
	words     map[string]bool // every identifier that occurs
	functions []string        // those that follow "def"
	dynamic   bool            // names may come from elsewhere
}

// maxPython bounds a task's Python file, in bytes.
const maxPython = 16 << 20

var (
	pythonWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[\pL_][\pL\pN_]*`) })
	pythonDef  = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?m)^[ \t]*(?:async[ \t]+)?def[ \t]+([\pL_][\pL\pN_]*)`)
	})
	// Ways to bind a name that the file doesn't spell out.
	pythonDynamic = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`import[ \t]*\*|import[ \t]*\([ \t]*\*|__getattr__|\b(?:globals|vars|locals|exec|setattr)\b`)
	})
)

func readPython(files fs.FS, name string) (*pythonFile, error) {
	file, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxPython+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxPython {
		return nil, fmt.Errorf("larger than %d bytes", maxPython)
	}
	f := &pythonFile{words: map[string]bool{}, dynamic: pythonDynamic().Match(data)}
	for _, w := range pythonWord().FindAll(data, -1) {
		f.words[string(w)] = true
	}
	for _, m := range pythonDef().FindAllSubmatch(data, -1) {
		f.functions = append(f.functions, string(m[1]))
	}
	return f, nil
}

// mayDefine is false only where the file can't bind name: it doesn't even
// occur. Whether it is bound to a function shows when the task runs.
func (f *pythonFile) mayDefine(name string) bool { return f.dynamic || f.words[name] }
