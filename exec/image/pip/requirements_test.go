package pip

import (
	"strings"
	"testing"

	"github.com/flytestar/flytestar/exec/image/memo"
	"github.com/flytestar/flytestar/plan"
)

func TestRequirements(t *testing.T) {
	inst := newInstaller(t, map[string]string{"r/req.txt": "-r more.txt\npytest\n", "r/more.txt": "ruff\n-c pins.txt\n", "r/pins.txt": "x==1\n"})
	w, err := inst.requirements(plan.Step{Kind: plan.StepRequirements, Src: "r/req.txt"})
	must(t, err)
	var names []string
	for _, f := range w.files {
		names = append(names, strings.TrimPrefix(f.Path, runDir+"/requirements/"))
	}
	if got := strings.Join(names, " "); got != "r/more.txt r/pins.txt r/req.txt" {
		t.Errorf("files %s", got)
	}
	for _, bad := range []string{"-r /etc/passwd", " --index-url=x", "a\nb", ""} {
		if _, err := inst.requirements(plan.Step{Kind: plan.StepPip, Packages: []string{bad}}); err == nil {
			t.Errorf("%q is taken for a package", bad)
		}
	}
	one, err := inst.requirements(plan.Step{Kind: plan.StepPip, Packages: []string{"a", "b"}})
	must(t, err)
	two, err := inst.requirements(plan.Step{Kind: plan.StepPip, Packages: []string{"b", "a"}})
	must(t, err)
	if one.key(memo.NewKey("k")).Hex() != two.key(memo.NewKey("k")).Hex() {
		t.Error("the order of packages makes two resolutions")
	}
}
