package lint

import (
	"slices"

	"github.com/bazelbuild/buildtools/warn"

	"github.com/flytestar/flytestar/diag"
)

// Our own rules. Each has a section in spec.md.
var (
	unusedResult      = diag.Rule{Code: "FS220", Name: "unused-result", Severity: diag.SeverityWarning, Summary: "the result of a task's call isn't used"}
	shadowedName      = diag.Rule{Code: "FS221", Name: "shadowed-name", Severity: diag.SeverityInfo, Summary: "a local name hides a global, predeclared or universal one"}
	deepNesting       = diag.Rule{Code: "FS222", Name: "deep-nesting", Severity: diag.SeverityWarning, Summary: "blocks nest too deeply to be followed"}
	setOrder          = diag.Rule{Code: "FS223", Name: "set-order", Severity: diag.SeverityInfo, Summary: "a loop depends on the order in which a set was filled"}
	constantCondition = diag.Rule{Code: "FS224", Name: "constant-condition", Severity: diag.SeverityWarning, Summary: "a condition is always true or always false"}
	duplicateKey      = diag.Rule{Code: "FS225", Name: "duplicate-key", Severity: diag.SeverityError, Summary: "a dict literal has a key twice"}
	credential        = diag.Rule{Code: "FS226", Name: "credential", Severity: diag.SeverityWarning, Summary: "a literal looks like a password, key or token"}
	printedSecret     = diag.Rule{Code: "FS227", Name: "printed-secret", Severity: diag.SeverityWarning, Summary: "what looks like a secret is printed"}
	unusedSuppression = diag.Rule{Code: "FS290", Name: "unused-suppression", Severity: diag.SeverityWarning, Fixable: true, Summary: "a comment suppresses nothing"}
)

// Rules returns this package's own rules, sorted by code.
func Rules() []diag.Rule {
	return []diag.Rule{unusedResult, shadowedName, deepNesting, setOrder, constantCondition, duplicateKey, credential, printedSecret, unusedSuppression}
}

// Buildtools returns the rules that are checks of buildtools, under the names that they have there,
// sorted. It leaves out those that are about Bazel, that starlark-go refuses anyway, that are a
// matter of taste, and whose fix changes meaning (integer-division, list-append).
func Buildtools() []diag.Rule {
	rules := make([]diag.Rule, len(buildtoolsChecks))
	for i, c := range buildtoolsChecks {
		rules[i] = diag.Rule{Code: c.category, Name: c.category, Severity: c.severity, Fixable: c.fixable, Summary: c.summary}
	}
	return rules
}

// buildtoolsCheck is one of buildtools' checks.
type buildtoolsCheck struct {
	category string
	severity diag.Severity
	fixable  bool
	summary  string
	msg      string // instead of buildtools' own words, where these are about Bazel
	hint     string
}

// buildtoolsChecks is sorted by category. TestBuildtools compares it with warn.FileWarningMap.
var buildtoolsChecks = []buildtoolsCheck{
	{category: "confusing-name", severity: diag.SeverityInfo, summary: "a name is l, I or O", msg: "l, I and O are easily taken for 1 and 0", hint: "use a longer name"},
	{category: "dict-concatenation", severity: diag.SeverityWarning, summary: "dicts are added", msg: "dicts can't be added", hint: "write a | b"},
	{category: "dict-method-named-arg", severity: diag.SeverityWarning, summary: "a dict's method has its default by name", msg: "methods of dicts take their default by position alone", hint: "leave out default ="},
	{category: "function-docstring-args", severity: diag.SeverityInfo, summary: "a docstring's Args differ from the parameters", hint: "the section Args: documents a task's inputs"},
	{category: "load", severity: diag.SeverityWarning, fixable: true, summary: "a loaded name isn't used", hint: "remove it"},
	{category: "no-effect", severity: diag.SeverityWarning, summary: "a statement has no effect"},
	{category: "return-value", severity: diag.SeverityWarning, summary: "a function returns a value on some paths only", hint: "end every path with return, or with fail"},
	{category: "string-iteration", severity: diag.SeverityWarning, summary: "a loop over a string", msg: "a string can't be iterated over", hint: "use s.elems()"},
	{category: "uninitialized", severity: diag.SeverityWarning, summary: "a variable may have no value yet", hint: "give it a value on every path"},
	{category: "unreachable", severity: diag.SeverityWarning, summary: "a statement can't be reached", hint: "remove it"},
	{category: "unused-variable", severity: diag.SeverityWarning, summary: "a local variable isn't used", hint: "remove it, or begin its name with _"},
}

// run returns the check's function. It uses only the map of package warn: FileWarnings ends the
// process for a name that it doesn't know, and walks the file again for each finding.
func (c *buildtoolsCheck) run() warnFunc { return warn.FileWarningMap[c.category] }

// IsBuildtools reports whether category is one of [Buildtools].
func IsBuildtools(category string) bool {
	return slices.ContainsFunc(buildtoolsChecks, func(c buildtoolsCheck) bool { return c.category == category })
}
