package check

import (
	"context"
	"errors"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/lint/findings"
)

// Bounds of [Linted.Replacements] for each module.
const (
	maxReplaced = 100      // findings
	maxReparsed = 16 << 20 // bytes that are parsed for them, for each anew
)

// Replacements returns the edits that mend findings, each for its finding alone. Only the first
// findings of each module have them. Unlike [Session.Fix], it doesn't look at whether the result
// still evaluates.
func (l *Linted) Replacements(ctx context.Context) (map[*diag.Error][]findings.Replacement, error) {
	out := map[*diag.Error][]findings.Replacement{}
	for _, m := range l.Modules {
		findings, fixes := l.mendable(m)
		if len(fixes) == 0 {
			continue
		}
		edits, err := lint.EditEach(ctx, m, fixes, l.tool)
		var one *diag.Error
		if errors.As(err, &one) && one.Class == diag.Source {
			continue // buildtools' parser doesn't take the module, which is a finding
		}
		if err != nil {
			return nil, err
		}
		for i, e := range findings {
			out[e] = edits[i]
		}
	}
	return out, nil
}

// mendable returns the first findings that are mended in a module, and how.
func (l *Linted) mendable(m lint.Module) (findings []*diag.Error, fixes []diag.Fix) {
	for _, e := range l.Findings {
		if e.Fix == nil || lint.FixedModule(e.Fix) != m.Path {
			continue
		}
		if len(fixes) == maxReplaced || (len(fixes)+1)*len(m.Source) > maxReparsed {
			break
		}
		findings, fixes = append(findings, e), append(fixes, *e.Fix)
	}
	return findings, fixes
}
