package resolve_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

// at is a position of its own for each n.
func at(n int) diag.Position { return diag.Position{File: "a.star", Line: n + 1, Col: 1} }

// hostileGraphs are graphs that pass Validate, and whose findings would be too many or too long, or
// whose packages too many to compare.
var hostileGraphs = map[string]func() (*plan.Graph, fstest.MapFS){
	// Each of many callers lacks all packages of each of many callees.
	"packages": func() (*plan.Graph, fstest.MapFS) {
		const envs, packages = 300, 10_000
		g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
		names := make([]string, packages)
		for i := range names {
			names[i] = fmt.Sprintf("package%d>=%d", i, i)
		}
		for i := range 2 * envs {
			image := plan.Image{Base: plan.Base{Kind: plan.BaseScratch}}
			e := plan.Environment{Name: fmt.Sprintf("e%d", i), Image: i, Pos: at(i), DependsOnPos: at(i)}
			if i < envs {
				image.Steps = []plan.Step{{Kind: plan.StepPip, Packages: names, Pos: at(i)}}
			} else {
				for d := range envs {
					e.DependsOn = append(e.DependsOn, d)
					g.Calls = append(g.Calls, plan.Call{Caller: i, Callee: d, Pos: at(i)})
				}
			}
			g.Images = append(g.Images, image)
			g.Environments = append(g.Environments, e)
			g.Tasks = append(g.Tasks, plan.Task{Name: "t", Env: i, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}, Listed: true, Pos: at(i)})
		}
		return g, nil
	},
	// Each image reads a large file of its own name, and all declare one package many times.
	"files": func() (*plan.Graph, fstest.MapFS) {
		g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
		files := fstest.MapFS{}
		for i := range 200 {
			name := fmt.Sprintf("r%d.txt", i)
			line := fmt.Sprintf("p!=1.%d; python_version < '3.9'\n", i)
			files[name] = &fstest.MapFile{Data: []byte(strings.Repeat(line, 30_000))}
			g.Images = append(g.Images, plan.Image{Base: plan.Base{Kind: plan.BaseScratch}, Steps: []plan.Step{{Kind: plan.StepRequirements, Src: name, Pos: at(i)}}})
			g.Environments = append(g.Environments, plan.Environment{Name: fmt.Sprintf("e%d", i), Image: i, Pos: at(i), DependsOnPos: at(i)})
		}
		return g, files
	},
	// Nothing is reached, everything has one name, one position, and no image.
	"everything wrong": func() (*plan.Graph, fstest.MapFS) {
		const n = 50_000
		g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
		for i := range n {
			g.Environments = append(g.Environments, plan.Environment{Name: "e", Image: plan.NoImage, Network: true})
			g.Tasks = append(g.Tasks, plan.Task{Name: "t", Env: i, Dir: ".", Body: plan.Body{Kind: plan.BodyCommand, Command: []string{"x"}}, Pos: at(i)})
			g.Calls = append(g.Calls, plan.Call{Caller: i, Callee: (i * 7919) % n, Pos: at(i), Possible: i%2 == 0})
		}
		return g, nil
	},
	// Everyone depends on everyone before, and uses nobody; or a hub calls all, in one place.
	"dependencies": func() (*plan.Graph, fstest.MapFS) {
		const n = 1000
		g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
		for i := range n {
			e := plan.Environment{Name: fmt.Sprintf("e%d", i), Image: plan.NoImage, Pos: at(i), DependsOnPos: at(i + n)}
			for d := range i {
				e.DependsOn = append(e.DependsOn, d)
			}
			g.Environments = append(g.Environments, e)
			g.Tasks = append(g.Tasks, plan.Task{Name: "t", Env: i, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}, Listed: true, Pos: at(i)})
			g.Calls = append(g.Calls, plan.Call{Caller: 0, Callee: i, Pos: at(0), Possible: true})
		}
		return g, nil
	},
	// One image's requirements of one package contradict one another only all together.
	"specifiers": func() (*plan.Graph, fstest.MapFS) {
		var all []string
		for i := range 20_000 {
			all = append(all, fmt.Sprintf("p!=%d.*,<20000", i))
		}
		g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
		for i := range 2 {
			g.Images = append(g.Images, plan.Image{Base: plan.Base{Kind: plan.BaseScratch}, Steps: []plan.Step{{Kind: plan.StepPip, Packages: all[i*10_000 : (i+1)*10_000], Pos: at(i)}}})
			g.Environments = append(g.Environments, plan.Environment{Name: fmt.Sprintf("e%d", i), Image: i, Pos: at(i), DependsOnPos: at(i)})
			g.Tasks = append(g.Tasks, plan.Task{Name: "t", Env: i, Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}, Listed: true, Pos: at(i)})
		}
		g.Images = append(g.Images, plan.Image{Base: plan.Base{Kind: plan.BaseScratch}, Steps: []plan.Step{{Kind: plan.StepPip, Packages: all, Pos: at(2)}}})
		g.Environments = append(g.Environments, plan.Environment{Name: "e2", Image: 2, Pos: at(2), DependsOnPos: at(2)})
		g.Environments[1].DependsOn = []int{0}
		g.Calls = []plan.Call{{Caller: 1, Callee: 0, Pos: at(9)}}
		return g, nil
	},
}

// TestHostileGraphs: whatever the graph, findings are bounded in number and length, and so is the
// memory that they took.
func TestHostileGraphs(t *testing.T) {
	want := map[string]string{ // codes that must be there
		"packages": "FS102 packages", "files": "FS204 packages", "everything wrong": "FS101 FS106 FS108 FS209", "dependencies": "FS203 FS207", "specifiers": "FS103",
	}
	for name, make := range hostileGraphs {
		t.Run(name, func(t *testing.T) {
			g, files := make()
			if err := g.Validate(); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			list := resolve.Lint(g, files, platform)
			runtime.ReadMemStats(&after)
			if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 1<<30 {
				t.Errorf("%d MiB of memory", used>>20)
			}
			count, size := map[string]int{}, 0
			for _, e := range list {
				count[e.Code]++
				if e.Class == diag.Limit && e.IsWarning() {
					t.Errorf("a limit is no error: %v", e)
				}
				length := len(e.Msg) + len(e.Hint)
				for _, n := range e.Notes {
					length += len(n.Msg)
				}
				if length > 20_000 || len(e.Notes) > 60 {
					t.Fatalf("a finding of %d bytes and %d notes: %.1000s", length, len(e.Notes), e.Msg)
				}
				size += length
			}
			for code, n := range count {
				if n > 1001 {
					t.Errorf("%d findings of %s", n, code)
				}
			}
			for _, code := range strings.Fields(want[name]) {
				if count[code] == 0 {
					t.Errorf("no %s among %v", code, count)
				}
			}
			t.Logf("%d findings, %d bytes: %v", len(list), size, count)
		})
	}
}

// TestFurtherFindingsAreCounted: of more than a thousand of one code, the others are one that says
// how many.
func TestFurtherFindingsAreCounted(t *testing.T) {
	b := newGraph("a.star")
	env := b.env("e", b.image())
	for i := range 1234 {
		b.Tasks = append(b.Tasks, plan.Task{Name: fmt.Sprintf("t%d", i), Env: env, Dir: ".", Body: plan.Body{Kind: plan.BodyCommand, Command: []string{"x"}}, Pos: b.pos(1), Listed: true})
	}
	list := resolve.Lint(b.graph(t), fstest.MapFS{}, platform)
	if len(list) != 1001 || list[0].Msg != "and 234 more findings like the first 1000" || list[0].Code != "FS209" || list[0].Severity != diag.SeverityInfo || list[0].Pos != (diag.Position{File: "a.star"}) {
		t.Errorf("%d findings, the first %v", len(list), list[0])
	}
	b.Environments[env].Image = plan.NoImage // errors: none of the count's may pass for a warning
	list = resolve.Check(b.graph(t), fstest.MapFS{}, platform)
	if len(list) != 1001 || len(list.Errors()) != 1001 {
		t.Errorf("%d findings, %d errors", len(list), len(list.Errors()))
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, make := range hostileGraphs {
		g, files := make()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				resolve.Lint(g, files, platform)
			}
		})
	}
}
