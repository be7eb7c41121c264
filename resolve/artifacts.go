package resolve

import (
	"io/fs"
	"path"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Artifacts returns the Files and Dirs of the workspace that running a task may need: the defaults
// within its reach. Functions of orchestrators may pass on every one, so all count if the reach has
// such a function.
func Artifacts(g *plan.Graph, task int) []plan.Artifact { return artifacts(g, within(g, task)) }

func artifacts(g *plan.Graph, s scope) []plan.Artifact {
	wanted := map[plan.Value]bool{}
	want := func(v plan.Value) error { wanted[v] = true; return nil }
	for i := range g.Tasks {
		t := &g.Tasks[i]
		if !s.tasks[i] {
			continue
		}
		if !t.InContainer() {
			return g.Artifacts
		}
		for _, params := range [][]plan.Param{t.Inputs, t.Outputs} {
			for _, p := range params {
				eachDefault(p.Default, p.Type, want)
			}
		}
	}
	var needed []plan.Artifact
	for _, a := range g.Artifacts {
		if wanted[a.Value()] {
			needed = append(needed, a)
		}
	}
	return needed
}

// eachDefault calls f for the artifacts in a default, and in those of the fields of a type's records.
func eachDefault(encoded []byte, t plan.Type, f func(plan.Value) error) {
	if len(encoded) > 0 {
		if v, err := plan.UnmarshalValue(encoded); err == nil { // the graph is validated
			_ = plan.EachArtifact(v, f) // f never fails
		}
	}
	if t.Elem != nil {
		eachDefault(nil, *t.Elem, f)
	}
	for _, m := range t.Members {
		eachDefault(nil, m, f)
	}
	for _, field := range t.Fields {
		eachDefault(field.Default, field.Type, f)
	}
}

// artifactFiles finds Files and Dirs of the workspace that can't be used.
func (c *checker) artifactFiles() {
	for _, a := range artifacts(c.graph, c.scope) {
		c.reportAny(c.artifact(&a))
	}
}

func (c *checker) artifact(a *plan.Artifact) *diag.Error {
	if !a.Dir {
		if err := lookFor(c.files, a.Path, a.Pos, isFile); err != nil {
			return err
		}
		return c.readable(a.Pos, "", a.Path)
	}
	if err := lookFor(c.files, a.Path, a.Pos, isDir); err != nil {
		return err
	}
	members, err := c.reader.Tree(a.Path)
	if err != nil {
		return unusableFile.Finding(a.Pos, "directory: %w", err)
	}
	for _, m := range members {
		name := path.Join(a.Path, m.Path)
		if m.Link != "" {
			if _, err := fs.Stat(c.files, name); err != nil {
				return unusableFile.Finding(a.Pos, "directory: %s is a symbolic link to what isn't there", name)
			}
		} else if !m.Dir {
			if err := c.readable(a.Pos, "directory: ", name); err != nil {
				return err
			}
		}
	}
	return nil
}
