package resolve

import (
	"io/fs"

	"github.com/flytestar/flytestar/plan"
)

// Plan returns what running a task, an index into g.Tasks, needs on a platform
// ("linux/amd64"): the closure of its environment, and each image of that once.
// Environments whose images are declared alike share one. The images' State
// is left for the builder to fill in. A file that can't be read is a
// *diag.Error at the step that names it; [CheckTask] finds the same, and more.
func Plan(g *plan.Graph, files fs.FS, task int, platform string) (*plan.Plan, error) {
	p := &plan.Plan{Task: g.FullName(task), Images: []plan.BuildImage{}}
	byIndex, byDigest := map[int]int{}, map[string]int{} // into p.Images
	for _, e := range g.Closure(g.Tasks[task].Env) {
		env := &g.Environments[e]
		p.Environments = append(p.Environments, env.Name)
		if env.Image == plan.NoImage {
			continue
		}
		at, ok := byIndex[env.Image]
		if !ok {
			image := &g.Images[env.Image]
			digest, err := declaredDigest(image, files, platform)
			if err != nil {
				return nil, err
			}
			if at, ok = byDigest[digest]; !ok {
				at = len(p.Images)
				p.Images = append(p.Images, plan.BuildImage{Image: *image, Declared: digest, Platform: platform})
			}
			byIndex[env.Image], byDigest[digest] = at, at
		}
		p.Images[at].Environments = append(p.Images[at].Environments, env.Name)
	}
	return p, nil
}
