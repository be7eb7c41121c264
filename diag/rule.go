package diag

// Rule is a kind of finding, as `explain` lists it. Each has a section "CODE: …" in spec.md.
type Rule struct {
	Code     string   `json:"code"`     // "FS101"; for buildtools the code is the category, "unused-variable"
	Name     string   `json:"name"`     // a few words, joined: "missing-dependency"
	Severity Severity `json:"severity"` // of its findings, unless a finding says otherwise
	Fixable  bool     `json:"fixable"`  // lint --fix can mend it, if the finding has a [Fix]
	Summary  string   `json:"summary"`  // one line, lower case: what is wrong
}

// Finding returns a finding of the rule at pos. Its class is [Source].
func (r Rule) Finding(pos Position, format string, args ...any) *Error {
	e := Errorf(pos, Source, format, args...)
	e.Code, e.Severity = r.Code, r.Severity
	return e
}

// Fix describes the edit that mends a finding; `lint --fix` makes it. It edits one environment. The
// kind decides which fields are set.
type Fix struct {
	Kind   FixKind   `json:"kind"`
	Pos    Position  `json:"pos"`              // where the call begins that makes the environment: task_environment or clone_with
	List   Position  `json:"list,omitzero"`    // where the value of depends_on begins, in that call or the one that it clones; zero: there is no depends_on
	Image  Position  `json:"image,omitzero"`   // add-packages: the image's last step, at the method's name
	Symbol string    `json:"symbol,omitempty"` // dependency: the global that the other environment is bound to; else a code, or a name
	Module string    `json:"module,omitempty"` // dependency: the module that Symbol belongs to
	Index  int       `json:"index,omitempty"`  // remove-dependency: index of the element in the list, from 0, without repetitions
	Calls  []FixCall `json:"calls,omitempty"`  // add-packages: the calls to append to the environment's image
}

// FixKind tells fixes apart.
type FixKind string

// The kinds of fix.
const (
	FixAddDependency    FixKind = "add-dependency"    // add Symbol to the environment's depends_on, and load it from Module
	FixRemoveDependency FixKind = "remove-dependency" // remove Symbol from the environment's depends_on
	FixAddPackages      FixKind = "add-packages"      // append Calls to the environment's image
	// The fixes for lint's own findings. Pos is the position of the finding.
	FixRemoveSuppression FixKind = "remove-suppression" // remove the code Symbol from the comment
	FixRemoveLoad        FixKind = "remove-load"        // stop loading the name that is bound to Symbol
)

// FixCall is a method call with string arguments, such as with_pip_packages("pytest").
type FixCall struct {
	Method string   `json:"method"`
	Args   []string `json:"args"` // the values of the strings
}
