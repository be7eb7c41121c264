package flytestar

import (
	_ "embed"
	"regexp"
	"strings"

	"github.com/flytestar/flytestar/check"
	"github.com/flytestar/flytestar/diag"
)

//go:embed spec.md
var spec string

// Rules returns all rules by which something can be found in a workflow, by code.
func Rules() []diag.Rule { return check.Rules() }

// Explain returns the rule that has a code or name, in any case, and the text of its section in
// spec.md: what is found, why, an example, and how to mend it. The text is "" for a rule without a
// section of its own. An unknown one is an error of class Usage.
func Explain(name string) (diag.Rule, string, error) {
	var known []string
	for _, r := range Rules() {
		if strings.EqualFold(r.Code, name) || strings.EqualFold(r.Name, name) {
			return r, section(r.Code), nil
		}
		known = append(known, r.Code, r.Name)
	}
	err := diag.Errorf(diag.Position{}, diag.Usage, "there is no rule %q", name)
	if near := diag.Suggest(name, known); near != "" {
		return diag.Rule{}, "", err.WithHint("did you mean %s?", near)
	}
	return diag.Rule{}, "", err.WithHint("flytestar explain lists them")
}

// withinSpec is a link to another section.
var withinSpec = regexp.MustCompile(`\[([^\]]*)\]\(#[^)]*\)`)

// section returns the text below the heading "### CODE: …" of spec.md. Links within the document
// become plain text.
func section(code string) string {
	_, text, ok := strings.Cut(spec, "\n### "+code+": ")
	if !ok {
		return ""
	}
	_, text, _ = strings.Cut(text, "\n")
	text, _, _ = strings.Cut(text, "\n##")
	text = withinSpec.ReplaceAllString(text, "$1")
	return strings.TrimSpace(text) + "\n"
}
