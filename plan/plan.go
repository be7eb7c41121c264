package plan

// Plan is what running one task would build, pull and run. resolve makes it, and the builder fills
// in the states of images. Neither has side effects.
type Plan struct {
	Task         string        `json:"task"`               // full name
	Environments []string      `json:"environments"`       // the closure of the task's environment, dependencies first
	Images       []BuildImage  `json:"images"`             // of those environments, each once
	Tasks        []PlannedTask `json:"tasks"`              // the tasks that may run: the task itself, then those that it calls, nearest first
	LeftOut      []LeftOut     `json:"left_out,omitempty"` // what those tasks don't get
}

// LeftOut is a file that a task doesn't get though it would pick it up, because it can't be carried.
type LeftOut struct {
	Path string `json:"path"` // in the workspace; quoted if it isn't plain text
	Why  string `json:"why"`  // a sentence about the file
}

// BuildImage is an image that the builder may be asked for.
type BuildImage struct {
	Image        Image      `json:"image"`
	Environments []string   `json:"environments"` // the plan's environments that use it
	Declared     Digest     `json:"declared"`     // the declared digest: over the source and the content of the files it names
	Platform     string     `json:"platform"`     // "linux/amd64"
	State        ImageState `json:"state"`
	Digest       Digest     `json:"digest,omitempty"` // of the OCI manifest, once it is known
	Why          string     `json:"why,omitempty"`    // one line: the reason for the state
	Size         int64      `json:"size,omitempty"`   // compressed bytes in the store, if it is there
	Reused       int        `json:"reused,omitempty"` // for an image to build: at least this many layers exist
}

// ImageState says what the builder would do for an image.
type ImageState string

// The states of an image.
const (
	ImageHit        ImageState = "hit"        // it is in the store
	ImageBuild      ImageState = "build"      // it would be built from a known resolution
	ImageUnresolved ImageState = "unresolved" // the base and packages would be resolved first, then it would be built
	ImagePull       ImageState = "pull"       // it would be pulled and used as it is
)

// PlannedTask is a task that may run, and how its attempts would run.
type PlannedTask struct {
	Task        string    `json:"task"` // full name
	Body        BodyKind  `json:"body"`
	Runs        string    `json:"runs"`        // the body on one line: "python msa/run.py:run_msa"
	Environment string    `json:"environment"` // the environment's name
	Image       int       `json:"image"`       // into Plan.Images; NoImage for an orchestrator
	Resources   Resources `json:"resources,omitzero"`
	Retries     int       `json:"retries,omitempty"` // further attempts after the first
	Timeout     string    `json:"timeout,omitempty"` // of each attempt: "1h30m"; empty: none
	Network     bool      `json:"network,omitempty"` // it has the host's network
	Why         string    `json:"why"`               // "asked for", "called by e.main", "may be called by e.main"
}
