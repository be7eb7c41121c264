package check

import (
	"slices"

	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/lint"
	"github.com/flytestar/flytestar/resolve"
	"github.com/flytestar/flytestar/workspace"
)

// Rules returns all rules by which something can be found in a workflow, by code.
func Rules() []diag.Rule { return slices.Concat(resolve.Rules(), lint.Rules(), lint.Buildtools()) }

// checkDisabled returns an error of class Usage unless findings of all codes exist and can be
// disabled.
func checkDisabled(disabled []string) error {
	at := diag.Position{File: workspace.Marker}
	var codes []string
	for _, r := range Rules() {
		codes = append(codes, r.Code)
	}
	for _, code := range disabled {
		switch {
		case !lint.Suppressible(code):
			return diag.Errorf(at, diag.Usage, "lint.disable has %s, an error, and these can't be disabled", code)
		case !slices.Contains(codes, code):
			e := diag.Errorf(at, diag.Usage, "lint.disable has %q, which is no code of a finding", code)
			if near := diag.Suggest(code, codes); near != "" {
				return e.WithHint("did you mean %q?", near)
			}
			return e
		}
	}
	return nil
}
