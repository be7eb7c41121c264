// Package resolve reads a frozen graph and the files that it names. It says what is wrong with them,
// and what running a task would take. It builds nothing, runs nothing, and reads only those files.
//
//   - [Check] returns all findings of a workflow file, [CheckTask] those within the reach of one
//     task, [Lint] those of Check and warnings. The checks are small functions in a list: names.go,
//     arguments.go, depends.go, inclusion.go, files.go, artifacts.go, destinations.go, and for warnings calls.go,
//     images.go, tasks.go. [Rules] has their codes.
//   - [CallCheck] checks a call at the moment when it is made, for calls that were only possible
//     before.
//   - [Task] finds a task by the name that a user gives.
//   - [Plan] says which images a task needs, each with its declared digest (digest.go).
//
// The graph comes from the evaluator and is untrusted, but has passed [plan.Graph.Validate]. Files
// come through an fs.FS that is rooted at the workspace and that no symbolic link leads out of. All
// walks are iterative. closure.go says how they stay linear, packages.go bounds the comparing of
// packages, and report.go the number of findings.
package resolve

import (
	"io/fs"
	"slices"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/finding"
	"github.com/flytestar/flytestar/plan"
	"github.com/flytestar/flytestar/resolve/packages"
	"github.com/flytestar/flytestar/workspace"
)

// Check returns the errors of g, sorted by position, and the warnings that become errors if a
// possible call is made. platform is what images are for ("linux/amd64"). Markers of requirements
// depend on it.
func Check(g *plan.Graph, files fs.FS, platform string) diag.List {
	return newChecker(g, files, platform).run(everything(g), checks)
}

// CheckTask returns the findings of [Check] within the reach of a task, an index into g.Tasks. The
// reach is the task itself and the tasks that it can come to call, their environments, and the
// closure of its own environment, which is what gets built.
func CheckTask(g *plan.Graph, files fs.FS, task int, platform string) diag.List {
	return newChecker(g, files, platform).run(within(g, task), checks)
}

// Lint returns the findings of [Check], and warnings and infos about what works and could be
// better.
func Lint(g *plan.Graph, files fs.FS, platform string) diag.List {
	return newChecker(g, files, platform).run(everything(g), slices.Concat(checks, warnings))
}

// checks is every check, in the order in which they run.
var checks = []func(*checker){
	(*checker).duplicateNames, // FS106
	(*checker).arguments,      // FS107
	(*checker).missingImages,  // FS108
	(*checker).signatures,     // FS111
	(*checker).dependencies,   // FS101
	(*checker).contradictions, // FS103
	(*checker).inclusion,      // FS102, FS103
	(*checker).imageFiles,     // FS112
	(*checker).destinations,   // FS112
	(*checker).taskFiles,      // FS112
	(*checker).artifactFiles,  // FS112
}

// warnings are the checks that [Lint] alone makes, after the others.
var warnings = []func(*checker){
	(*checker).differentBases,         // FS201
	(*checker).transitiveDependencies, // FS202
	(*checker).unusedDependencies,     // FS203
	(*checker).unpinnedPackages,       // FS204
	(*checker).mutableBases,           // FS205
	(*checker).possibleCalls,          // FS207
	(*checker).unreachedTasks,         // FS208
	(*checker).missingTimeouts,        // FS209
	(*checker).unusedNetworks,         // FS210
	(*checker).hiddenInstalls,         // FS211
	(*checker).unnamedOutputs,         // FS212
	(*checker).literalPlaceholders,    // FS213
	(*checker).unexpanded,             // FS214
	(*checker).shellInputs,            // FS215
	(*checker).filesLeftOut,           // FS217
}

// checker is the state of one run of the checks.
type checker struct {
	graph      *plan.Graph
	files      fs.FS
	reader     *workspace.Reader
	scope      scope
	edges      []edge // by from
	dependsOn  func(env int) []int32
	containers []bool // the environments that have container tasks
	packages   *packages.Declared
	transitive []edge          // those of edges whose target is reached through other environments
	callees    map[int]*callee // by task
	findings   reporter
}

func newChecker(g *plan.Graph, files fs.FS, platform string) *checker {
	reader := workspace.NewReader(files)
	c := &checker{
		graph: g, files: files, reader: reader, containers: make([]bool, len(g.Environments)),
		dependsOn: adjacency(len(g.Environments), func(env int) []int { return g.Environments[env].DependsOn }),
		packages:  packages.New(g, reader, platform), findings: newReporter(), callees: map[int]*callee{},
	}
	for i := range g.Tasks {
		if t := &g.Tasks[i]; t.InContainer() {
			c.containers[t.Env] = true
		}
	}
	return c
}

func (c *checker) run(s scope, checks []func(*checker)) diag.List {
	c.scope = s
	c.edges = c.environmentCalls()
	for _, check := range checks {
		check(c)
	}
	c.exhaustion()
	return c.findings.list(c.graph.Entry)
}

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

// callable returns the set of tasks that the given tasks can come to call, themselves included.
func callable(g *plan.Graph, tasks ...int) []bool {
	callees := make([][]int32, len(g.Tasks))
	for i := range g.Calls {
		call := &g.Calls[i]
		callees[call.Caller] = append(callees[call.Caller], int32(call.Callee))
	}
	seen := make([]bool, len(g.Tasks))
	for _, t := range tasks {
		seen[t] = true
	}
	for todo := slices.Clone(tasks); len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, callee := range callees[next] {
			if !seen[callee] {
				seen[callee] = true
				todo = append(todo, int(callee))
			}
		}
	}
	return seen
}

// edge is a call from one environment into another. Of all calls between the two, it is the one
// that findings cite. One edit mends them all, so one finding is enough.
type edge struct {
	from, to int // into Graph.Environments
	call     *plan.Call
}

// environmentCalls returns the calls in scope that cross from one environment into another. Those
// from one environment stand together.
func (c *checker) environmentCalls() []edge {
	g := c.graph
	next := make([]int, len(g.Environments)+1) // by environment: where its next call goes
	for i := range g.Calls {
		next[g.Tasks[g.Calls[i].Caller].Env+1]++
	}
	for i := range g.Environments {
		next[i+1] += next[i]
	}
	sorted := make([]int32, len(g.Calls)) // by the caller's environment
	for i := range g.Calls {
		from := g.Tasks[g.Calls[i].Caller].Env
		sorted[next[from]] = int32(i)
		next[from]++
	}
	edges := make([]edge, 0, len(sorted))
	at := make([]int, len(g.Environments)) // by the callee's environment: its latest edge, from 1
	for _, i := range sorted {
		call := &g.Calls[i]
		from, to := g.Tasks[call.Caller].Env, g.Tasks[call.Callee].Env
		if from == to || !c.scope.tasks[call.Caller] {
			continue
		}
		if n := at[to]; n == 0 || edges[n-1].from != from {
			edges = append(edges, edge{from, to, call})
			at[to] = len(edges)
		} else if cites(call, edges[n-1].call) {
			edges[n-1].call = call
		}
	}
	return edges
}

// cites reports whether findings cite a rather than b: a certain call before a possible one, then
// the first by position.
func cites(a, b *plan.Call) bool {
	if a.Possible != b.Possible {
		return b.Possible
	}
	return a.Pos.Compare(b.Pos) < 0
}

// severityOf returns the severity of a finding about the call. If the call is only possible, an
// error becomes a warning: the engine checks the call again when it is made.
func (e edge) severityOf(rule diag.Rule) diag.Severity {
	if e.call.Possible && rule.Severity == diag.SeverityError {
		return diag.SeverityWarning
	}
	return rule.Severity
}

// finding returns the beginning of a finding about e's call.
func (c *checker) finding(e edge, rule diag.Rule) *diag.Error {
	f := finding.Call(rule, c.graph, e.call)
	f.Severity = e.severityOf(rule)
	return f
}
