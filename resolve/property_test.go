package resolve_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// drawn is a package as randomGraph may declare it, and what it comes to in an image that starts
// from nothing.
type drawn struct {
	text     string
	names    []string
	applies  string // "" always, "never", "maybe"
	versions string // those of 1, 2 and 3 that it admits
}

var (
	pipDrawn = []drawn{
		{"a", []string{"a"}, "", "123"}, {"A==1", []string{"a"}, "", "1"}, {"a>=2", []string{"a"}, "", "23"}, {"a~=1.0 ; os_name == 'posix'", []string{"a"}, "", "1"},
		{"b[x]", []string{"b", "b[x]"}, "", "123"}, {"b[x,y]!=2", []string{"b", "b[x]", "b[y]"}, "", "13"}, {"b==2", []string{"b"}, "", "2"},
		{"b @ https://example.org/b", []string{"b"}, "", "123"}, {"b<9,==2.x", []string{"b"}, "", "123"},
		{"C_c ; sys_platform == 'win32'", []string{"c-c"}, "never", "123"}, {"c.c==3;platform_machine=='x86_64'", []string{"c-c"}, "", "3"},
		{"c-c==1 ; python_version < '3.10'", []string{"c-c"}, "maybe", "1"}, {"./local", nil, "", ""},
	}
	aptDrawn = []drawn{
		{"a", []string{"a"}, "", "123"}, {"a=1", []string{"a"}, "", "1"}, {"a=0:2", []string{"a"}, "", "2"}, {"a/stable", []string{"a"}, "", "123"}, {"apt", []string{"apt"}, "", "123"},
	}
	commandsDrawn = []string{"mkdir -p /a && chmod 7 /a", "pip install a", "curl example.org", "apt-get -q update; apt-get -y install a", "echo pip install"}
	basesDrawn    = []plan.Base{
		{Kind: plan.BaseScratch}, {Kind: plan.BaseRef, Ref: "example:5000/a"}, {Kind: plan.BaseRef, Ref: "aa:latest"}, {Kind: plan.BaseRef, Ref: "aa:1"},
		{Kind: plan.BaseRef, Ref: "aa:1@sha256:" + strings.Repeat("0", 64)}, {Kind: plan.BaseRef, Ref: "oci:a"},
	}
)

func texts(drawn []drawn) (all []string) {
	for _, d := range drawn {
		all = append(all, d.text)
	}
	return all
}

// randomGraph draws environments that depend on earlier ones, with images of a few
// packages, a task in each, and calls between any of them. Everything has a line of its own.
func randomGraph(t *rapid.T) *plan.Graph {
	g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
	line := 0
	pos := func() diag.Position { line++; return diag.Position{File: "a.star", Line: line} }
	for range rapid.IntRange(0, 5).Draw(t, "images") {
		image := plan.Image{Base: rapid.SampledFrom(basesDrawn).Draw(t, "base")}
		image.Base.Pos = pos()
		image.Steps = []plan.Step{
			pip(rapid.SliceOfN(rapid.SampledFrom(texts(pipDrawn)), 0, 3).Draw(t, "pip")...),
			apt(rapid.SliceOfN(rapid.SampledFrom(texts(aptDrawn)), 0, 2).Draw(t, "apt")...),
			pip(rapid.SliceOfN(rapid.SampledFrom(texts(pipDrawn)), 0, 1).Draw(t, "more pip")...),
			{Kind: plan.StepCommands, Commands: rapid.SliceOfN(rapid.SampledFrom(commandsDrawn), 0, 2).Draw(t, "commands"), Network: rapid.Bool().Draw(t, "network")},
		}
		for i := range image.Steps {
			image.Steps[i].Pos = pos()
		}
		g.Images = append(g.Images, image)
	}
	n := rapid.IntRange(1, 40).Draw(t, "environments")
	span := 40
	if rapid.IntRange(0, 9).Draw(t, "deep") == 0 { // so that paths are longer than a search near a node goes
		n, span = n+600, 2
	}
	for i := range n {
		e := plan.Environment{Name: fmt.Sprintf("e%d", i), Image: plan.NoImage, Global: "g", Pos: pos(), Network: i%7 == 3}
		if i < 50 {
			e.Image = rapid.IntRange(plan.NoImage, len(g.Images)-1).Draw(t, "image")
		}
		e.DependsOnPos = e.Pos
		switch {
		case i > 50:
			e.DependsOn = []int{i - 1 - i*i%span}
		case i > 0:
			e.DependsOn = rapid.SliceOfNDistinct(rapid.IntRange(max(0, i-span), i-1), 0, 3, rapid.ID).Draw(t, "depends_on")
		}
		if len(e.DependsOn) > 0 {
			e.DependsOnPos = pos()
		}
		g.Environments = append(g.Environments, e)
		task := plan.Task{Name: "t", Env: i, Dir: ".", Pos: pos(), Body: plan.Body{Kind: plan.BodyStarlark}, Listed: i%3 > 0}
		if i < 50 && rapid.IntRange(0, 4).Draw(t, "container") == 0 {
			task.Body = plan.Body{Kind: plan.BodyCommand, Command: []string{"true"}}
			task.Timeout = time.Duration(rapid.IntRange(0, 1).Draw(t, "timeout"))
		}
		if i%11 == 5 {
			task.Pos.File = "lib.star"
		}
		g.Tasks = append(g.Tasks, task)
	}
	g.Environments = append(g.Environments, plan.Environment{Name: "group", Image: plan.NoImage, DependsOn: []int{0}, Pos: pos(), DependsOnPos: pos()})
	for range rapid.IntRange(0, 60).Draw(t, "calls") {
		g.Calls = append(g.Calls, plan.Call{
			Caller: rapid.IntRange(0, n-1).Draw(t, "caller"), Callee: rapid.IntRange(0, n-1).Draw(t, "callee"),
			Pos: pos(), Possible: rapid.IntRange(0, 3).Draw(t, "possible") == 0,
		})
	}
	return g
}

// obviousClosure is what depends_on reaches from env, without any order or batch.
func obviousClosure(g *plan.Graph, env int) map[int]bool {
	closure := map[int]bool{env: true}
	for todo := []int{env}; len(todo) > 0; todo = todo[1:] {
		for _, d := range g.Environments[todo[0]].DependsOn {
			if !closure[d] {
				closure[d] = true
				todo = append(todo, d)
			}
		}
	}
	return closure
}

// declares is what an image declares of each name, the slow way: "pip a" to what was drawn.
func declares(image plan.Image) map[string][]drawn {
	names := map[string][]drawn{}
	for _, s := range image.Steps {
		list := map[plan.StepKind][]drawn{plan.StepPip: pipDrawn, plan.StepApt: aptDrawn}[s.Kind]
		for _, text := range s.Packages {
			for _, d := range list {
				if d.text == text && d.applies != "never" {
					for _, name := range d.names {
						names[string(s.Kind)+" "+name] = append(names[string(s.Kind)+" "+name], d)
					}
				}
			}
		}
	}
	return names
}

// admits returns which versions are left by certain declarations; an extra has none of its own.
func admitted(name string, lists ...[]drawn) string {
	left := "123"
	for _, d := range slices.Concat(lists...) {
		if d.applies == "" && !strings.Contains(name, "[") {
			left = strings.Map(func(r rune) rune {
				if strings.ContainsRune(d.versions, r) {
					return r
				}
				return -1
			}, left)
		}
	}
	for _, d := range slices.Concat(lists...) { // nothing is known of these, nor of all together
		if strings.Contains(d.text, "@") || strings.Contains(d.text, "==2.x") {
			return "?"
		}
	}
	return left
}

// certain reports whether one of the declarations is sure to apply.
func certain(list []drawn) bool {
	return slices.ContainsFunc(list, func(d drawn) bool { return d.applies == "" })
}

// citation is the call that findings about two environments cite.
func obviousCitations(g *plan.Graph, callers map[int]bool) map[[2]int]plan.Call {
	cited := map[[2]int]plan.Call{}
	for _, c := range g.Calls { // in the order of their lines
		key := [2]int{c.Caller, c.Callee}
		if old, ok := cited[key]; callers[c.Caller] && c.Caller != c.Callee && (!ok || old.Possible && !c.Possible) {
			cited[key] = c
		}
	}
	return cited
}

// found is a finding in short: "CODE line severity".
func found(code string, pos diag.Position, severity diag.Severity) string {
	return fmt.Sprintf("%s %d %s", code, pos.Line, severity)
}

// obviousFindings returns the errors of some tasks and images, as [found] does.
func obviousFindings(g *plan.Graph, callers, images map[int]bool) map[string]bool {
	want := map[string]bool{}
	for key, c := range obviousCitations(g, callers) {
		severity := diag.SeverityError
		if c.Possible {
			severity = diag.SeverityWarning
		}
		from, to := g.Environments[key[0]], g.Environments[key[1]]
		if !obviousClosure(g, key[0])[key[1]] {
			want[found("FS101", c.Pos, severity)] = true
		}
		if from.Image == plan.NoImage || to.Image == plan.NoImage || from.Image == to.Image {
			continue
		}
		has, needs := declares(g.Images[from.Image]), declares(g.Images[to.Image])
		lacks, doubts := false, false
		for name, need := range needs {
			have := has[name]
			switch {
			case len(have) == 0 && certain(need):
				lacks = true
			case len(have) == 0 || certain(need) && !certain(have):
				doubts = true
			case admitted(name, have, need) == "" && admitted(name, have) != "" && admitted(name, need) != "":
				want[found("FS103", c.Pos, severity)] = true
			}
		}
		if lacks {
			want[found("FS102", c.Pos, severity)] = true
		} else if doubts {
			want[found("FS102", c.Pos, diag.SeverityWarning)] = true
		}
	}
	for i := range g.Images {
		for name, list := range declares(g.Images[i]) {
			if images[i] && admitted(name, list) == "" {
				want[fmt.Sprintf("FS103 image %d", i)] = true
			}
		}
	}
	for i, t := range g.Tasks {
		if callers[i] && t.InContainer() && g.Environments[t.Env].Image == plan.NoImage {
			want[found("FS108", t.Pos, diag.SeverityError)] = true
		}
	}
	return want
}

// reduce writes findings as obviousFindings and obviousWarnings do.
func reduce(t *rapid.T, g *plan.Graph, list diag.List) map[string]bool {
	t.Helper()
	got := map[string]bool{}
	for _, e := range list {
		key := found(e.Code, e.Pos, e.Severity)
		switch {
		case e.Code == "FS103" && strings.HasPrefix(e.Msg, "no version"):
			for i := range g.Images {
				if len(g.Images[i].Steps) > 0 && g.Images[i].Base.Pos.Line < e.Pos.Line && e.Pos.Line <= g.Images[i].Steps[3].Pos.Line {
					key = fmt.Sprintf("FS103 image %d", i)
				}
			}
		case e.Code == "FS201":
			key = fmt.Sprintf("FS201 %d %d", e.Notes[0].Pos.Line, e.Notes[1].Pos.Line)
		case e.Code == "FS203":
			key += fmt.Sprint(" ", e.Fix.Index)
		case got[key]:
			t.Errorf("%s is found twice", key)
		}
		got[key] = true
	}
	if !slices.IsSortedFunc(list, func(a, b *diag.Error) int { return a.Pos.Compare(b.Pos) }) {
		t.Error("the findings aren't sorted")
	}
	return got
}

// obviousReach is what a task can come to call, and the images of that and of its closure.
func obviousReach(g *plan.Graph, task int) (tasks, images map[int]bool) {
	tasks, images = map[int]bool{task: true}, map[int]bool{}
	for size := -1; size < len(tasks); {
		size = len(tasks)
		for _, c := range g.Calls {
			if tasks[c.Caller] {
				tasks[c.Callee] = true
			}
		}
	}
	environments := obviousClosure(g, g.Tasks[task].Env)
	for t := range tasks {
		environments[g.Tasks[t].Env] = true
	}
	for e := range environments {
		images[g.Environments[e].Image] = true
	}
	return tasks, images
}

func TestFindingsAgainstTheObvious(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := randomGraph(t)
		files := layout("a", "linux", "amd64", "")
		everyTask, everyImage := map[int]bool{}, map[int]bool{}
		for i := range g.Tasks {
			everyTask[i] = true
		}
		for i := range g.Images {
			everyImage[i] = true
		}
		want := obviousFindings(g, everyTask, everyImage)
		compare(t, "check", reduce(t, g, resolve.Check(g, files, platform)), want)
		task := rapid.IntRange(0, len(g.Tasks)-1).Draw(t, "task")
		tasks, images := obviousReach(g, task)
		compare(t, "task", reduce(t, g, resolve.CheckTask(g, files, task, platform)), obviousFindings(g, tasks, images))
		maps.Copy(want, obviousWarnings(g))
		compare(t, "lint", reduce(t, g, resolve.Lint(g, files, platform)), want)
	})
}

func compare(t *rapid.T, what string, got, want map[string]bool) {
	t.Helper()
	for key := range got {
		if !want[key] {
			t.Errorf("%s: unexpected %s", what, key)
		}
	}
	for key := range want {
		if !got[key] {
			t.Errorf("%s: missing %s", what, key)
		}
	}
}

// obviousWarnings returns what lint adds.
func obviousWarnings(g *plan.Graph) map[string]bool {
	want := map[string]bool{}
	every := map[int]bool{}
	closures := make([]map[int]bool, len(g.Environments))
	for i := range g.Environments {
		every[i], closures[i] = true, obviousClosure(g, i)
	}
	cited := obviousCitations(g, every)
	obviousCallWarnings(g, cited, closures, want)
	for i, e := range g.Environments {
		for index, d := range e.DependsOn {
			_, used := cited[[2]int{i, d}]
			passed, passes := false, false // a call through others may come from before i, and lead behind d
			for key := range cited {
				if closures[key[0]][key[1]] && !slices.Contains(g.Environments[key[0]].DependsOn, key[1]) {
					passed, passes = passed || closures[key[0]][i], passes || closures[d][key[1]]
				}
			}
			if !used && !(passed && passes) && e.Name != "group" {
				want[found("FS203", e.DependsOnPos, diag.SeverityWarning)+fmt.Sprint(" ", index)] = true
			}
		}
		if e.Network && e.Name != "group" && !g.Tasks[i].InContainer() {
			want[found("FS210", e.Pos, diag.SeverityWarning)] = true
		}
	}
	for i := range g.Images {
		obviousImageWarnings(&g.Images[i], want)
	}
	return want
}

func obviousCallWarnings(g *plan.Graph, cited map[[2]int]plan.Call, closures []map[int]bool, want map[string]bool) {
	listed := map[int]bool{}
	for i, t := range g.Tasks {
		if t.Listed {
			tasks, _ := obviousReach(g, i)
			maps.Copy(listed, tasks)
		}
	}
	for i, t := range g.Tasks {
		if !listed[i] && t.Pos.File == "a.star" {
			want[found("FS208", t.Pos, diag.SeverityWarning)] = true
		}
		if t.InContainer() && t.Timeout == 0 {
			severity := diag.SeverityInfo
			if g.Environments[t.Env].Network {
				severity = diag.SeverityWarning
			}
			want[found("FS209", t.Pos, severity)] = true
		}
	}
	for _, c := range g.Calls {
		if c.Possible {
			want[found("FS207", c.Pos, diag.SeverityInfo)] = true
		}
	}
	for key, c := range cited {
		from, to := g.Environments[key[0]], g.Environments[key[1]]
		if c.Possible {
			continue
		}
		if closures[key[0]][key[1]] && !slices.Contains(from.DependsOn, key[1]) {
			want[found("FS202", c.Pos, diag.SeverityWarning)] = true
		}
		if from.Image != plan.NoImage && to.Image != plan.NoImage {
			if a, b := g.Images[from.Image].Base, g.Images[to.Image].Base; a.Ref != b.Ref && b.Kind != plan.BaseScratch {
				want[fmt.Sprintf("FS201 %d %d", a.Pos.Line, b.Pos.Line)] = true
			}
		}
	}
}

func obviousImageWarnings(image *plan.Image, want map[string]bool) {
	switch image.Base.Ref {
	case "example:5000/a", "aa:latest":
		want[found("FS205", image.Base.Pos, diag.SeverityWarning)] = true
	case "aa:1":
		want[found("FS205", image.Base.Pos, diag.SeverityInfo)] = true
	}
	for _, s := range image.Steps {
		local := len(s.Commands) > 0
		for _, c := range s.Commands {
			local = local && (strings.HasPrefix(c, "mkdir") || strings.HasPrefix(c, "echo"))
			if strings.HasSuffix(c, " install a") {
				want[found("FS211", s.Pos, diag.SeverityInfo)] = true
			}
		}
		if local && s.Network {
			want[found("FS210", s.Pos, diag.SeverityWarning)] = true
		}
		for _, p := range s.Packages {
			if s.Kind == plan.StepPip && slices.Contains([]string{"a", "a>=2", "a~=1.0 ; os_name == 'posix'", "b[x]", "b[x,y]!=2", "b<9,==2.x", "C_c ; sys_platform == 'win32'"}, p) {
				want[found("FS204", s.Pos, diag.SeverityInfo)] = true
			}
		}
	}
}

func TestPlanAgainstTheObvious(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := randomGraph(t)
		task := rapid.IntRange(0, len(g.Tasks)-1).Draw(t, "task")
		p, err := resolve.Plan(g, fstest.MapFS{"a/index.json": {}}, task, "linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		images := map[string]bool{}
		for e := range obviousClosure(g, g.Tasks[task].Env) {
			want = append(want, g.Environments[e].Name)
			if i := g.Environments[e].Image; i != plan.NoImage {
				image := g.Images[i]
				images[fmt.Sprint(image.Base.Kind, image.Base.Ref, "|", declared(image))] = true
			}
		}
		slices.Sort(want)
		if got := slices.Sorted(slices.Values(p.Environments)); !slices.Equal(got, want) {
			t.Errorf("environments %v, want %v", got, want)
		}
		if len(p.Images) != len(images) {
			t.Errorf("%d images, want %d", len(p.Images), len(images))
		}
		seen := map[string]bool{}
		for _, e := range p.Environments {
			for _, d := range g.Environments[index(e)].DependsOn {
				if !seen[g.Environments[d].Name] {
					t.Errorf("%s comes before its dependency %s", e, g.Environments[d].Name)
				}
			}
			seen[e] = true
		}
	})
}

// declared is what tells the images of randomGraph apart.
func declared(image plan.Image) string {
	text := ""
	for _, s := range image.Steps {
		text += fmt.Sprintf("%q %q %v;", s.Packages, s.Commands, s.Network)
	}
	return text
}

// index is that of the environment with a name of randomGraph's.
func index(name string) int {
	var i int
	if _, err := fmt.Sscanf(name, "e%d", &i); err != nil {
		panic(err)
	}
	return i
}
