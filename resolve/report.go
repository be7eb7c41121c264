package resolve

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flytestar/flytestar/diag"
)

// Bounds of findings, whatever the graph: it is untrusted, and nobody reads more.
const (
	maxFindings = 1000 // of one code
	maxNamed    = 20   // things listed in one message, hint or set of notes
)

// reporter collects findings, each once. Images that extend one another have the same steps, and so
// the same findings.
type reporter struct {
	findings diag.List
	seen     map[string]bool    // by position, code and message
	count    map[string]int     // those of each code
	dropped  map[string]dropped // by code
}

// dropped counts findings beyond maxFindings.
type dropped struct {
	n        int
	severity diag.Severity // an error's if one is an error
}

func newReporter() reporter {
	return reporter{seen: map[string]bool{}, count: map[string]int{}, dropped: map[string]dropped{}}
}

// report adds a finding. Those beyond maxFindings are only counted.
func (r *reporter) report(e *diag.Error) {
	r.reportLater(e.Code, e.Severity, func() *diag.Error { return e })
}

// reportLater is report for a finding that takes time to make. It is made only if it is listed.
func (r *reporter) reportLater(code string, severity diag.Severity, make func() *diag.Error) {
	if r.count[code] >= maxFindings {
		r.skip(code, severity)
		return
	}
	e := make()
	key := fmt.Sprintf("%v %s %s", e.Pos, e.Code, e.Msg)
	if !r.seen[key] {
		r.seen[key] = true
		r.count[code]++
		r.findings = append(r.findings, e)
	}
}

// skip counts a finding that isn't listed.
func (r *reporter) skip(code string, severity diag.Severity) {
	d := r.dropped[code]
	if d.n++; d.n == 1 || severity == diag.SeverityError {
		d.severity = severity
	}
	r.dropped[code] = d
}

// list returns the findings, sorted. A finding in the file entry says how many more there are.
func (r *reporter) list(entry string) diag.List {
	for _, code := range slices.Sorted(maps.Keys(r.dropped)) {
		d := r.dropped[code]
		r.findings = append(r.findings, &diag.Error{
			Pos: diag.Position{File: entry}, Class: diag.Source, Code: code, Severity: d.severity,
			Msg: fmt.Sprintf("and %d more findings like the first %d", d.n, maxFindings),
		})
	}
	r.findings.Sort()
	return r.findings
}

// named lists the first of total names: "a, b and 3 more".
func named(names []string, total int) string {
	names = names[:min(len(names), maxNamed)]
	list := strings.Join(names, ", ")
	if more := total - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
