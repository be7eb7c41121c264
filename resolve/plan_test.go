package resolve_test

import (
	"errors"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

const platform = "linux/amd64"

func TestPlan(t *testing.T) {
	g := af2{depends: true, packages: true}.build(t)
	unused := g.Environments[0]
	unused.Name = "fourth"
	g.Environments = append(g.Environments, unused)
	task, err := resolve.Task(g, "main")
	if err != nil {
		t.Fatal(err)
	}
	p, err := resolve.Plan(g, af2Files, task, platform)
	if err != nil {
		t.Fatal(err)
	}
	if p.Task != "multi.main" || !slices.Equal(p.Environments, []string{"fold", "msa", "multi"}) {
		t.Errorf("task %s, environments %v", p.Task, p.Environments)
	}
	var users []string
	for i, image := range p.Images {
		users = append(users, strings.Join(image.Environments, "+"))
		if !image.Declared.Valid() || image.Platform != platform || image.State != "" || !reflect.DeepEqual(image.Image, g.Images[i]) {
			t.Errorf("image %+v", image)
		}
	}
	if !slices.Equal(users, []string{"fold", "msa", "multi"}) {
		t.Errorf("images of %v", users)
	}
}

// TestPlannedTasks: what can come to run, nearest first and what is certain before what is
// possible, with what it would run in.
func TestPlannedTasks(t *testing.T) {
	b := newGraph("a.star")
	low := b.env("low", b.image(pip("x")))
	high := b.env("high", plan.NoImage, low)
	main, maybe, sub := b.orchestrator("main", high), b.orchestrator("maybe", high), b.orchestrator("sub", high)
	work, last := b.python("work", low, "work.py"), b.python("last", low, "work.py")
	b.python("unused", low, "work.py")
	b.Calls = []plan.Call{
		{Caller: main, Callee: maybe, Possible: true}, {Caller: main, Callee: sub},
		{Caller: sub, Callee: work}, {Caller: sub, Callee: main}, {Caller: maybe, Callee: last},
	}
	g := b.graph(t)
	g.Environments[low].Resources, g.Environments[low].Network = plan.Resources{Memory: 1}, true
	g.Tasks[work].Resources, g.Tasks[work].Retries, g.Tasks[work].Timeout = &plan.Resources{MilliCPU: 500}, 2, 90*time.Second
	p, err := resolve.Plan(g, fstest.MapFS{}, main, platform)
	if err != nil {
		t.Fatal(err)
	}
	body := g.Tasks[work].Body
	want := []plan.PlannedTask{
		{Task: "high.main", Body: plan.BodyStarlark, Runs: "orchestrator", Environment: "high", Image: plan.NoImage, Why: "asked for"},
		{Task: "high.sub", Body: plan.BodyStarlark, Runs: "orchestrator", Environment: "high", Image: plan.NoImage, Why: "called by high.main"},
		{Task: "low.work", Body: body.Kind, Runs: body.String(), Environment: "low", Resources: plan.Resources{MilliCPU: 500}, Retries: 2, Timeout: "1m30s", Network: true, Why: "called by high.sub"},
		{Task: "high.maybe", Body: plan.BodyStarlark, Runs: "orchestrator", Environment: "high", Image: plan.NoImage, Why: "may be called by high.main"},
		{Task: "low.last", Body: body.Kind, Runs: "python work.py:last", Environment: "low", Resources: plan.Resources{Memory: 1}, Network: true, Why: "called by high.maybe"},
	}
	if diff := cmp.Diff(want, p.Tasks); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPlanSharesEqualImages(t *testing.T) {
	b := newGraph("a.star")
	low := b.env("low", b.image(pip("x")))
	middle := b.env("middle", b.image(pip("x")), low) // elsewhere in the file
	none := b.env("none", plan.NoImage)
	b.orchestrator("t", b.env("high", 0, middle, none))
	b.Images[1].Name = "another name"
	p, err := resolve.Plan(b.graph(t), fstest.MapFS{}, 0, platform)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Images) != 1 || !slices.Equal(p.Images[0].Environments, []string{"low", "middle", "high"}) || len(p.Environments) != 4 {
		t.Errorf("got %+v", p)
	}
}

func TestPlanWithoutImages(t *testing.T) {
	b := newGraph("a.star")
	b.orchestrator("t", b.env("only", plan.NoImage))
	p, err := resolve.Plan(b.graph(t), fstest.MapFS{}, 0, platform)
	if err != nil || len(p.Images) != 0 || p.Images == nil {
		t.Errorf("got %+v, %v", p, err)
	}
}

// digestOf is the declared digest of one image.
func digestOf(t *testing.T, image plan.Image, files fs.FS, platform string) string {
	t.Helper()
	g := &plan.Graph{Images: []plan.Image{image}, Environments: []plan.Environment{{Name: "e"}}, Tasks: []plan.Task{{Name: "t", Body: plan.Body{Kind: plan.BodyStarlark}}}}
	p, err := resolve.Plan(g, files, 0, platform)
	if err != nil {
		t.Fatal(err)
	}
	return string(p.Images[0].Declared)
}

func workspace(changes map[string]string) fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"r.txt": "a\n-r more.txt\n-c pins.txt\n", "more.txt": "b\n", "pins.txt": "c==1\n",
		"d/x": "x", "d/y": "y", "d/sub/z": "z", "other": "x", "layout/index.json": "{}",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	for name, text := range changes {
		files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return files
}

func on(base plan.Base, steps ...plan.Step) plan.Image { return plan.Image{Base: base, Steps: steps} }

func TestDeclaredDigestDiffers(t *testing.T) {
	debian := plan.Base{Kind: plan.BaseDebian}
	file := plan.Step{Kind: plan.StepFile, Src: "d/x", Dst: "/x"}
	folder := plan.Step{Kind: plan.StepFolder, Src: "d", Dst: "/d"}
	req := requirements("r.txt")
	env := func(kv ...string) plan.Step {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return plan.Step{Kind: plan.StepEnv, EnvVars: m}
	}
	commands := func(c ...string) plan.Step { return plan.Step{Kind: plan.StepCommands, Commands: c} }
	with := func(s plan.Step, change func(*plan.Step)) plan.Step { change(&s); return s }
	executable := workspace(nil)
	executable["d/x"] = &fstest.MapFile{Data: []byte("x"), Mode: 0o755}
	linked := workspace(nil)
	linked["d/y"] = &fstest.MapFile{Data: []byte("x"), Mode: fs.ModeSymlink}

	digests := map[string]string{} // to the declaration
	add := func(what string, image plan.Image, files fs.FS, platform string) {
		d := digestOf(t, image, files, platform)
		if other, dup := digests[d]; dup {
			t.Errorf("%s and %s have one digest", what, other)
		}
		digests[d] = what
	}
	for what, image := range map[string]plan.Image{
		"debian":             on(debian),
		"bookworm":           on(plan.Base{Kind: plan.BaseDebian, Suite: "bookworm"}),
		"with python":        on(plan.Base{Kind: plan.BaseDebian, Python: true}),
		"scratch":            on(plan.Base{Kind: plan.BaseScratch}),
		"ref":                on(plan.Base{Kind: plan.BaseRef, Ref: "a"}),
		"another ref":        on(plan.Base{Kind: plan.BaseRef, Ref: "b"}),
		"layout":             on(plan.Base{Kind: plan.BaseRef, Ref: "oci:layout"}),
		"layout with a tag":  on(plan.Base{Kind: plan.BaseRef, Ref: "oci:layout:tag"}),
		"pip ab c":           on(debian, pip("ab", "c")),
		"pip a bc":           on(debian, pip("a", "bc")),
		"pip c ab":           on(debian, pip("c", "ab")),
		"two pip steps":      on(debian, pip("ab"), pip("c")),
		"two, other order":   on(debian, pip("c"), pip("ab")),
		"empty pip":          on(debian, pip()),
		"pip of one empty":   on(debian, pip("")),
		"apt ab c":           on(debian, apt("ab", "c")),
		"commands ab c":      on(debian, commands("ab", "c")),
		"commands, network":  on(debian, with(commands("ab", "c"), func(s *plan.Step) { s.Network = true })),
		"pip, pre":           on(debian, with(pip("ab", "c"), func(s *plan.Step) { s.Pre = true })),
		"pip, index":         on(debian, with(pip("ab", "c"), func(s *plan.Step) { s.IndexURL = "https://i.example" })),
		"pip, extra index":   on(debian, with(pip("ab", "c"), func(s *plan.Step) { s.ExtraIndexURLs = []string{"https://i.example"} })),
		"pip, index as name": on(debian, pip("ab", "c", "https://i.example")),
		"requirements":       on(debian, req),
		"requirements, pre":  on(debian, with(req, func(s *plan.Step) { s.Pre = true })),
		"env":                on(debian, env("a", "b")),
		"env, other":         on(debian, env("b", "a")),
		"env, two":           on(debian, env("a", "b", "c", "d")),
		"env, two steps":     on(debian, env("a", "b"), env("c", "d")),
		"file":               on(debian, file),
		"file, other place":  on(debian, with(file, func(s *plan.Step) { s.Dst = "/y" })),
		"file, other source": on(debian, with(file, func(s *plan.Step) { s.Src = "d/y" })),
		"folder":             on(debian, folder),
		"folder, ignoring":   on(debian, with(folder, func(s *plan.Step) { s.Ignore = []string{"y"} })),
		"workdir":            on(debian, plan.Step{Kind: plan.StepWorkdir, Name: "/x"}),
		"user":               on(debian, plan.Step{Kind: plan.StepUser, Name: "/x"}),
		"steps, one order":   on(debian, pip("a"), file),
		"steps, the other":   on(debian, file, pip("a")),
	} {
		add(what, image, workspace(nil), platform)
	}
	add("platform", on(debian), workspace(nil), "linux/arm64")
	add("requirements changed", on(debian, req), workspace(map[string]string{"r.txt": "a2\n-r more.txt\n-c pins.txt\n"}), platform)
	add("included changed", on(debian, req), workspace(map[string]string{"more.txt": "b2\n"}), platform)
	add("constraint changed", on(debian, req), workspace(map[string]string{"pins.txt": "c==2\n"}), platform)
	add("file changed", on(debian, file), workspace(map[string]string{"d/x": "x2"}), platform)
	add("file executable", on(debian, file), executable, platform)
	add("folder changed", on(debian, folder), workspace(map[string]string{"d/sub/z": "z2"}), platform)
	add("folder grown", on(debian, folder), workspace(map[string]string{"d/sub/new": ""}), platform)
	add("folder executable", on(debian, folder), executable, platform)
	add("folder with a link", on(debian, folder), linked, platform)
	add("layout changed", on(plan.Base{Kind: plan.BaseRef, Ref: "oci:layout"}), workspace(map[string]string{"layout/index.json": "[]"}), platform)
}

func TestDeclaredDigestStays(t *testing.T) {
	base := plan.Base{Kind: plan.BaseDebian, Python: true}
	index := pip("a")
	index.IndexURL = "https://i.example/simple"
	image := on(base, index, requirements("r.txt"), plan.Step{Kind: plan.StepFile, Src: "d/x", Dst: "/x"},
		plan.Step{Kind: plan.StepFolder, Src: "d", Dst: "/d", Ignore: []string{"y"}}, plan.Step{Kind: plan.StepEnv, EnvVars: map[string]string{"a": "1", "b": "2", "c": "3"}})
	want := digestOf(t, image, workspace(nil), platform)

	placed := image
	placed.Name, placed.Pos, placed.Base.Pos = "name", diag.Position{File: "b.star", Line: 7}, diag.Position{File: "b.star", Line: 6}
	placed.Steps = slices.Clone(image.Steps)
	for i := range placed.Steps {
		placed.Steps[i].Pos = diag.Position{File: "c.star", Line: i}
		placed.Steps[i].EnvVars = maps.Clone(placed.Steps[i].EnvVars)
	}
	placed.Steps[0].IndexURL = "https://user:password@i.example/simple"
	modes := workspace(map[string]string{"d/y": "an ignored file", "elsewhere": "x"})
	modes["d/x"] = &fstest.MapFile{Data: []byte("x"), Mode: 0o600} // readable for others or not: that doesn't get into the image
	if got := digestOf(t, placed, modes, platform); got != want {
		t.Errorf("positions, names, passwords, ignored files or modes changed the digest: %s, %s", got, want)
	}
	// Written down: a change of the encoding makes everyone build everything again.
	if golden := "sha256:477fc6d57df4edd8796db5716c1897f6b99b00c411ac7b6de5fdebe6a67ed2c4"; want != golden {
		t.Errorf("the encoding has changed: %s, was %s", want, golden)
	}
}

func TestPlanReportsFiles(t *testing.T) {
	for _, s := range []plan.Step{
		requirements("none.txt"), {Kind: plan.StepFile, Src: "none"}, {Kind: plan.StepFile, Src: "d"}, {Kind: plan.StepFile, Src: "link"},
		{Kind: plan.StepFolder, Src: "none"}, {Kind: plan.StepFile, Src: "pipe"}, {Kind: plan.StepFolder, Src: "d", Ignore: []string{"[x"}}, {Kind: "new"},
	} {
		s.Pos = diag.Position{File: "a.star", Line: 5}
		files := workspace(nil)
		files["pipe"] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
		files["link"] = &fstest.MapFile{Data: []byte("other"), Mode: fs.ModeSymlink}
		g := &plan.Graph{Images: []plan.Image{on(plan.Base{}, s)}, Environments: []plan.Environment{{}}, Tasks: []plan.Task{{Body: plan.Body{Kind: plan.BodyStarlark}}}}
		_, err := resolve.Plan(g, files, 0, platform)
		var e *diag.Error
		if !errors.As(err, &e) || e.Pos != s.Pos || e.Class != diag.Source {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

func TestTask(t *testing.T) {
	b := newGraph("a.star")
	one, two := b.env("one", plan.NoImage), b.env("two", plan.NoImage)
	b.orchestrator("main", one)   // 0
	b.orchestrator("shared", one) // 1
	b.orchestrator("shared", two) // 2
	b.orchestrator("main", two)   // 3, of another module
	b.Tasks[3].Listed = false
	b.orchestrator("loaded", two) // 4, likewise
	b.Tasks[4].Listed = false
	g := b.graph(t)
	tests := []struct {
		name string
		want int
		err  string // "message hint"
	}{
		{"main", 0, ""},
		{"one.main", 0, ""},
		{"two.main", 3, ""},
		{"loaded", 4, ""},
		{"shared", 0, `several tasks are called "shared" name one in full: one.shared, two.shared`},
		{"mian", 0, `a.star has no task "mian" did you mean "main"?`},
		{"tow.main", 0, `a.star has no task "tow.main" did you mean "two.main"?`},
		{"other", 0, `a.star has no task "other" its tasks are main, shared`},
		{"", 0, `a.star has no task "" its tasks are main, shared`},
	}
	for _, tt := range tests {
		got, err := resolve.Task(g, tt.name)
		if tt.err == "" {
			if err != nil || got != tt.want {
				t.Errorf("Task(%q) = %d, %v; want %d", tt.name, got, err, tt.want)
			}
			continue
		}
		var e *diag.Error
		if !errors.As(err, &e) || e.Msg+" "+e.Hint != tt.err || e.Class != diag.Usage {
			t.Errorf("Task(%q): error %#v, want %q", tt.name, err, tt.err)
		}
	}
	if _, err := resolve.Task(&plan.Graph{Entry: "a.star"}, "x"); err == nil || !strings.Contains(err.(*diag.Error).Hint, "no tasks") {
		t.Errorf("without tasks: %v", err)
	}
}
