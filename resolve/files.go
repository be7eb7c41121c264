package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/python"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve/packages"
	"github.com/flytestar/flytestar/workspace"
)

// This file is FS112: a file of the workspace that a build or a run needs can't be used. All such
// errors are found here, before anything has an effect. Files are opened but not read, except those
// that name other files. So two errors are left: a layer in an OCI layout whose content isn't what
// its digest says, and a file that changes after the check.

// imageFiles finds files that images need and can't have, and pip requirements that aren't valid.
// Images that extend one another share steps: each step is looked at once.
func (c *checker) imageFiles() {
	seen := map[string]bool{}
	for i := range c.graph.Images {
		if !c.scope.images[i] {
			continue
		}
		image := &c.graph.Images[i]
		c.reportAny(c.baseFile(image.Base))
		for n := range image.Steps {
			s := &image.Steps[n]
			if s.Src != "" {
				key := fmt.Sprintf("%v %s %q %q", s.Pos, s.Kind, s.Src, s.Ignore)
				if seen[key] {
					continue
				}
				seen[key] = true
			}
			c.reportAny(c.stepFile(s))
		}
	}
}

// reportAny reports a finding, if there is one.
func (c *checker) reportAny(e *diag.Error) {
	if e != nil {
		c.findings.report(e)
	}
}

// stepFile checks what a step takes from the workspace.
func (c *checker) stepFile(s *plan.Step) *diag.Error {
	switch s.Kind {
	case plan.StepPip:
		for _, text := range s.Packages {
			if _, err := python.ParseRequirement(text); err != nil && !errors.Is(err, python.ErrNameless) {
				return diag.Errorf(s.Pos, diag.Source, "pip package %w", err)
			}
		}
	case plan.StepRequirements:
		if err := lookFor(c.files, s.Src, s.Pos, isFile); err != nil {
			return err
		}
		if f := c.packages.RequirementsFile(s.Src); f.Err != nil && f.Err != packages.ErrExhausted {
			return unusableFile.Finding(s.Pos, "requirements file %w", f.Err)
		}
	case plan.StepFile:
		if err := lookFor(c.files, s.Src, s.Pos, isFile); err != nil {
			return err
		}
		return c.readable(s.Pos, "", s.Src)
	case plan.StepFolder:
		if err := lookFor(c.files, s.Src, s.Pos, isDir); err != nil {
			return err
		}
		members, err := c.reader.Folder(s.Src, s.Ignore)
		if err != nil {
			return unusableFile.Finding(s.Pos, "source folder: %w", err)
		}
		for _, m := range members {
			if m.Dir || m.Link != "" {
				continue
			}
			if err := c.readable(s.Pos, "source folder: ", path.Join(s.Src, m.Path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// readable returns a finding at pos unless a file can be read. The message begins with what.
func (c *checker) readable(pos diag.Position, what, name string) *diag.Error {
	if err := c.reader.Readable(name); err != nil {
		return unusableFile.Finding(pos, "%s%w", what, err)
	}
	return nil
}

// What a path must lead to.
const (
	isFile = "a regular file"
	isDir  = "a directory"
)

// lookFor returns a finding at pos unless name, in the workspace, is what want says. A symbolic
// link is neither.
func lookFor(files fs.FS, name string, pos diag.Position, want string) *diag.Error {
	if !fs.ValidPath(name) {
		return unusableFile.Finding(pos, "%s leads out of the workspace", name)
	}
	info, err := fs.Lstat(files, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(files, name, pos)
	case err != nil:
		return unusableFile.Finding(pos, "%s can't be read: %w", name, err)
	case info.Mode()&fs.ModeSymlink != 0:
		return unusableFile.Finding(pos, "%s is a symbolic link", name).WithHint("name what it points to, within the workspace")
	case want == isFile && !info.Mode().IsRegular() || want == isDir && !info.IsDir():
		return unusableFile.Finding(pos, "%s isn't %s", name, want)
	}
	return nil
}

// missing returns the finding that there is no file of the name. It suggests the nearest one.
func missing(files fs.FS, name string, pos diag.Position) *diag.Error {
	e := unusableFile.Finding(pos, "there is no %s in the workspace", name)
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

// taskFiles finds python tasks whose file or function isn't there, and include sets that can't be
// carried.
func (c *checker) taskFiles() {
	read, known := map[string]*pythonFile{}, map[string]error{}
	for i := range c.graph.Tasks {
		t := &c.graph.Tasks[i]
		if !c.scope.tasks[i] || !t.InContainer() || t.Body.Kind != plan.BodyPython && len(t.Include) == 0 {
			continue
		}
		if t.Body.Kind == plan.BodyPython {
			if err := c.pythonFunction(t, read); err != nil {
				c.findings.report(err)
				continue
			}
		}
		c.reportAny(c.carried(t, known))
	}
}

// carried checks the files of the workspace that a task's container sees. Tasks that carry the same
// are checked once; known has what was found.
func (c *checker) carried(t *plan.Task, known map[string]error) *diag.Error {
	key := fmt.Sprintf("%s %q %q %q %q", t.Body.Kind, t.Dir, t.Body.Root, t.Body.File, t.Include)
	err, ok := known[key]
	if !ok {
		err = c.unreadable(t)
		known[key] = err
	}
	if err == nil {
		return nil
	}
	return unusableFile.Finding(t.Pos, "%w", err)
}

// unreadable returns why the files that a task carries can't be read, or nil.
func (c *checker) unreadable(t *plan.Task) error {
	names, err := c.reader.Carried(t)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.reader.Readable(name); err != nil {
			return fmt.Errorf("include: %w", err)
		}
	}
	return nil
}

// filesLeftOut is FS217. A file that several tasks would carry is one finding, at the first of them.
func (c *checker) filesLeftOut() {
	known := map[plan.LeftOut]bool{}
	for i := range c.graph.Tasks {
		t := &c.graph.Tasks[i]
		if !c.scope.tasks[i] {
			continue
		}
		for _, l := range c.reader.LeftOut(t) {
			if !known[l] {
				known[l] = true
				c.findings.report(leftOut.Finding(t.Pos, "left out of what task %s sees: %s", c.graph.FullName(i), l.Why).
					WithHint("mend or remove it, or name it in %s", workspace.IgnoreFile))
			}
		}
	}
}

// pythonFunction checks the file and the function that a python task names. read has the files that
// were read.
func (c *checker) pythonFunction(t *plan.Task, read map[string]*pythonFile) *diag.Error {
	if err := lookFor(c.files, t.Body.File, t.Pos, isFile); err != nil {
		return err
	}
	f := read[t.Body.File]
	if f == nil {
		var err error
		if f, err = readPython(c.files, t.Body.File); err != nil {
			return unusableFile.Finding(t.Pos, "%s: %w", t.Body.File, err)
		}
		read[t.Body.File] = f
	}
	if f.mayDefine(t.Body.Function) {
		return nil
	}
	e := unusableFile.Finding(t.Pos, "%s defines no function %q", t.Body.File, t.Body.Function)
	if near := diag.Suggest(t.Body.Function, f.functions); near != "" {
		return e.WithHint("did you mean %q?", near)
	}
	return e
}
