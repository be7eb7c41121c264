// Command graph times the checks of generated graphs, doubling their size, prints the series and
// writes it as a picture: go run ./bench/graph FILE.svg. What evaluating a file takes isn't in it.
package main

import (
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: graph FILE.svg")
		os.Exit(2)
	}
	var all []series
	for _, s := range []series{
		{name: "check, 10 dependencies and 10 calls each", graph: random, run: resolve.Check},
		{name: "lint, 10 dependencies and 10 calls each", graph: random, run: resolve.Lint},
		{name: "check, a chain", graph: chain, run: resolve.Check},
		{name: "lint, a chain", graph: chain, run: resolve.Lint},
	} {
		s.measure()
		all = append(all, s)
	}
	if err := os.WriteFile(os.Args[1], []byte(draw(all)), 0o666); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// series is the time of one kind of graph by its size.
type series struct {
	name   string
	graph  func(n int) *plan.Graph
	run    func(g *plan.Graph, files fs.FS, platform string) diag.List
	points []point
}

// point is the fastest run of a size: other programs on the machine only make it slower.
type point struct {
	environments int
	time         time.Duration
}

// sizes are how many environments the graphs have.
var sizes = []int{2500, 5000, 10_000, 20_000, 40_000, 80_000, 160_000}

// runs is how often each is timed.
const runs = 15

func (s *series) measure() {
	fmt.Println(s.name)
	for _, n := range sizes {
		g := s.graph(n)
		var times []time.Duration
		for range runs {
			start := time.Now()
			if errors := s.run(g, fstest.MapFS{}, "linux/amd64").Errors(); len(errors) > 0 {
				panic(errors)
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		p := point{n, times[0]}
		ratio := ""
		if len(s.points) > 0 {
			ratio = fmt.Sprintf("  %.1f times the one before", float64(p.time)/float64(s.points[len(s.points)-1].time))
		}
		fmt.Printf("  %7d environments  %8.1f ms%s\n", n, milliseconds(p.time), ratio)
		s.points = append(s.points, p)
	}
	first, last := s.points[0], s.points[len(s.points)-1]
	fmt.Printf("  on average %.2f times for twice the environments\n", math.Pow(float64(last.time)/float64(first.time), 1/float64(len(s.points)-1)))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// random is n environments with an image of five packages each, depending on ten others that come
// before, and a task in each that makes ten calls, mostly to what it depends on through another.
func random(n int) *plan.Graph {
	r := rand.New(rand.NewPCG(1, 2))
	g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
	for i := range 100 {
		pos := at(2_000_000 + i)
		g.Images = append(g.Images, plan.Image{Base: plan.Base{Kind: plan.BaseDebian}, Pos: pos, Steps: []plan.Step{
			{Kind: plan.StepPip, Packages: []string{"numpy==2.1.3", "pandas==2.2.3", "scipy==1.14.1"}, Pos: pos},
			{Kind: plan.StepApt, Packages: []string{"curl", "git"}, Pos: pos},
			{Kind: plan.StepEnv, EnvVars: map[string]string{"i": fmt.Sprint(i)}, Pos: pos},
		}})
	}
	for i := range n {
		e := environment(i)
		e.Image = i % 100
		for range min(i, 10) {
			e.DependsOn = append(e.DependsOn, r.IntN(i))
			callee := e.DependsOn[r.IntN(len(e.DependsOn))]
			if further := g.Environments[callee].DependsOn; len(further) > 0 {
				callee = further[r.IntN(len(further))]
			}
			g.Calls = append(g.Calls, plan.Call{Caller: i, Callee: callee, Pos: at(i)})
		}
		add(g, e)
	}
	return g
}

// chain is n environments that each depend on the one before, and call it and the one seven before.
func chain(n int) *plan.Graph {
	g := &plan.Graph{Version: plan.Version, Entry: "a.star"}
	for i := range n {
		e := environment(i)
		if i > 0 {
			e.DependsOn = []int{i - 1}
			g.Calls = append(g.Calls, plan.Call{Caller: i, Callee: i - 1, Pos: at(i)}, plan.Call{Caller: i, Callee: max(0, i-7), Pos: at(i)})
		}
		add(g, e)
	}
	return g
}

func at(line int) diag.Position { return diag.Position{File: "a.star", Line: line + 1, Col: 1} }

func environment(i int) plan.Environment {
	return plan.Environment{Name: fmt.Sprintf("e%d", i), Image: plan.NoImage, Pos: at(i), DependsOnPos: at(i), Global: "e"}
}

// add adds an environment and its task.
func add(g *plan.Graph, e plan.Environment) {
	g.Tasks = append(g.Tasks, plan.Task{Name: "t", Env: len(g.Environments), Dir: ".", Body: plan.Body{Kind: plan.BodyStarlark}, Pos: e.Pos, Listed: true})
	g.Environments = append(g.Environments, e)
}

// The picture: both axes are logarithmic, so that what is linear in size is a line with the slope
// of the grey ones.
const (
	width, height = 720, 480
	left, bottom  = 80, 430
	right, top    = 700, 20
)

var colours = []string{"#1f6feb", "#d1242f", "#1a7f37", "#8250df"}

func draw(all []series) string {
	minX, maxX := float64(sizes[0]), float64(sizes[len(sizes)-1])
	minY, maxY := 0.1, 1000.0
	x := func(n float64) float64 { return left + (right-left)*math.Log(n/minX)/math.Log(maxX/minX) }
	y := func(ms float64) float64 { return bottom - (bottom-top)*math.Log(ms/minY)/math.Log(maxY/minY) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(&b, `<title>Time of the checks by the size of the graph</title><rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	for _, n := range sizes {
		fmt.Fprintf(&b, `<path d="M%.1f %dV%d" stroke="#eee"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(float64(n)), top, bottom, x(float64(n)), bottom+18, thousands(n))
	}
	for ms := minY; ms <= maxY; ms *= 10 {
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#eee"/><text x="%d" y="%.1f" text-anchor="end">%g ms</text>`+"\n", left, y(ms), right, left-8, y(ms)+4, ms)
		if end := ms * maxX / minX; end <= maxY {
			fmt.Fprintf(&b, `<path d="M%.1f %.1fL%.1f %.1f" stroke="#ccc" stroke-dasharray="4 4"/>`+"\n", x(minX), y(ms), x(maxX), y(end))
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">environments; dashed: linear</text>`+"\n", (left+right)/2, height-8)
	for i, s := range all {
		var path strings.Builder
		for k, p := range s.points {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(k, 1)], x(float64(p.environments)), y(milliseconds(p.time)))
		}
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", path.String(), colours[i])
		for _, p := range s.points {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, x(float64(p.environments)), y(milliseconds(p.time)), colours[i])
		}
		fmt.Fprintf(&b, "\n"+`<text x="%d" y="%d" fill="%s">%s</text>`+"\n", left+14, top+18+18*i, colours[i], s.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func thousands(n int) string {
	if n%1000 == 0 {
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprint(n)
}
