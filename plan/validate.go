package plan

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/flytestar/flytestar/diag"
)

// Validate returns the first reason why g isn't a graph, or nil. Examples are an index out of
// range, an unknown kind, a path out of the workspace, a default of the wrong type, and a cycle of
// depends_on. The parent calls it on what the evaluator sends, before anything reads it. It checks
// only the form; resolve finds the mistakes of authors.
func (g *Graph) Validate() error {
	if g.Version != Version {
		return fmt.Errorf("graph has version %d, want %d", g.Version, Version)
	}
	if !fs.ValidPath(g.Entry) {
		return fmt.Errorf("entry %q is no path in the workspace", g.Entry)
	}
	if err := each("module", g.Modules, g.validateModule); err != nil {
		return err
	}
	if err := each("image", g.Images, g.validateImage); err != nil {
		return err
	}
	if err := each("environment", g.Environments, g.validateEnvironment); err != nil {
		return err
	}
	if err := each("task", g.Tasks, g.validateTask); err != nil {
		return err
	}
	if err := each("site", g.Sites, g.validateSite); err != nil {
		return err
	}
	if err := each("call", g.Calls, g.validateCall); err != nil {
		return err
	}
	seen := make(map[Value]bool, len(g.Artifacts))
	if err := each("artifact", g.Artifacts, func(a *Artifact) error { return a.validate(seen) }); err != nil {
		return err
	}
	return g.acyclic()
}

// each checks the elements of one of g's slices.
func each[T any](what string, elems []T, check func(*T) error) error {
	for i := range elems {
		if err := check(&elems[i]); err != nil {
			return fmt.Errorf("%s %d: %w", what, i, err)
		}
	}
	return nil
}

func in(i, n int) bool { return i >= 0 && i < n }

func validPositions(ps ...diag.Position) error {
	for _, p := range ps {
		if p.File != "" && !fs.ValidPath(p.File) || p.Line < 0 || p.Col < 0 {
			return fmt.Errorf("position %q", p)
		}
	}
	return nil
}

func (g *Graph) validateModule(m *Module) error {
	if !fs.ValidPath(m.Path) {
		return fmt.Errorf("%q is no path in the workspace", m.Path)
	}
	for _, l := range m.Loads {
		if !fs.ValidPath(l.Path) {
			return fmt.Errorf("%q is no path in the workspace", l.Path)
		}
		if err := validPositions(l.Pos); err != nil {
			return err
		}
	}
	return nil
}

func (g *Graph) validateImage(i *Image) error {
	switch i.Base.Kind {
	case BaseDebian, BaseRef, BaseScratch:
	default:
		return fmt.Errorf("base of kind %q", i.Base.Kind)
	}
	for n := range i.Steps {
		if err := i.Steps[n].validate(); err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
	}
	return validPositions(i.Pos, i.Base.Pos)
}

func (s *Step) validate() error {
	switch s.Kind {
	case StepPip, StepApt, StepCommands, StepEnv, StepWorkdir, StepUser:
	case StepRequirements, StepFile, StepFolder:
		if !fs.ValidPath(s.Src) {
			return fmt.Errorf("%q is no path in the workspace", s.Src)
		}
	default:
		return fmt.Errorf("kind %q", s.Kind)
	}
	return validPositions(s.Pos)
}

func (g *Graph) validateEnvironment(e *Environment) error {
	if e.Image != NoImage && !in(e.Image, len(g.Images)) {
		return fmt.Errorf("no image %d", e.Image)
	}
	if !ValidName(e.Name) {
		return fmt.Errorf("name %q", e.Name)
	}
	for _, d := range e.DependsOn {
		if !in(d, len(g.Environments)) {
			return fmt.Errorf("no environment %d", d)
		}
	}
	if e.Module != "" && !fs.ValidPath(e.Module) {
		return fmt.Errorf("%q is no path in the workspace", e.Module)
	}
	if err := e.Resources.validate(); err != nil {
		return err
	}
	return validPositions(e.Pos, e.DependsOnPos)
}

func (r *Resources) validate() error {
	if r.MilliCPU < 0 || r.Memory < 0 || r.GPU < 0 || r.Disk < 0 || r.Shm < 0 {
		return fmt.Errorf("negative resources %+v", *r)
	}
	return nil
}

func (g *Graph) validateTask(t *Task) error {
	switch {
	case !in(t.Env, len(g.Environments)):
		return fmt.Errorf("no environment %d", t.Env)
	case !ValidTaskName(t.Name):
		return fmt.Errorf("name %q", t.Name)
	case !fs.ValidPath(t.Dir):
		return fmt.Errorf("%q is no path in the workspace", t.Dir)
	case t.Retries < 0 || t.Timeout < 0:
		return fmt.Errorf("retries %d, timeout %d", t.Retries, t.Timeout)
	case t.Single && (len(t.Outputs) != 1 || t.Outputs[0].Name != "output"):
		return fmt.Errorf("single, but its outputs aren't one of the name %q", "output")
	}
	if t.Resources != nil {
		if err := t.Resources.validate(); err != nil {
			return err
		}
	}
	if err := t.Body.validate(); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if err := validateParams(t.Inputs); err != nil {
		return fmt.Errorf("inputs: %w", err)
	}
	if err := validateParams(t.Outputs); err != nil {
		return fmt.Errorf("outputs: %w", err)
	}
	return validPositions(t.Pos)
}

func (b *Body) validate() error {
	switch b.Kind {
	case BodyStarlark:
	case BodyPython:
		if !fs.ValidPath(b.File) {
			return fmt.Errorf("%q is no path in the workspace", b.File)
		}
		if b.Root != "" && (!fs.ValidPath(b.Root) || b.Root != "." && !strings.HasPrefix(b.File, b.Root+"/")) {
			return fmt.Errorf("%q isn't a directory above %q", b.Root, b.File)
		}
		if err := b.Signature.validate(); err != nil {
			return fmt.Errorf("signature: %w", err)
		}
		if !ValidParam(b.Function) {
			return fmt.Errorf("%q is no function's name", b.Function)
		}
	case BodyCommand:
		if len(b.Command) == 0 {
			return fmt.Errorf("empty command")
		}
	case BodyScript:
		if !strings.HasPrefix(b.Script, "#!") {
			return fmt.Errorf("script that doesn't begin with %q", "#!")
		}
	default:
		return fmt.Errorf("kind %q", b.Kind)
	}
	return validPositions(b.Pos)
}

func (s *Signature) validate() error {
	if s == nil {
		return nil
	}
	types := []*Type{s.Returns}
	for _, p := range s.Params {
		if !utf8.ValidString(p.Name) || len(p.Name) > maxParameter {
			return fmt.Errorf("a parameter's name %q", p.Name)
		}
		types = append(types, p.Type)
	}
	for _, t := range types {
		if t != nil {
			if err := t.validate(0); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxParameter bounds the name of a Python function's parameter, in bytes.
const maxParameter = 1024

// maxGlob bounds an output's pattern, in bytes.
const maxGlob = 4096

func validateParams(params []Param) error {
	seen := make(map[string]bool, len(params))
	for i := range params {
		p := &params[i]
		if !ValidParam(p.Name) || seen[p.Name] {
			return fmt.Errorf("name %q", p.Name)
		}
		seen[p.Name] = true
		if p.Glob != "" && p.Stdout || len(p.Glob) > maxGlob {
			return fmt.Errorf("%s: glob %.100q", p.Name, p.Glob)
		}
		if err := p.validate(); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}

func (p *Param) validate() error {
	if err := p.Type.validate(0); err != nil {
		return err
	}
	if len(p.Default) == 0 {
		return nil
	}
	v, err := UnmarshalValue(p.Default)
	if err == nil {
		_, err = Conform(v, p.Type)
	}
	if err != nil {
		return fmt.Errorf("default: %w", err)
	}
	return nil
}

func (g *Graph) validateCall(c *Call) error {
	if !in(c.Caller, len(g.Tasks)) || !in(c.Callee, len(g.Tasks)) {
		return fmt.Errorf("no such task")
	}
	for _, s := range c.Sites {
		if !in(s, len(g.Sites)) || g.Sites[s].Task != c.Callee {
			return fmt.Errorf("site %d", s)
		}
	}
	return validPositions(c.Pos)
}

func (g *Graph) validateSite(s *Site) error {
	if !in(s.Task, len(g.Tasks)) {
		return fmt.Errorf("no task %d", s.Task)
	}
	switch s.How {
	case SiteCall, SiteStart, SiteMap, SiteAttempt:
	default:
		return fmt.Errorf("kind %q", s.How)
	}
	for _, a := range s.Arguments {
		switch a.Literal {
		case "", KindStr, KindInt, KindFloat, KindBool, KindNone, KindList, KindDict:
		default:
			return fmt.Errorf("literal %q", a.Literal)
		}
		if a.Name != "" && !ValidParam(a.Name) {
			return fmt.Errorf("argument %q", a.Name)
		}
		if err := validPositions(a.Pos); err != nil {
			return err
		}
	}
	return validPositions(s.Pos)
}

func (a *Artifact) validate(seen map[Value]bool) error {
	if !fs.ValidPath(a.Path) || !ValidFileName(path.Base(a.Path)) {
		return fmt.Errorf("%q is no path of a file in the workspace", a.Path)
	}
	if seen[a.Value()] {
		return fmt.Errorf("%s is there twice", a.Path)
	}
	seen[a.Value()] = true
	return validPositions(a.Pos)
}

// acyclic returns an error if depends_on has a cycle. It removes environments without remaining
// dependencies until none is left. Those that remain are on a cycle or lead to one.
func (g *Graph) acyclic() error {
	missing := make([]int, len(g.Environments))
	dependents := make([][]int, len(g.Environments))
	var ready []int
	for i, e := range g.Environments {
		missing[i] = len(e.DependsOn)
		if missing[i] == 0 {
			ready = append(ready, i)
		}
		for _, d := range e.DependsOn {
			dependents[d] = append(dependents[d], i)
		}
	}
	done := 0
	for ; len(ready) > 0; done++ {
		i := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		for _, d := range dependents[i] {
			if missing[d]--; missing[d] == 0 {
				ready = append(ready, d)
			}
		}
	}
	if done < len(g.Environments) {
		return fmt.Errorf("depends_on has a cycle")
	}
	return nil
}
