package resolve

import (
	"io/fs"

	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/workspace"
)

// Plan returns what running a task, an index into g.Tasks, needs on a platform ("linux/amd64"): the
// closure of its environment, the images of that closure, and the tasks that can come to run.
// Images that are declared alike are one. The builder fills in the images' State. If a file can't
// be read, the error is a *diag.Error at the step that names it; [CheckTask] finds the same, and
// more.
func Plan(g *plan.Graph, files fs.FS, task int, platform string) (*plan.Plan, error) {
	p := &plan.Plan{Task: g.FullName(task), Images: []plan.BuildImage{}}
	reader := workspace.NewReader(files)
	byIndex, byDigest := map[int]int{}, map[plan.Digest]int{} // into p.Images
	for _, e := range g.Closure(g.Tasks[task].Env) {
		env := &g.Environments[e]
		p.Environments = append(p.Environments, env.Name)
		if env.Image == plan.NoImage {
			continue
		}
		at, ok := byIndex[env.Image]
		if !ok {
			image, err := planned(g, reader, env.Image, platform)
			if err != nil {
				return nil, err
			}
			if at, ok = byDigest[image.Declared]; !ok {
				at = len(p.Images)
				p.Images = append(p.Images, *image)
			}
			byIndex[env.Image], byDigest[image.Declared] = at, at
		}
		p.Images[at].Environments = append(p.Images[at].Environments, env.Name)
	}
	var order []int
	p.Tasks, order = plannedTasks(g, task, byIndex)
	p.LeftOut = filesLeftOut(g, reader, order)
	return p, nil
}

// filesLeftOut returns the files that tasks don't get though they would pick them up, each once.
func filesLeftOut(g *plan.Graph, reader *workspace.Reader, tasks []int) []plan.LeftOut {
	var all []plan.LeftOut
	known := map[plan.LeftOut]bool{}
	for _, t := range tasks {
		for _, l := range reader.LeftOut(&g.Tasks[t]) {
			if !known[l] {
				known[l] = true
				all = append(all, l)
			}
		}
	}
	return all
}

// Image returns an image, an index into g.Images, with its declared digest. Errors are like those
// of [Plan].
func Image(g *plan.Graph, files fs.FS, image int, platform string) (*plan.BuildImage, error) {
	return planned(g, workspace.NewReader(files), image, platform)
}

func planned(g *plan.Graph, reader *workspace.Reader, image int, platform string) (*plan.BuildImage, error) {
	digest, err := declaredDigest(&g.Images[image], reader, platform)
	if err != nil {
		return nil, err
	}
	return &plan.BuildImage{Image: g.Images[image], Declared: digest, Platform: platform}, nil
}

// plannedTasks returns the tasks that can come to run, breadth first: those that certain calls
// reach, then those that only possible calls reach. images has each image's place in the plan. It
// has none for a call that depends_on doesn't reach; the engine would refuse that call. order has the
// tasks as indices.
func plannedTasks(g *plan.Graph, task int, images map[int]int) (tasks []plan.PlannedTask, order []int) {
	calls := make([][]*plan.Call, len(g.Tasks)) // by caller
	for i := range g.Calls {
		c := &g.Calls[i]
		calls[c.Caller] = append(calls[c.Caller], c)
	}
	seen := make([]bool, len(g.Tasks))
	add := func(t int, why string) {
		if !seen[t] {
			seen[t] = true
			order = append(order, t)
			tasks = append(tasks, plannedTask(g, t, images, why))
		}
	}
	add(task, "asked for")
	certain, possible := 0, 0 // how many of order have had their calls of each kind followed
	for possible < len(order) {
		if certain < len(order) {
			for _, c := range calls[order[certain]] {
				if !c.Possible {
					add(c.Callee, "called by "+g.FullName(c.Caller))
				}
			}
			certain++
			continue
		}
		for _, c := range calls[order[possible]] {
			add(c.Callee, "may be called by "+g.FullName(c.Caller))
		}
		possible++
	}
	return tasks, order
}

func plannedTask(g *plan.Graph, task int, images map[int]int, why string) plan.PlannedTask {
	t := &g.Tasks[task]
	env := &g.Environments[t.Env]
	p := plan.PlannedTask{
		Task: g.FullName(task), Body: t.Body.Kind, Runs: t.Body.String(), Environment: env.Name,
		Image: plan.NoImage, Retries: t.Retries, Why: why,
	}
	if t.Timeout > 0 {
		p.Timeout = plan.Duration(t.Timeout)
	}
	if !t.InContainer() {
		return p
	}
	if at, ok := images[env.Image]; ok {
		p.Image = at
	}
	p.Network, p.Resources = env.Network, env.Resources
	if t.Resources != nil {
		p.Resources = *t.Resources
	}
	return p
}
