package exec

// What tests in exec_test see of the package.
var (
	ActionID     = actionID
	EachArtifact = eachArtifact
	Expand       = expand
	ReadResult   = readResult
)
