package engine

// What tests in engine_test see of the package.
var (
	ActionID     = actionID
	EachArtifact = eachArtifact
	Expand       = expand
	ReadResult   = readResult
)
