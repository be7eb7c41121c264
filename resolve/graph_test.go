package resolve_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// builder writes graphs as a workflow file would declare them. Everything gets a
// line of its own in the current file.
type builder struct {
	plan.Graph
	file string
	line int
}

func newGraph(entry string) *builder {
	return &builder{Graph: plan.Graph{Version: plan.Version, Entry: entry}, file: entry}
}

// module goes on in another file, which loads others.
func (b *builder) module(path string, loads ...string) {
	m := plan.Module{Path: path}
	for i, l := range loads {
		m.Loads = append(m.Loads, plan.Load{Path: l, Pos: diag.Position{File: path, Line: i + 1, Col: 6}})
	}
	b.Modules = append(b.Modules, m)
	b.file, b.line = path, len(loads)
}

func (b *builder) pos(col int) diag.Position {
	b.line++
	return diag.Position{File: b.file, Line: b.line, Col: col}
}

func pip(packages ...string) plan.Step { return plan.Step{Kind: plan.StepPip, Packages: packages} }
func apt(packages ...string) plan.Step { return plan.Step{Kind: plan.StepApt, Packages: packages} }
func requirements(src string) plan.Step {
	return plan.Step{Kind: plan.StepRequirements, Src: src}
}

// image adds an image on Debian.
func (b *builder) image(steps ...plan.Step) int {
	pos := b.pos(9)
	image := plan.Image{Base: plan.Base{Kind: plan.BaseDebian, Python: true, Pos: pos}, Pos: pos}
	for i, s := range steps {
		s.Pos = pos
		s.Pos.Col += 10 * (i + 1)
		image.Steps, image.Pos = append(image.Steps, s), s.Pos
	}
	b.Images = append(b.Images, image)
	return len(b.Images) - 1
}

// env adds an environment that is bound to NAME_env.
func (b *builder) env(name string, image int, deps ...int) int {
	e := plan.Environment{Name: name, Image: image, DependsOn: deps, Pos: b.pos(7), Global: name + "_env"}
	e.DependsOnPos = e.Pos
	if len(deps) > 0 {
		e.DependsOnPos.Col = 60
	}
	b.Environments = append(b.Environments, e)
	return len(b.Environments) - 1
}

// orchestrator adds a task with a Starlark body that calls others, each in a line.
func (b *builder) orchestrator(name string, env int, callees ...int) int {
	t := plan.Task{Name: name, Env: env, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark, Function: "_" + name}, Pos: b.pos(8), Listed: true}
	b.Tasks = append(b.Tasks, t)
	for _, c := range callees {
		b.Calls = append(b.Calls, plan.Call{Caller: len(b.Tasks) - 1, Callee: c, Pos: b.pos(11)})
	}
	return len(b.Tasks) - 1
}

// python adds a python task.
func (b *builder) python(name string, env int, file string) int {
	b.Tasks = append(b.Tasks, plan.Task{Name: name, Env: env, Dir: ".", Body: plan.Body{Kind: plan.BodyPython, File: file, Function: name}, Pos: b.pos(8)})
	return len(b.Tasks) - 1
}

// container adds a task that runs a command, and carries what patterns select.
func (b *builder) container(name string, env int, include ...string) int {
	b.Tasks = append(b.Tasks, plan.Task{
		Name: name, Env: env, Dir: ".", Body: plan.Body{Kind: plan.BodyCommand, Command: []string{"true"}}, Include: include, Pos: b.pos(8),
	})
	return len(b.Tasks) - 1
}

func (b *builder) graph(t testing.TB) *plan.Graph {
	t.Helper()
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	return &b.Graph
}

// af2 is examples/af2.star, with what its tests leave out.
type af2 struct {
	depends  bool // env depends on fold_env and msa_env, not on msa_env alone
	packages bool // main's image has MSA_PACKAGES
	noImage  bool // main's environment has no image
}

func (a af2) build(t testing.TB) *plan.Graph {
	b := newGraph("af2.star")
	b.module("af2/fold/run.star")
	fold := b.env("fold", b.image(pip("ruff")))
	runFold := b.python("run_fold", fold, "af2/fold/run.py")
	b.module("af2/msa/run.star")
	msa := b.env("msa", b.image(pip("pytest")))
	runMSA := b.python("run_msa", msa, "af2/msa/run.py")
	b.module("af2.star", "af2/fold/run.star", "af2/msa/run.star")
	steps := []plan.Step{pip("ruff"), pip("pytest")}
	if !a.packages {
		steps = steps[:1]
	}
	image, deps := b.image(steps...), []int{fold, msa}
	if a.noImage {
		image = plan.NoImage
	}
	if !a.depends {
		deps = deps[1:]
	}
	b.orchestrator("main", b.env("multi", image, deps...), runMSA, runFold)
	return b.graph(t)
}

var af2Files = fstest.MapFS{
	"af2/fold/run.py": {Data: []byte("def run_fold(sequence, msa):\n    pass\n")},
	"af2/msa/run.py":  {Data: []byte("def run_msa(x):\n    pass\n")},
}

// chainGraph is n environments with an orchestrator each; environment i depends on i-1, and its
// task calls that of i-1 and of i-step.
func chainGraph(n, step int) *plan.Graph {
	g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
	for i := range n {
		pos := diag.Position{File: "a.star", Line: i + 1, Col: 1}
		e := plan.Environment{Name: fmt.Sprintf("e%d", i), Image: plan.NoImage, Pos: pos, DependsOnPos: pos}
		if i > 0 {
			e.DependsOn = []int{i - 1}
		}
		g.Environments = append(g.Environments, e)
		g.Tasks = append(g.Tasks, plan.Task{Name: "t", Env: i, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}, Pos: pos})
		if i > 0 {
			g.Calls = append(g.Calls, plan.Call{Caller: i, Callee: i - 1, Pos: pos}, plan.Call{Caller: i, Callee: max(0, i-step), Pos: pos})
		}
	}
	return g
}
