package resolve_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// TestCheck renders the findings of small graphs and compares them with
// testdata/NAME.txt; UPDATE=1 writes those.
func TestCheck(t *testing.T) {
	type test struct {
		graph *plan.Graph
		files fs.FS
	}
	tests := map[string]func(t *testing.T) test{
		"af2":                  func(t *testing.T) test { return test{af2{depends: true, packages: true}.build(t), af2Files} },
		"af2-depends":          func(t *testing.T) test { return test{af2{packages: true}.build(t), af2Files} },
		"af2-packages":         func(t *testing.T) test { return test{af2{depends: true}.build(t), af2Files} },
		"af2-without-image":    func(t *testing.T) test { return test{af2{depends: true, noImage: true}.build(t), af2Files} },
		"af2-everything-wrong": func(t *testing.T) test { return test{af2{}.build(t), fstest.MapFS{}} },
		"hints": func(t *testing.T) test { // FS101's, each with another edit
			b := newGraph("main.star")
			b.module("lib/up.star")
			up := b.env("up", plan.NoImage)
			upTask := b.orchestrator("up_task", up)
			hidden := b.env("hidden", plan.NoImage)
			b.Environments[hidden].Global = "_hidden"
			hiddenTask := b.orchestrator("hidden_task", hidden)
			macro := b.env("macro", plan.NoImage)
			b.Environments[macro].Module = "main.star"
			macroTask := b.orchestrator("macro_task", macro)
			b.module("main.star", "lib/up.star")
			low := b.env("low", plan.NoImage)
			lowTask := b.orchestrator("low_task", low)
			nameless := b.env("nameless", plan.NoImage)
			b.Environments[nameless].Global = ""
			namelessTask := b.orchestrator("nameless_task", nameless)
			high := b.env("high", plan.NoImage, low)
			highTask := b.orchestrator("high_task", high, upTask, hiddenTask, macroTask, lowTask, namelessTask)
			b.orchestrator("low_calls_high", low, highTask) // a cycle
			b.orchestrator("no_list", b.env("alone", plan.NoImage), lowTask)
			b.orchestrator("up_calls_main", up, lowTask) // lib/up.star can't load main.star
			made := b.env("made", plan.NoImage)          // by a macro in lib/up.star, whose file isn't the one to edit
			b.Environments[made].Module = "main.star"
			b.Environments[made].Pos.File, b.Environments[made].DependsOnPos.File = "lib/up.star", "lib/up.star"
			b.orchestrator("made_task", made, lowTask)
			return test{b.graph(t), fstest.MapFS{}}
		},
		"once-per-environment": func(t *testing.T) test {
			b := newGraph("a.star")
			low := b.env("low", plan.NoImage)
			x, y := b.orchestrator("x", low), b.orchestrator("y", low)
			high := b.env("high", plan.NoImage)
			b.orchestrator("first", high, x, y)
			b.orchestrator("second", high, y, x)
			b.Calls[0].Possible = true // the certain one is cited, though it comes later
			return test{b.graph(t), fstest.MapFS{}}
		},
		"possible": func(t *testing.T) test {
			b := newGraph("a.star")
			low := b.env("low", b.image(pip("numpy")))
			high := b.env("high", b.image())
			b.orchestrator("main", high, b.orchestrator("x", low))
			b.Calls[0].Possible = true
			return test{b.graph(t), fstest.MapFS{}}
		},
		"packages": func(t *testing.T) test {
			b := newGraph("a.star")
			tool := b.env("tool", b.image(
				pip("Foo_Bar>=2", "requests[socks,Security]==2", "same", "./local.whl"),
				apt("curl", "git=1:2.30", "gcc/stable"),
				requirements("lib/requirements.txt"),
			))
			run := b.orchestrator("run", tool)
			partly := b.env("partly", b.image(pip("foo-bar", "requests", "Same ; python_version > '3'"), apt("gcc")), tool)
			b.orchestrator("caller", partly, run)
			whole := b.env("whole", b.image(
				apt("gcc", "git", "curl=7"), pip("foo.bar", "requests[security,socks,more]", "same"), pip("from-file", "included"),
			), tool)
			b.orchestrator("has_all", whole, run)
			b.orchestrator("in_container_env", b.env("both", b.image(pip("same")), tool), run)
			b.python("job", 3, "job.py")
			return test{b.graph(t), fstest.MapFS{
				"lib/requirements.txt": {Data: []byte("From.File==1\n-r more.txt\n")},
				"lib/more.txt":         {Data: []byte("included\n")},
				"job.py":               {Data: []byte("def job(): pass")},
			}}
		},
		"versions": func(t *testing.T) test { // FS103's, and what is decided of none
			b := newGraph("a.star")
			callee := b.env("callee", b.image(pip("a>=2", "b==1.0", "c @ https://example.org/c", "d>=2 ; python_version >= '3.10'", "e[x]>=3"), apt("curl=7.88.1-10", "git=1:2.39-1")))
			run := b.orchestrator("run", callee)
			clash := b.env("clash", b.image(pip("A<2", "b===1.0.0", "c==1", "d<2", "e<3"), pip("e[x]"), apt("curl=7.88.1-11", "git=2.39-1")), callee)
			b.orchestrator("clashes", clash, run)
			fine := b.env("fine", b.image(pip("a", "b~=1.0", "c", "d==3", "e[X]==3.1"), apt("curl", "git=1:2.39-1")), callee)
			b.orchestrator("fits", fine, run)
			may := b.env("may", b.image(pip("a==1", "b", "c", "d", "e[x]"), apt("curl", "git")), callee)
			b.orchestrator("may_call", may, run)
			b.Calls[len(b.Calls)-1].Possible = true
			b.env("itself", b.image(pip("a>=2", "x"), requirements("r.txt"), pip("a<5")))
			b.env("together", b.image(pip("p>=1", "p<=2"), pip("p!=1.*"), pip("p!=2")))
			return test{b.graph(t), fstest.MapFS{
				"r.txt": {Data: []byte("x>=2\n-c pins.txt\n")}, "pins.txt": {Data: []byte("x<2\na==1 # a isn't in r.txt\n")},
			}}
		},
		"markers": func(t *testing.T) test { // FS102's, an error where it is certain
			b := newGraph("a.star")
			callee := b.env("callee", b.image(pip("yes ; sys_platform == 'linux'", "no ; sys_platform == 'win32'", "old ; python_version < '3.12'", "arm ; platform_machine == 'aarch64'", "test ; extra == 'test'", "odd ; flavour == 'sweet'")))
			b.Images[0].Base.Suite = "bookworm"
			run := b.orchestrator("run", callee)
			none := b.env("none", b.image(), callee)
			b.orchestrator("lacks", none, run)
			some := b.env("some", b.image(pip("yes", "old ; python_version < '3.12'", "odd ; flavour == 'sour'")), callee) // of an unknown suite
			b.orchestrator("may_lack", some, run)
			all := b.env("all", b.image(pip("yes", "old", "odd")), callee)
			b.orchestrator("has", all, run)
			return test{b.graph(t), fstest.MapFS{}}
		},
		"images": func(t *testing.T) test {
			b := newGraph("a.star")
			b.python("job", b.env("alone", plan.NoImage), "job.py")
			b.orchestrator("fine", 0)
			return test{b.graph(t), fstest.MapFS{"job.py": {Data: []byte("job = print")}}}
		},
		"names": func(t *testing.T) test {
			b := newGraph("a.star")
			e := b.env("same", plan.NoImage)
			b.orchestrator("t", e)
			b.orchestrator("t", e)
			b.orchestrator("t", b.env("other", plan.NoImage))
			b.env("same", plan.NoImage)
			return test{b.graph(t), fstest.MapFS{}}
		},
		"files": func(t *testing.T) test {
			b := newGraph("a.star")
			shared := []plan.Step{requirements("requirments.txt"), requirements("broken.txt"), requirements("dir"),
				{Kind: plan.StepFile, Src: "data/x.csv", Dst: "/"}, {Kind: plan.StepFile, Src: "nowhere/x.csv", Dst: "/"},
				{Kind: plan.StepFile, Src: "link", Dst: "/"}, {Kind: plan.StepFolder, Src: "requirements.txt", Dst: "/"},
				{Kind: plan.StepFolder, Src: "dir", Dst: "/"}, {Kind: plan.StepFolder, Src: "data", Ignore: []string{"[x"}, Dst: "/"}}
			e := b.env("e", b.image(shared...))
			extended := b.image(append(shared, pip("x"))...)
			for i := range b.Images[extended].Steps { // as with_pip_packages on the same image: its positions stay
				b.Images[extended].Steps[i].Pos = b.Images[0].Steps[min(i, len(shared)-1)].Pos
			}
			b.Images[extended].Base.Pos = b.Images[0].Base.Pos
			b.env("f", extended)
			b.python("run_jobs", e, "job.py")
			b.python("run_job", e, "jobs/run.py")
			b.python("anything", e, "star.py")
			for _, ref := range []string{"oci:layout", "oci:layout:tag", "oci:layout:other", "oci:data", "oci:layuot", "oci:../x", "example/python:3"} {
				b.Images[b.image()].Base = plan.Base{Kind: plan.BaseRef, Ref: ref, Pos: b.pos(9)}
			}
			b.container("carries", e, "nothing/*.csv")
			b.container("carries_too", e, "data/*", "dir")
			return test{b.graph(t), and(layout("layout", "linux", "amd64", "tag"), fstest.MapFS{
				"requirements.txt": {Data: []byte("x\n")}, "broken.txt": {Data: []byte("-r none.txt\n")},
				"data/y.csv": {}, "link": {Data: []byte("data/y.csv"), Mode: fs.ModeSymlink},
				"dir/out": {Data: []byte("../data"), Mode: fs.ModeSymlink}, "dir/x": {},
				"job.py":  {Data: []byte("def run_job():\n  return 'no run here'\n")},
				"star.py": {Data: []byte("from x import *")},
			})}
		},
	}
	for name, make := range tests {
		t.Run(name, func(t *testing.T) {
			tt := make(t)
			var b strings.Builder
			if err := diag.Render(&b, resolve.Check(tt.graph, tt.files, platform), nil); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".txt"), b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(name, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// codes returns what l has, as "CODE message" by line.
func codes(l diag.List) string {
	var b strings.Builder
	for _, e := range l {
		b.WriteString(e.Code + " " + e.Msg + "\n")
	}
	return b.String()
}

// TestCheckTask: what the invoked task can't come to is left out.
func TestCheckTask(t *testing.T) {
	b := newGraph("a.star")
	low := b.env("low", plan.NoImage)
	high := b.env("high", plan.NoImage, low)
	far := b.env("far", b.image(requirements("none.txt")))
	lowTask := b.orchestrator("low_task", low)
	farTask := b.orchestrator("far_task", far)
	good := b.orchestrator("good", high, lowTask)
	bad := b.orchestrator("bad", high, farTask)
	via := b.orchestrator("via", high, bad)
	b.orchestrator("also_bad", low, lowTask, bad)
	built := b.orchestrator("built", b.env("top", plan.NoImage, far))
	g := b.graph(t)
	fs101 := "FS101 task high.bad calls far.far_task, but \"high\" doesn't depend on \"far\"\n"
	missing := "FS112 there is no none.txt in the workspace\n"
	for task, want := range map[int]string{good: "", bad: missing + fs101, via: missing + fs101, built: missing} {
		if got := codes(resolve.CheckTask(g, fstest.MapFS{}, task, platform)); got != want {
			t.Errorf("%s: got %swant %s", g.FullName(task), got, want)
		}
	}
	if got := codes(resolve.Check(g, fstest.MapFS{}, platform)); strings.Count(got, "FS101") != 2 {
		t.Errorf("the whole file has %s", got)
	}
}

func TestCallCheck(t *testing.T) {
	b := newGraph("a.star")
	bare, numpy, none := b.env("bare", b.image()), b.env("numpy", b.image(pip("numpy>=2"))), b.env("none", plan.NoImage)
	old, doubtful := b.env("old", b.image(pip("numpy<2"))), b.env("doubtful", b.image(pip("numpy ; python_version < '3.9'")))
	for i, env := range []int{numpy, bare, none, old, doubtful} {
		b.orchestrator(fmt.Sprintf("t%d", i), env)
	}
	check := resolve.CallCheck(b.graph(t), fstest.MapFS{}, platform)
	pos := diag.Position{File: "a.star", Line: 70, Col: 3}
	for call, want := range map[[2]int]string{
		{1, 0}: "a.star:70:3: task bare.t1 calls numpy.t0, but the image of \"bare\" lacks numpy [FS102]",
		{3, 0}: "a.star:70:3: task old.t3 calls numpy.t0, but no version satisfies both images' numpy<2 and numpy>=2 [FS103]",
		{0, 1}: "", {2, 0}: "", {1, 2}: "", {1, 1}: "",
		{4, 0}: "", // a warning
	} {
		got := ""
		if err := check(plan.Call{Caller: call[0], Callee: call[1], Pos: pos}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("call %v: %q, want %q", call, got, want)
		}
	}
}

// TestSharedLists: a list of depends_on that several environments have, by clone_with or from one
// macro, is used if one of them uses it.
func TestSharedLists(t *testing.T) {
	b := newGraph("a.star")
	x, y, z := b.env("x", plan.NoImage), b.env("y", plan.NoImage), b.env("z", plan.NoImage)
	tx, ty := b.orchestrator("tx", x), b.orchestrator("ty", y)
	b.orchestrator("tz", z)
	one := b.env("one", plan.NoImage, x, y, z)
	two := b.env("two", plan.NoImage, x, y, z)
	b.Environments[two].DependsOnPos = b.Environments[one].DependsOnPos
	b.orchestrator("uses_x", one, tx)
	b.orchestrator("uses_y", two, ty)
	list := resolve.Lint(b.graph(t), fstest.MapFS{}, platform)
	want := "FS203 \"one\" depends on \"z\", but none of its tasks calls a task of it\n"
	if got := codes(list); got != want || list[0].Fix.Index != 2 || list[0].Fix.Symbol != "z_env" || list[0].Fix.List != b.Environments[one].DependsOnPos {
		t.Errorf("got %s", got)
	}
}
