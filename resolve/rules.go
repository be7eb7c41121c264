package resolve

import (
	"github.com/flytestar/flytestar/diag"
	"github.com/flytestar/flytestar/internal/finding"
)

// The rules of this package alone. FS101 to FS199 are errors, or warnings if the call is only
// possible, and [Check] reports them. FS201 to FS219 are warnings and infos, which [Lint] reports
// as well.
var (
	missingPackages = diag.Rule{Code: "FS102", Name: "missing-packages", Severity: diag.SeverityError, Fixable: true,
		Summary: "the caller's image lacks packages that the callee's image declares"}
	contradiction = diag.Rule{Code: "FS103", Name: "contradictory-versions", Severity: diag.SeverityError,
		Summary: "no version of a package satisfies both the caller's image and the callee's, or all of one image"}
	otherSignature = diag.Rule{Code: "FS111", Name: "other-signature", Severity: diag.SeverityError,
		Summary: "a Python task declares what its function doesn't take or return"}
	unusableFile = diag.Rule{Code: "FS112", Name: "unusable-file", Severity: diag.SeverityError,
		Summary: "a file of the workspace that a build or a run needs can't be used"}
	differentBases = diag.Rule{Code: "FS201", Name: "different-bases", Severity: diag.SeverityInfo,
		Summary: "the images of caller and callee have different bases"}
	transitiveDependency = diag.Rule{Code: "FS202", Name: "transitive-dependency", Severity: diag.SeverityWarning, Fixable: true,
		Summary: "a task calls into an environment that its own depends on only through others"}
	unusedDependency = diag.Rule{Code: "FS203", Name: "unused-dependency", Severity: diag.SeverityWarning, Fixable: true,
		Summary: "an environment depends on another that its tasks don't call"}
	unpinnedPackage = diag.Rule{Code: "FS204", Name: "unpinned-package", Severity: diag.SeverityInfo,
		Summary: "a pip package without an exact version"}
	mutableBase = diag.Rule{Code: "FS205", Name: "mutable-base", Severity: diag.SeverityInfo,
		Summary: "a base image named by a tag, which can be moved"}
	possibleCall = diag.Rule{Code: "FS207", Name: "possible-call", Severity: diag.SeverityInfo,
		Summary: "a call that the analysis can't follow"}
	unreachedTask = diag.Rule{Code: "FS208", Name: "unreached-task", Severity: diag.SeverityWarning,
		Summary: "a task of the entry file that can't be invoked and that nothing calls"}
	missingTimeout = diag.Rule{Code: "FS209", Name: "missing-timeout", Severity: diag.SeverityInfo,
		Summary: "a container task without a timeout"}
	unusedNetwork = diag.Rule{Code: "FS210", Name: "unused-network", Severity: diag.SeverityWarning,
		Summary: "network is granted where nothing can use it"}
	hiddenInstall = diag.Rule{Code: "FS211", Name: "hidden-install", Severity: diag.SeverityInfo,
		Summary: "packages installed by commands, which the checks don't see"}
	unnamedOutput = diag.Rule{Code: "FS212", Name: "unnamed-output", Severity: diag.SeverityWarning,
		Summary: "an output that nothing in the task's command or script names"}
	literalPlaceholder = diag.Rule{Code: "FS213", Name: "literal-placeholder", Severity: diag.SeverityWarning,
		Summary: "text that looks like a placeholder and isn't one"}
	unexpandedVariable = diag.Rule{Code: "FS214", Name: "unexpanded-variable", Severity: diag.SeverityWarning,
		Summary: "a variable in env_vars, which nothing expands"}
	shellInput = diag.Rule{Code: "FS215", Name: "shell-input", Severity: diag.SeverityWarning,
		Summary: "an input in the text that a shell runs"}
	leftOut = diag.Rule{Code: "FS217", Name: "file-left-out", Severity: diag.SeverityInfo,
		Summary: "a file beside a Python task's that its container can't be given"}
)

// Rules returns every rule about what a graph declares, by code. Some findings are raised by other
// passes too. Others are found before there is a graph: by interp (FS105, FS110), builtins and
// language (FS106, FS109).
func Rules() []diag.Rule {
	return []diag.Rule{
		finding.Dependency, missingPackages, contradiction,
		{Code: "FS105", Name: "load-cycle", Severity: diag.SeverityError, Summary: "modules load each other"},
		finding.Name, finding.Arguments, finding.Image,
		{Code: "FS109", Name: "nameless-task", Severity: diag.SeverityError, Summary: "a task has no name"},
		{Code: "FS110", Name: "bound-builtin", Severity: diag.SeverityError, Summary: "a predeclared name is bound"},
		otherSignature, unusableFile,
		differentBases, transitiveDependency, unusedDependency, unpinnedPackage, mutableBase,
		possibleCall, unreachedTask, missingTimeout, unusedNetwork, hiddenInstall,
		unnamedOutput, literalPlaceholder, unexpandedVariable, shellInput, leftOut,
	}
}
