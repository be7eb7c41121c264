package language

import (
	"go.starlark.net/starlark"

	"github.com/flytestar/flytestar/builtins"
	"github.com/flytestar/flytestar/interp"
	"github.com/flytestar/flytestar/language/reach"
	"github.com/flytestar/flytestar/plan"
)

// graph returns what r's modules declare, in the order of construction. all is in the order in
// which the modules finished, entry the last. Its error is a diag.List of names that are missing or
// taken, or a *diag.Error of a limit.
func graph(r *builtins.Registry, entry *interp.Module, all []*interp.Module) (*plan.Graph, error) {
	if err := checkNames(r); err != nil {
		return nil, err
	}
	r.Index()
	m := maker{
		registry: r,
		graph:    &plan.Graph{Version: plan.Version, Entry: entry.Path},
		images:   map[*builtins.Image]int{},
		envs:     make(map[*builtins.Environment]int, len(r.Environments)),
		tasks:    make(map[*builtins.Task]int, len(r.Tasks)),
	}
	m.graph.Environments = make([]plan.Environment, 0, len(r.Environments))
	m.graph.Tasks = make([]plan.Task, 0, len(r.Tasks))
	for _, mod := range all {
		m.graph.Modules = append(m.graph.Modules, plan.Module{Path: mod.Path, Digest: mod.Digest, Loads: mod.Loads})
	}
	for _, e := range r.Environments {
		m.environment(e)
	}
	for _, a := range r.Artifacts {
		out := a.Decl
		out.Pos = r.Sources.Start(a.Site)
		m.graph.Artifacts = append(m.graph.Artifacts, out)
	}
	listed := listedIn(entry, all)
	for _, t := range r.Tasks {
		m.task(t, listed[t])
	}
	var err error
	if m.graph.Calls, m.graph.Sites, err = reach.Calls(r.Tasks, m.tasks, all); err != nil {
		return nil, err
	}
	return m.graph, nil
}

// maker makes a graph. Its maps hold each value's index.
type maker struct {
	registry *builtins.Registry
	graph    *plan.Graph
	images   map[*builtins.Image]int
	envs     map[*builtins.Environment]int
	tasks    map[*builtins.Task]int
}

// environment adds an environment, and its image unless another environment has added it.
func (m *maker) environment(e *builtins.Environment) {
	out := plan.Environment{
		Name: e.Name, Image: plan.NoImage, Resources: e.Resources, EnvVars: e.EnvVars, Network: e.Network,
		Description: e.Description, Global: e.Global, Pos: m.registry.Sources.Start(e.Site),
	}
	if e.Module != out.Pos.File {
		out.Module = e.Module
	}
	out.DependsOnPos = out.Pos
	if e.DependsAt.At.IsValid() {
		out.DependsOnPos = m.registry.Sources.Argument(e.DependsAt, "depends_on")
	}
	for _, d := range e.DependsOn {
		out.DependsOn = append(out.DependsOn, m.envs[d])
	}
	if e.Image != nil {
		out.Image = m.image(e.Image)
	}
	m.envs[e] = len(m.graph.Environments)
	m.graph.Environments = append(m.graph.Environments, out)
}

func (m *maker) image(i *builtins.Image) int {
	n, ok := m.images[i]
	if !ok {
		n = len(m.graph.Images)
		m.images[i] = n
		m.graph.Images = append(m.graph.Images, i.Plan(&m.registry.Sources))
	}
	return n
}

func (m *maker) task(t *builtins.Task, listed bool) {
	out := t.Decl
	out.Env = m.envs[t.Env]
	out.Pos = m.registry.Sources.Start(t.Site)
	out.Listed = listed
	m.tasks[t] = len(m.graph.Tasks)
	m.graph.Tasks = append(m.graph.Tasks, out)
}

// listedIn returns the tasks that globals of the entry hold, or that the entry loads.
func listedIn(entry *interp.Module, all []*interp.Module) map[*builtins.Task]bool {
	listed := map[*builtins.Task]bool{}
	add := func(v starlark.Value) {
		if t, ok := v.(*builtins.Task); ok {
			listed[t] = true
		}
	}
	for _, v := range entry.Globals {
		add(v)
	}
	byPath := map[string]*interp.Module{}
	for _, m := range all {
		byPath[m.Path] = m
	}
	for path, name := range entry.Loaded() {
		add(byPath[path].Globals[name])
	}
	return listed
}
