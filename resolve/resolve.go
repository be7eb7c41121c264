// Package resolve reads a frozen graph and the files that it names, and says
// what is wrong with them and what running a task would take. It builds nothing, runs
// nothing and reads nothing but those files.
//
//   - [Check] returns all findings of a workflow file, [CheckTask] those within the
//     reach of one task. Both are an ordered list of small checks: names.go,
//     depends.go, packages.go, files.go.
//   - [CallCheck] is for calls that only show when they are made.
//   - [Task] finds a task by the name that a user gives.
//   - [Plan] says which images a task needs, each with its declared digest (digest.go).
//
// The graph comes from the evaluator and is untrusted, but has passed
// [plan.Graph.Validate]. Files come through an fs.FS rooted at the workspace;
// os.Root.FS is one that no symbolic link leads out of. All walks are
// iterative; closure.go says how they stay linear.
package resolve

import (
	"io/fs"
	"slices"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/plan"
)

// Check returns every finding of g, sorted by position.
func Check(g *plan.Graph, files fs.FS) diag.List {
	return check(g, files, everything(g))
}

// CheckTask returns the findings within the reach of a task, an index into
// g.Tasks: those of the tasks that it can come to call, itself included, of their
// environments, and of the closure of its own environment, which is what is built for it.
func CheckTask(g *plan.Graph, files fs.FS, task int) diag.List {
	return check(g, files, within(g, task))
}

// checks is every check, in the order in which they run.
var checks = []func(*checker){
	(*checker).duplicateNames, // FS106
	(*checker).missingImages,  // FS108
	(*checker).dependencies,   // FS101
	(*checker).packages,       // FS102
	(*checker).imageFiles,
	(*checker).taskFiles,
}

// checker is the state of one run of the checks.
type checker struct {
	graph      *plan.Graph
	files      fs.FS
	scope      scope
	edges      []edge
	containers []bool           // the environments that have container tasks
	declared   map[int][]pkg    // by image
	lacking    map[[2]int][]pkg // by image of the caller and of the callee
	findings   diag.List
}

func newChecker(g *plan.Graph, files fs.FS) *checker {
	c := &checker{
		graph: g, files: files, containers: make([]bool, len(g.Environments)),
		declared: map[int][]pkg{}, lacking: map[[2]int][]pkg{},
	}
	for i := range g.Tasks {
		if t := &g.Tasks[i]; t.InContainer() {
			c.containers[t.Env] = true
		}
	}
	return c
}

func check(g *plan.Graph, files fs.FS, s scope) diag.List {
	c := newChecker(g, files)
	c.scope = s
	c.edges = c.environmentCalls()
	for _, check := range checks {
		check(c)
	}
	c.findings.Sort()
	// Images that extend one another have the same steps, and so the same findings.
	return slices.CompactFunc(c.findings, func(a, b *diag.Error) bool {
		return a.Pos == b.Pos && a.Code == b.Code && a.Msg == b.Msg
	})
}

func (c *checker) report(e *diag.Error) { c.findings = append(c.findings, e) }

// scope is what is checked, as sets of indices.
type scope struct {
	tasks, environments, images []bool
}

func everything(g *plan.Graph) scope {
	return scope{all(len(g.Tasks)), all(len(g.Environments)), all(len(g.Images))}
}

func all(n int) []bool {
	set := make([]bool, n)
	for i := range set {
		set[i] = true
	}
	return set
}

func within(g *plan.Graph, task int) scope {
	s := scope{callable(g, task), make([]bool, len(g.Environments)), make([]bool, len(g.Images))}
	for i, in := range s.tasks {
		if in {
			s.environments[g.Tasks[i].Env] = true
		}
	}
	for _, e := range g.Closure(g.Tasks[task].Env) {
		s.environments[e] = true
	}
	for i, in := range s.environments {
		if image := g.Environments[i].Image; in && image != plan.NoImage {
			s.images[image] = true
		}
	}
	return s
}

// callable returns the set of tasks that a task can come to call, itself included.
func callable(g *plan.Graph, task int) []bool {
	callees := make([][]int, len(g.Tasks))
	for _, c := range g.Calls {
		callees[c.Caller] = append(callees[c.Caller], c.Callee)
	}
	seen := make([]bool, len(g.Tasks))
	seen[task] = true
	for todo := []int{task}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, callee := range callees[next] {
			if !seen[callee] {
				seen[callee] = true
				todo = append(todo, callee)
			}
		}
	}
	return seen
}

// edge is a call from one environment into another: of all calls between the two, the one that findings
// cite. One edit mends them all, so one finding is enough.
type edge struct {
	from, to int // into Graph.Environments
	call     *plan.Call
}

// environmentCalls returns the calls in scope that cross from one environment into
// another, those from the same one together.
func (c *checker) environmentCalls() []edge {
	var edges []edge
	seen := make(map[[2]int]int, len(c.graph.Calls))
	for i := range c.graph.Calls {
		call := &c.graph.Calls[i]
		from, to := c.graph.Tasks[call.Caller].Env, c.graph.Tasks[call.Callee].Env
		if from == to || !c.scope.tasks[call.Caller] {
			continue
		}
		at, ok := seen[[2]int{from, to}]
		if !ok {
			seen[[2]int{from, to}] = len(edges)
			edges = append(edges, edge{from, to, call})
		} else if cites(call, edges[at].call) {
			edges[at].call = call
		}
	}
	slices.SortStableFunc(edges, func(a, b edge) int { return a.from - b.from })
	return edges
}

// cites reports whether a is rather to be cited than b: certain ones first, then by position.
func cites(a, b *plan.Call) bool {
	if a.Possible != b.Possible {
		return b.Possible
	}
	return a.Pos.Compare(b.Pos) < 0
}

// finding returns the start of a finding about e's call. One that is only
// possible is a warning; the engine checks it again when it is made.
func (c *checker) finding(e edge, code string) *diag.Error {
	f := &diag.Error{Pos: e.call.Pos, Class: diag.Source, Code: code, Severity: diag.SeverityError}
	if e.call.Possible {
		f.Severity = diag.SeverityWarning
	}
	f.Msg = "task " + c.graph.FullName(e.call.Caller) + " calls "
	if e.call.Possible {
		f.Msg = "task " + c.graph.FullName(e.call.Caller) + " may call "
	}
	f.Msg += c.graph.FullName(e.call.Callee)
	return f
}
