package lint

import (
	"context"
	"slices"

	starresolve "go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/evaluator"
	"github.com/flytestar/flytestar/interp"
)

// checkRequest asks for the findings of modules.
type checkRequest struct {
	Modules []Module      `json:"modules"`
	Graph   Declared      `json:"graph"`
	Limits  interp.Limits `json:"limits"`
}

// Declared is what checks of the syntax need to know from evaluating modules.
type Declared struct {
	Tasks   []TaskSite `json:"tasks"`
	Entries []string   `json:"entries"` // the modules whose tasks, also loaded ones, can be invoked
	Listed  []string   `json:"listed"`  // the names of those tasks
	Partial bool       `json:"partial"` // an entry couldn't be evaluated: there may be more of all
}

// Report is what [Check] found.
type Report struct {
	Findings     diag.List     `json:"findings"`     // before suppression
	Suppressions []Suppression `json:"suppressions"` // in the modules' order, and in that of their lines
	Unread       []string      `json:"unread"`       // modules that buildtools' parser doesn't take, so that its checks weren't made
}

// Check returns what is found in the syntax of modules. If a module doesn't parse, that is a
// finding. An error isn't the fault of a single module. For example, all together exceed a limit of
// the process.
func Check(ctx context.Context, modules []Module, graph Declared, options evaluator.Options) (*Report, error) {
	report, err := run[Report](ctx, checkTool, checkRequest{modules, graph, options.Limits}, options)
	if err != nil {
		return nil, err
	}
	return report, report.validate(modules)
}

// validate returns an error for a report that can't be right: one with places outside the modules,
// or with edits of a file other than the finding's.
func (r *Report) validate(modules []Module) error {
	known := map[string]bool{}
	for _, m := range modules {
		known[m.Path] = true
	}
	for _, e := range r.Findings {
		if e == nil || !known[e.Pos.File] || e.Fix != nil && (e.Fix.Kind != diag.FixRemoveLoad || e.Fix.Pos != e.Pos) {
			return unasked("a finding")
		}
	}
	for _, s := range r.Suppressions {
		if !known[s.Pos.File] {
			return unasked("a suppression")
		}
	}
	return nil
}

// maxFindings bounds the findings of one module, and those of all comments that suppress nothing.
const maxFindings = 1000

// checks are our own checks, in the order in which they run. Each takes time linear in the module's
// size.
var checks = []func(*checker){
	(*checker).names,   // FS220, FS221
	(*checker).nesting, // FS222
	(*checker).values,  // FS223, FS224, FS225
	(*checker).secrets, // FS226, FS227
}

// checker checks one module.
type checker struct {
	file        *syntax.File // resolved
	module      *starresolve.Module
	predeclared starlark.StringDict
	loaded      map[*syntax.Ident]bool     // names bound by load statements
	tasks       map[*syntax.Ident]TaskSite // by the name's first binding, in this module
	exposed     []string                   // names that are loaded so that they can be invoked
	findings    diag.List
	more        int // findings beyond maxFindings
}

// check does the work of [Check] in the tool's process.
func check(r *checkRequest, predeclared starlark.StringDict) (*Report, error) {
	report := &Report{}
	files := map[string]*syntax.File{}
	for _, m := range r.Modules {
		f, err := interp.Parse(m.Path, m.Source, r.Limits)
		if err != nil {
			report.Findings = append(report.Findings, err.(*diag.Error))
			continue
		}
		// A name that isn't bound counts as predeclared. The loader reports those that aren't.
		_ = starresolve.File(f, func(string) bool { return true }, func(string) bool { return false })
		files[m.Path] = f
	}
	declared := declaredTasks(files, r.Graph.Tasks)
	for _, m := range r.Modules {
		f := files[m.Path]
		if f == nil {
			report.Unread = append(report.Unread, m.Path)
			continue
		}
		c := &checker{file: f, module: f.Module.(*starresolve.Module), predeclared: predeclared}
		c.bindings(declared)
		if slices.Contains(r.Graph.Entries, m.Path) {
			c.expose(&r.Graph)
		}
		for _, check := range checks {
			check(c)
		}
		if err := c.buildtools(m); err != nil {
			report.Unread = append(report.Unread, m.Path)
			c.findings = append(c.findings, err)
		}
		if c.more > 0 {
			e := diag.Errorf(diag.Position{File: m.Path}, diag.Source, "has %d findings of its syntax beyond these %d", c.more, maxFindings)
			e.Severity = diag.SeverityInfo
			c.findings = append(c.findings, e)
		}
		report.Findings = append(report.Findings, c.findings...)
		report.Suppressions = append(report.Suppressions, findSuppressions(m, f)...)
	}
	report.Findings.Sort()
	return report, nil
}

// report adds a finding and returns it.
func (c *checker) report(r diag.Rule, pos diag.Position, format string, args ...any) *diag.Error {
	e := r.Finding(pos, format, args...)
	if len(c.findings) == maxFindings {
		c.more++
	} else {
		c.findings = append(c.findings, e)
	}
	return e
}
