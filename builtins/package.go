package builtins

import (
	"regexp"
	"strings"
	"sync"

	"github.com/flytestar/flytestar/plan"
)

// Only the form of requirements is checked here. So a mistake has a position, and none reaches a
// package manager as an option. What versions and markers mean is up to the code that resolves
// them.
var (
	requirementRE = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])? *` + // name
			`(\[ *[A-Za-z0-9._-]+( *, *[A-Za-z0-9._-]+)* *\])? *` + // extras
			`(@ *[a-z+]+:[^\s;\pC]+|\( *` + specifiers + ` *\)|(` + specifiers + `)?) *` + // a URL, or versions
			`(;[A-Za-z0-9_.'"<>=!~() ,*+-]+)?$`)
	}) // marker
)

// Version specifiers of PEP 508.
const (
	specifier  = `(===|==|~=|!=|<=|>=|<|>) *[A-Za-z0-9.*+!_-]+`
	specifiers = specifier + `( *, *` + specifier + `)*`
)

// checkRequirement refuses a string that doesn't look like a PEP 508 requirement.
func checkRequirement(s string) error {
	_, marker, _ := strings.Cut(s, ";")
	if requirementRE().MatchString(s) && !strings.Contains(marker, "--") {
		return nil
	}
	e := errorf("%q is no PEP 508 requirement", s)
	switch {
	case strings.HasPrefix(s, "-r"), strings.HasPrefix(s, "--requirement"):
		e.Hint = "use with_requirements(file)"
	case strings.HasPrefix(s, "--index-url"), strings.HasPrefix(s, "-i"), strings.HasPrefix(s, "--extra-index-url"):
		e.Hint = "give index_url = or extra_index_urls = to with_pip_packages"
	case strings.HasPrefix(s, "--pre"):
		e.Hint = "give pre = True to with_pip_packages"
	case strings.HasPrefix(s, "-"):
		e.Hint = "pip's options can't be given"
	case strings.Contains(s, "://"):
		e.Hint = "write NAME @ URL"
	case strings.HasPrefix(s, "."), strings.HasPrefix(s, "/"):
		e.Hint = "packages of the workspace go in with with_source_folder"
	case wrongEqualsRE().MatchString(s):
		e.Hint = "versions are compared with =="
	case strings.ContainsAny(strings.TrimSpace(s), " ,"):
		e.Hint = "give each package as a string of its own"
	default:
		e.Hint = `write NAME, NAME==VERSION or NAME[EXTRA]>=VERSION`
	}
	return e
}

// wrongEqualsRE matches a name with a single = after it.
var wrongEqualsRE = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._-]+\s*=[^=]`) })

// checkAptPackage refuses a string that can't name a package of Debian.
func checkAptPackage(s string) error {
	if plan.IsAptPackage(s) {
		return nil
	}
	e := errorf("%q is no Debian package", s)
	switch {
	case strings.HasPrefix(s, "-"):
		e.Hint = "options can't be given"
	case strings.HasSuffix(s, "-"):
		e.Hint = "apt would remove the package; with_commands can do that"
	case strings.Contains(s, "/"):
		e.Hint = "neither paths nor suites can be given; write NAME or NAME=VERSION"
	case strings.Contains(s, "=="):
		e.Hint = "a version is pinned with one =, as in name=1.2-3"
	case strings.ContainsAny(s, " ,"):
		e.Hint = "give each package as a string of its own"
	case strings.ToLower(s) != s:
		e.Hint = "names of packages are in small letters"
	default:
		e.Hint = "write NAME or NAME=VERSION"
	}
	return e
}
